"""How fast the search is: `python -m benchmarks.search`.

Every case is run twice. Cold, as a user does: the processor seconds of a new process from start to
exit (of the package in bytecode, as installers leave it), how they compare with what the case took
before (at 4eb6824, on a machine with two cores and little else to do), and the largest resident
size. Then inside this process, to time the bounding of the space alone: candidates are combinations
that pass the framework's rules, and their rate is over enumeration, pricing of layers, memory and
time bounds of all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from compileall import compile_dir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter

import planner


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A search, the processor seconds that it should take at most and those that it took before;
    None: nothing is claimed."""

    name: str
    cluster: str
    model: str
    nodes: int | None = None
    global_batch_size: int | None = None
    seq_length: int | None = None
    devices: int | None = None
    limit_s: float | None = None
    before_s: float | None = None
    limit_mb: float | None = None


CASES = (
    Case(
        name="GPT-3 175B on 64 A100",
        cluster="dgx-a100-128",
        model="gpt3-175b",
        devices=64,
        limit_s=0.8,
        before_s=1.6,
    ),
    Case(
        name="GPT-3 175B on 1,024 A100",
        cluster="dgx-a100-128",
        model="gpt3-175b",
        limit_s=1.0,
        before_s=1.5,
        limit_mb=300.0,
    ),
    Case(
        name="GPT-3 175B on 3,072 A100",
        cluster="dgx-a100-384",
        model="gpt3-175b",
        limit_s=2.0,
        before_s=2.5,
    ),
    Case(
        name="Llama 3.1 405B on 16,384 H100",
        cluster="dgx-h100-2048",
        model="llama-3.1-405b",
        limit_s=2.5,
        before_s=4.3,
    ),
    Case(
        name="DeepSeek-V3 on 2,048 H100",
        cluster="dgx-h100-2048",
        model="deepseek-v3",
        nodes=256,
        limit_s=3.0,
        before_s=6.8,
    ),
    Case(
        name="Qwen3 235B, 32k tokens, 16,384 H100",
        cluster="dgx-h100-2048",
        model="qwen3-235b-a22b",
        global_batch_size=16384,
        seq_length=32768,
        before_s=8.2,
    ),
    Case(
        name="GPT-3 175B on 60 nodes",
        cluster="dgx-a100-128",
        model="gpt3-175b",
        nodes=60,
        before_s=1.5,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    cpu_s: float
    resident_mb: float
    candidates: int
    fitting: int
    refined: int


def cold(case: Case) -> Cold:
    """One search in a new process."""
    command = [sys.executable, "-m", "planner", "search", "--json"]
    command += ["--cluster", case.cluster, "--model", case.model]
    for option in ("nodes", "devices", "global_batch_size", "seq_length"):
        if getattr(case, option) is not None:
            command += ["--" + option.replace("_", "-"), str(getattr(case, option))]
    with TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        found = json.load(output)["search"]
    unit = 1 if sys.platform == "darwin" else 1024
    return Cold(
        cpu_s=usage.ru_utime,
        resident_mb=usage.ru_maxrss * unit / 1e6,
        candidates=found["candidates"],
        fitting=found["fitting"],
        refined=found["refined"],
    )


def bounded_per_s(case: Case) -> float:
    """Candidates bounded per second, the best of three."""
    from planner.specs.job import build_job
    from planner.specs.load import load_cluster, load_model, load_software
    from planner.training.scenario import build_scenario
    from planner.training.search.best_first.run import SearchRun
    from planner.training.search.space.restrictions import Restrictions

    cluster = load_cluster(case.cluster).sized(nodes=case.nodes, devices=case.devices)
    model = load_model(case.model)
    software = load_software(model.training.software or "megatron-core")
    job = build_job(
        model,
        software,
        devices=cluster.num_devices or 0,
        global_batch_size=case.global_batch_size,
        seq_length=case.seq_length,
    )
    rates = []
    for _ in range(3):
        run = SearchRun(
            scenario=build_scenario(cluster, model, job), restrictions=Restrictions(), top=10
        )
        start = perf_counter()
        run.bound()
        rates.append(run.space.enumeration.tally.candidates / (perf_counter() - start))
    return max(rates)


def main() -> int:
    """Prints a row per case; 1 when a limit is not kept."""
    kept = True
    compile_dir(Path(planner.__file__).parent, quiet=2)
    print(
        f"{'case':37}{'candidates':>12}{'fit':>9}{'refined':>9}{'CPU s':>8}{'limit':>7}{'ratio':>7}"
        f"{'MB':>6}{'limit':>7}{'bounded/s':>12}"
    )
    for case in CASES:
        found, rate = cold(case), bounded_per_s(case)
        kept &= found.cpu_s <= (case.limit_s or float("inf"))
        ratio = f"{found.cpu_s / case.before_s:.2f}" if case.before_s else ""
        kept &= found.resident_mb <= (case.limit_mb or float("inf"))
        print(
            f"{case.name:37}{found.candidates:>11,}{found.fitting:>9,}{found.refined:>9,}"
            f"{found.cpu_s:>8.2f}{case.limit_s or '':>7}{ratio:>7}{found.resident_mb:>6.0f}"
            f"{case.limit_mb or '':>7}{rate:>12,.0f}",
            flush=True,
        )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
