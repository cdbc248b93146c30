"""How long `planner check` takes without a search: `python -m benchmarks.check`.

Every example plan and the largest ones of the shipped clusters are checked in a new process, from
start to exit, as a pipeline does. The best of a few runs counts, with the processor time beside the
time that passed, which a busy machine stretches.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

RUNS = 5
LIMIT_S = 1.5
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.json"))
LARGE = (
    ("dgx-h100-2048", "llama-3.1-405b"),
    ("dgx-a100-1280", "gpt-1t"),
    ("gb200-nvl72-144", "deepseek-v3"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    wall_s: float
    cpu_s: float


def timed(*arguments: str) -> Timed:
    """The fastest of some runs of the program in a new process."""
    command = [sys.executable, "-m", "planner", *arguments]
    runs = []
    for _ in range(RUNS):
        start = perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        runs.append(Timed(wall_s=perf_counter() - start, cpu_s=usage.ru_utime + usage.ru_stime))
        if os.waitstatus_to_exitcode(status) not in (0, 1):
            raise SystemExit(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
    return min(runs, key=lambda one: one.wall_s)


def plan_for(cluster: str, model: str, folder: Path) -> Path:
    """The best plan, as a search writes it."""
    path = folder / f"{model}-on-{cluster}.json"
    command = ["search", "--cluster", cluster, "--model", model, "--top", "1", "--output"]
    subprocess.run(
        [sys.executable, "-m", "planner", *command, str(path)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return path


def main() -> None:
    slowest_s = 0.0
    with TemporaryDirectory() as folder:
        large = [plan_for(cluster, model, Path(folder)) for cluster, model in LARGE]
        for plan in (*EXAMPLES, *large):
            found = timed("check", str(plan))
            slowest_s = max(slowest_s, found.wall_s)
            print(f"{plan.stem:40s} {found.wall_s:6.2f} s, processor {found.cpu_s:5.2f} s")
    print(f"limit {LIMIT_S} s: {'kept' if slowest_s <= LIMIT_S else 'MISSED'}")


if __name__ == "__main__":
    main()
