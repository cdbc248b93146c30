"""How fast the search is: `python -m benchmarks.search`.

Every case is run twice. Cold, as a user does: the processor seconds of a new process from start to
exit (of the package and what it needs in bytecode, as installers leave them), how they compare with
what the case took before (at 4eb6824, on a machine with two cores and little else to do), and the
largest resident size. Then inside this process, to time the bounding of the space alone: candidates
are combinations that pass the framework's rules, and their rate is over enumeration, pricing of
layers, memory and time bounds of all of them. How far the answers are
proven follows, on nodes that are all alike and with the software profile `megatron-core`, and then
commands that search nothing.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from compileall import compile_dir
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from time import perf_counter
from typing import TYPE_CHECKING, Any

import yaml

import planner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A search, the processor seconds that it should take at most and those that it took before;
    None: nothing is claimed."""

    name: str
    cluster: str
    model: str
    count: int | None = None
    """Nodes of the cluster where it has another number than its file."""
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
    Case(
        name="Llama 3.1 405B on 1,024 H100",
        cluster="dgx-h100-128",
        model="llama-3.1-405b",
    ),
    Case(
        name="Llama 3.1 405B on 100,000 H100",
        cluster="dgx-h100-2048",
        model="llama-3.1-405b",
        count=12_500,
        global_batch_size=20_000,
        limit_s=5.0,
    ),
)

PROVEN = (
    Case(name="GPT-3 175B on 1,024 A100", cluster="dgx-a100-128", model="gpt3-175b"),
    Case(name="GPT-3 175B on 3,072 A100", cluster="dgx-a100-384", model="gpt3-175b"),
    Case(name="Llama 3.1 405B on 1,024 H100", cluster="dgx-h100-128", model="llama-3.1-405b"),
    Case(name="Llama 3.1 405B on 16,384 H100", cluster="dgx-h100-2048", model="llama-3.1-405b"),
    Case(name="DeepSeek-V3 on 2,048 H100", cluster="dgx-h100-2048", model="deepseek-v3", nodes=256),
    Case(name="Qwen3 235B on 1,024 H100", cluster="dgx-h100-128", model="qwen3-235b-a22b"),
    Case(name="Qwen3 235B on 256 H100", cluster="dgx-h100-128", model="qwen3-235b-a22b", nodes=32),
    Case(name="gpt-oss 120B on 1,024 H100", cluster="dgx-h100-128", model="gpt-oss-120b"),
)
"""Searches of which the gaps are printed."""

PROVEN_WITH = "megatron-core"
"""The software profile of these, in which nothing overlaps."""

COMMANDS = (
    ("--help", ["--help"], 0.1),
    ("check, no search", ["check", "examples/gpt3-175b-on-dgx-a100-128.json"], 0.5),
    ("validate", ["validate", "--json"], 6.0),
    ("validate --serving", ["validate", "--serving", "--json"], 6.0),
)
"""Name, arguments, and the processor seconds that they should take at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    cpu_s: float
    resident_mb: float
    candidates: int
    fitting: int
    refined: int


def compile_packages() -> None:
    """Leave the package and what it imports in bytecode."""
    import planner.cli.app
    import planner.cli.search  # noqa: F401

    imported = {name.partition(".")[0] for name in sys.modules}
    for package in imported & {"planner", *packages_distributions()}:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations if spec else None) or ():
            compile_dir(place, quiet=2)


def run(arguments: Sequence[str]) -> tuple[str, resource.struct_rusage]:
    """What a command prints in a new process, and what that used."""
    command = [sys.executable, "-m", "planner", *arguments]
    with TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        return output.read(), usage


@contextmanager
def cluster_of(case: Case) -> Iterator[str]:
    """Name or file of the case's cluster."""
    if case.count is None:
        yield case.cluster
        return
    given = yaml.safe_load(Path(f"clusters/{case.cluster}.yaml").read_text())
    given["node_groups"][0]["count"] = case.count
    with NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(given, file)
        file.flush()
        yield file.name


def searched(case: Case, *more: str) -> tuple[dict[str, Any], resource.struct_rusage]:
    """What one search in a new process says of itself, with `more` arguments, and what it used."""
    with cluster_of(case) as cluster:
        arguments = ["search", "--json", "--cluster", cluster, "--model", case.model, *more]
        for option in ("nodes", "devices", "global_batch_size", "seq_length"):
            if getattr(case, option) is not None:
                arguments += ["--" + option.replace("_", "-"), str(getattr(case, option))]
        text, usage = run(arguments)
    return json.loads(text)["search"], usage


def print_gaps() -> None:
    """How far the answers are proven: all plans listed, and the best one alone."""
    print(f"\n{'proven within, ' + PROVEN_WITH:37}{'all':>8}{'best':>8}{'from':>14}{'CPU s':>8}")
    for case in PROVEN:
        found, usage = searched(case, "--software", PROVEN_WITH)
        print(
            f"{case.name:37}{found['gap']:>8.2%}{found['best_gap']:>8.2%}"
            f"{found['gap_from'] or '':>14}{usage.ru_utime:>8.2f}",
            flush=True,
        )
    print()


def cold(case: Case) -> Cold:
    """One search in a new process."""
    found, usage = searched(case)
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

    with cluster_of(case) as given:
        cluster = load_cluster(given).sized(nodes=case.nodes, devices=case.devices)
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
        search = SearchRun(
            scenario=build_scenario(cluster, model, job), restrictions=Restrictions(), top=10
        )
        start = perf_counter()
        search.bound()
        rates.append(search.space.enumeration.tally.candidates / (perf_counter() - start))
    return max(rates)


def main() -> int:
    """Prints a row per case; 1 when a limit is not kept."""
    kept = True
    os.chdir(Path(planner.__file__).parents[1])
    compile_packages()
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
    print_gaps()
    for name, arguments, limit_s in COMMANDS:
        cpu_s = run(arguments)[1].ru_utime
        kept &= cpu_s <= limit_s
        print(f"{name:67}{cpu_s:>8.2f}{limit_s:>7}", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
