"""Running the program in a process of its own, with what the process took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_MEASURED = """
import json, resource, sys
from pathlib import Path
from planner.cli import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss counts what the process was before it became this program
        lines = status.read_text().splitlines()
        peak = next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM"))
    else:
        peak = used.ru_maxrss / 2**20
    Path(NAME).write_text(json.dumps([used.ru_utime + used.ru_stime, peak]))
"""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """`cpu_s` of the process alone, `peak_mib` the most memory that it had resident."""

    code: int
    stdout: str
    stderr: str
    cpu_s: float
    peak_mib: float


def planner_process(*arguments: str, **environment: str) -> Spent:
    """`planner_process("list", "--json")` runs the command with every warning an error."""
    with tempfile.TemporaryDirectory() as folder:
        spent = Path(folder) / "spent.json"
        program = _MEASURED.replace("NAME", repr(str(spent)))
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error", **environment},
            check=False,
        )
        cpu_s, peak_mib = json.loads(spent.read_text())
    return Spent(
        code=result.returncode,
        stdout=result.stdout,
        stderr=result.stderr,
        cpu_s=cpu_s,
        peak_mib=peak_mib,
    )
