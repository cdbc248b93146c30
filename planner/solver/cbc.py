"""CBC as a separate process: the binary that PuLP ships, or `cbc` on the path.

PuLP's own interface waits for the process without limit and reads neither its bound nor its node
count. This one reads both from the log, and kills a process that does not return.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from planner.solver.answer import Claim, MissingEngineError, UnusableEngineError

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver.answer import Limits
    from planner.solver.program import SolverProgram


class Cbc:
    """The engine; `path` names another binary than the one found."""

    name = "cbc"

    def __init__(self, path: str | None = None) -> None:
        self._path = path

    def version(self) -> str:
        """Raises: MissingEngineError."""
        return _version(self._binary())

    def run(self, program: SolverProgram, limits: Limits, start: Floats | None) -> Claim:
        """Raises: MissingEngineError, UnusableEngineError."""
        binary = self._binary()
        with TemporaryDirectory(prefix="planner-cbc-") as folder:
            model, solution, first = (Path(folder) / name for name in ("mps", "sol", "start"))
            _, short_names, _, _ = program.stated().writeMPS(str(model), mpsSense=1, rename=1)
            names = [short_names[name] for name in program.names]
            command = [binary, str(model), *_options(limits)]
            if start is not None:
                first.write_text(_start_text(names, start))
                command += ["-mips", str(first)]
            command += ["-solve" if program.whole.any() else "-initialSolve"]
            log = _call([*command, "-solution", str(solution)], limits.seconds + limits.grace_s)
            try:
                text = solution.read_text()
            except OSError as error:
                raise UnusableEngineError("died: it left no solution file") from error
        return _claim(program, names, text, log)

    def _binary(self) -> str:
        if self._path is not None:
            return self._path
        from pulp.apis.coin_api import pulp_cbc_path

        for path in (pulp_cbc_path, shutil.which("cbc")):
            if path and os.access(path, os.X_OK):
                return str(path)
        raise MissingEngineError(
            "neither the binary that PuLP brings nor `cbc` on the path can be run"
        )


@cache
def _version(binary: str) -> str:
    found = re.search(r"Version: (\S+)", _call([binary, "-stop"], 10.0))
    return found[1] if found else "of unknown version"


def _call(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise UnusableEngineError(f"hung: no answer after {seconds:g} s") from error
    except OSError as error:
        raise MissingEngineError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise UnusableEngineError(f"died: exit status {done.returncode}")
    return done.stdout


def _options(limits: Limits) -> list[str]:
    options = {
        "threads": 0 if limits.threads == 1 else limits.threads,
        "randomSeed": limits.seed + 1,
        "randomCbcSeed": limits.seed + 1,
        "timeMode": "elapsed",
        "sec": limits.seconds,
        "maxNodes": limits.nodes,
        "ratio": limits.relative_gap,
        "allow": limits.absolute_gap,
    }
    return [part for option, value in options.items() for part in (f"-{option}", str(value))]


def _start_text(names: list[str], values: Floats) -> str:
    lines = [
        f"{index} {name} {value!r} 0"
        for index, (name, value) in enumerate(zip(names, values.tolist(), strict=True))
    ]
    return "\n".join(("Stopped on time - objective value 0", *lines, ""))


def _claim(program: SolverProgram, names: list[str], text: str, log: str) -> Claim:
    """Reads the solution file: its first line is the state, the others give index, name, value and
    reduced cost of every variable that is not 0. Bound and node count are only in the log."""
    state, *lines = text.splitlines() or [""]
    nodes = _number(log, "Enumerated nodes")
    count = None if nodes is None else int(nodes)
    bound = _number(log, "Lower bound")
    if bound is not None:
        bound += program.constant
    if state.startswith(("Infeasible", "Integer infeasible")):
        return Claim(status="infeasible", nodes=count)
    if state.startswith("Unbounded"):
        return Claim(status="unbounded", nodes=count)
    stopped_by = None
    if state.startswith("Stopped"):
        stopped_by = "time" if "Stopped on time" in state else "work"
    elif not state.startswith("Optimal"):
        raise UnusableEngineError(f"died: its solution file says {state!r}")
    if "no integer solution" in state:
        return Claim(status="unknown", bound=bound, nodes=count, stopped_by=stopped_by)
    at = {name: index for index, name in enumerate(names)}
    values = np.zeros(len(names))
    for line in lines:
        _, name, value, *_ = line.removeprefix("**").split()
        if name in at:
            values[at[name]] = float(value)
    objective = float(state.rsplit(maxsplit=1)[-1]) + program.constant
    optimal = stopped_by is None
    return Claim(
        status="optimal" if optimal else "feasible",
        values=values,
        objective=objective,
        bound=objective if optimal and bound is None else bound,
        nodes=count,
        stopped_by=stopped_by,
    )


def _number(log: str, label: str) -> float | None:
    found = re.findall(rf"^{label}:\s+(\S+)$", log, flags=re.MULTILINE)
    return float(found[-1]) if found else None
