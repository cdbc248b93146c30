"""Standard output while native code is kept quiet, each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PRINTED = """
import ctypes, os, sys
from planner.solver.quiet import quiet_stdout
c = ctypes.CDLL(None)
"""


def stdout_of(script: str) -> str:
    command = [sys.executable, "-c", PRINTED + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_what_c_prints_is_gone_and_what_python_prints_stays_in_order() -> None:
    said = stdout_of("""
sys.stdout.write("held back ")
c.printf(b"from C, ")
with quiet_stdout():
    c.printf(b"banner")
    os.write(1, b"another")
c.printf(b"C again, ")
c.fflush(None)
print("and after")
""")
    assert said == "held back from C, C again, and after\n"


def test_the_descriptor_comes_back_after_an_error() -> None:
    said = stdout_of("""
try:
    with quiet_stdout():
        raise ValueError
except ValueError:
    os.write(1, b"back")
""")
    assert said == "back"


def test_a_closed_descriptor_stays_closed_and_no_file_gets_the_banner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    stdout_of(f"""
os.close(1)
with quiet_stdout():
    c.printf(b"banner")
try:
    os.fstat(1)
except OSError:
    pass
else:
    sys.exit("descriptor 1 is open")
file = open({str(path)!r}, "w")
assert file.fileno() == 1
with quiet_stdout():
    c.printf(b"banner")
file.write("kept")
file.close()
sys.stdout = None
""")
    assert path.read_text() == "kept"


@pytest.mark.parametrize("stream", ["io.StringIO()", "None", "closed"])
def test_any_stream_of_python_is_left_alone(stream: str) -> None:
    said = stdout_of(f"""
import io
closed = io.StringIO()
closed.close()
sys.stdout = {stream}
with quiet_stdout():
    c.printf(b"banner")
os.write(1, b"done")
sys.stdout = None
""")
    assert said == "done"


def test_both_engines_print_nothing() -> None:
    said = stdout_of("""
from pulp import LpProblem
from planner.solver import solve
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs
for engine in (Highs(), Cbc()):
    program = LpProblem("small")
    x = program.add_variable("x", 0, 9, "Integer")
    program += x
    program += 2 * x >= 3
    answer = solve(program, engines=[engine])
    assert answer.objective == 2 and answer.engine.startswith(engine.name)
""")
    assert said == ""
