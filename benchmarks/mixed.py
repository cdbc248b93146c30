"""How good and how fast searches on mixed devices are: `python -m benchmarks.mixed [WORD …]`.

`--software NAME|FILE` takes another software profile than the default of `planner search`.

Every case is a new process, as a user starts one; CPU seconds are of that process alone, start
included. The gap is the larger of those of combinations that were left out and of the plans listed.
Words choose the cases whose names have one of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

A100, H100, B200 = "a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm"
SPEEDS = {
    A100: ("300 GB/s", "25 GB/s"),
    H100: ("450 GB/s", "50 GB/s"),
    B200: ("900 GB/s", "50 GB/s"),
}
"""Links of a device inside its node, and of each network card."""

TIERS = [
    {"name": "leaf", "nodes": 32},
    {"name": "spine", "oversubscription": 2},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A search, and what it is to reach. `groups`: device, nodes and devices of a node."""

    name: str
    groups: tuple[tuple[str, int, int], ...]
    model: str
    tiers: bool = False
    nodes: int | None = None
    top: int = 5
    step_s: float | None = None
    gap: float
    cpu_s: float | None = None


MIXED_16 = ((A100, 8, 8), (H100, 8, 8))
CASES = (
    *(
        Case(name=f"16 nodes {model}", groups=MIXED_16, model=model, step_s=s, gap=0.02, cpu_s=10)
        for model, s in (
            ("llama-2-70b", 44.14),
            ("gpt3-175b", 85.0),
            ("llama-3-8b", 5.52),
            ("mixtral-8x7b", 9.06),
        )
    ),
    Case(
        name="three types, 32 nodes",
        groups=((A100, 12, 8), (H100, 12, 8), (B200, 8, 8)),
        model="llama-2-70b",
        step_s=16.51,
        gap=0.03,
        cpu_s=15,
    ),
    Case(
        name="12 of 16 nodes",
        groups=MIXED_16,
        model="llama-2-70b",
        nodes=12,
        step_s=54.7,
        gap=0.03,
        cpu_s=10,
    ),
    Case(
        name="128 nodes",
        groups=((A100, 64, 8), (H100, 64, 8)),
        model="gpt3-175b",
        top=1,
        step_s=11.67,
        gap=0.05,
        cpu_s=20,
    ),
    Case(
        name="512 nodes, leaf and spine",
        groups=((A100, 256, 8), (H100, 256, 8)),
        model="llama-3.1-405b",
        tiers=True,
        top=1,
        gap=0.05,
        cpu_s=60,
    ),
    Case(
        name="nodes of 8 and of 4",
        groups=((A100, 8, 8), (H100, 8, 4)),
        model="llama-2-70b",
        gap=0.03,
    ),
    Case(
        name="nodes of 4 and of 8",
        groups=((H100, 8, 4), (A100, 8, 8)),
        model="llama-2-70b",
        gap=0.03,
    ),
)


def cluster_of(case: Case) -> dict[str, Any]:
    """The cluster file of a case."""
    fabric = {"fabric": {"tiers": TIERS}} if case.tiers else {}
    groups = []
    for device, count, devices in case.groups:
        inside, network = SPEEDS[device]
        groups.append(
            {
                "name": device.split("-")[0],
                "count": count,
                "device": device,
                "devices_per_node": devices,
                "intra_node": {"bandwidth": inside},
                "network": {"cards": devices, "bandwidth": network},
            }
        )
    return {"name": "mixed", "node_groups": groups, **fabric}


def measured(case: Case, folder: Path, software: str | None) -> tuple[dict[str, Any], float]:
    """The document of a cold search, and its CPU seconds. `software`: None takes the default."""
    path = folder / "cluster.yaml"
    path.write_text(json.dumps(cluster_of(case)), encoding="utf-8")
    nodes = () if case.nodes is None else ("--nodes", str(case.nodes))
    profile = () if software is None else ("--software", software)
    command = [
        *(sys.executable, "-m", "planner", "search", "--cluster", str(path)),
        *("--model", case.model, "--top", str(case.top), *nodes, *profile, "--json"),
    ]
    with TemporaryFile() as written, TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=written, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{case.name}: {said.read().decode()}")
        written.seek(0)
        return json.loads(written.read()), used.ru_utime + used.ru_stime


def main(arguments: Sequence[str]) -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="cases whose names have it")
    parser.add_argument("--software", metavar="NAME|FILE", help="software profile")
    asked = parser.parse_args(arguments)
    words: list[str] = asked.words
    print(f"{'case':32} {'step':>9} {'to reach':>9} {'gap':>7} {'to reach':>9} {'CPU':>8}")
    with TemporaryDirectory() as folder:
        for case in CASES:
            if words and not any(word in case.name for word in words):
                continue
            document, cpu_s = measured(case, Path(folder), asked.software)
            found, best = document["search"], document["plans"][0]
            gap = max(found["gap"], found["layout_gap"], found["placement_gap"])
            wanted = "" if case.step_s is None else f"{case.step_s:.2f} s"
            print(
                f"{case.name:32} {best['estimate']['step_s']:7.2f} s {wanted:>9} {gap:7.2%} "
                f"{case.gap:9.0%} {cpu_s:6.1f} s  {found['stopped']}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
