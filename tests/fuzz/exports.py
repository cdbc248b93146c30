"""Exports of a plan: each format is written whole or refused with what it cannot say, each text
is well formed, and what can be read back is the same plan."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from planner.exporters.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.case import Case

FOLDER = "exported"
ROUNDING = 1e-6
READ_BACK = ("megatron-lm.txt",)
STATED = (
    "degrees", "micro_batch_size", "num_microbatches", "schedule", "virtual_stages",
    "sequence_parallel", "data_sharding", "recompute", "stages",
)  # fmt: skip


def broken_exports(case: Case, plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What does not hold of the exports of plan 1: the property and what was seen."""
    asked = (
        "--cluster", "cluster.yaml", "--model", "model.yaml",
        "--software", case.scenario.software,
    )  # fmt: skip
    folder = case.folder / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    ran = case.run("export", "plans.json#1", *asked, "--format", "all", "--output", FOLDER)
    if ran.code != 0:
        yield "exports", f"--format all: {ran.stderr[:400] or ran.raised}"
        return
    for file in sorted(folder.iterdir()):
        case.checked["exports are well formed"] += 1
        problem = _malformed(file.name, file.read_text(), plan)
        if problem:
            yield "exports are well formed", f"{file.name}: {problem}"
    name = case.rng.choice(list(FORMATS))
    ran = case.run("export", "plans.json#1", *asked, "--format", name)
    if ran.code == 2 and "cannot express" not in ran.stderr:
        yield "exports", f"{name}: {ran.stderr[:400]}"
    for name in READ_BACK:
        if (folder / name).exists():
            yield from _read_back(case, name, plan)


def _malformed(name: str, text: str, plan: dict[str, Any]) -> str | None:
    """What keeps a file from being read; None when nothing does."""
    suffix = name.rpartition(".")[2]
    try:
        if suffix == "py":
            compile(text, name, "exec")
        elif suffix == "json":
            json.loads(text)
        elif suffix == "yaml":
            list(yaml.safe_load_all(text))
        elif suffix == "sh":
            ran = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
            return ran.stderr or None
        elif suffix == "csv":
            return _wrong_table(text, plan)
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        return str(error)
    return None


def _wrong_table(text: str, plan: dict[str, Any]) -> str | None:
    rows = list(csv.DictReader(text.splitlines()))
    degrees = plan["degrees"]
    devices = degrees["tensor"] * degrees["pipeline"] * degrees["data"] * degrees["context"]
    if len(rows) != devices:
        return f"{len(rows)} rows for {devices} devices"
    if [int(row["rank"]) for row in rows] != list(range(devices)):
        return "ranks are not in order"
    if {row["host"] for row in rows} != set(plan["placement"]["hosts"]):
        return "other hosts than the plan's"
    return None


def _read_back(case: Case, name: str, plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A script that was exported launches the plan it was exported from."""
    degrees = plan["degrees"]
    devices = degrees["tensor"] * degrees["pipeline"] * degrees["data"] * degrees["context"]
    (case.folder / "hosts.txt").write_text("\n".join(plan["placement"]["hosts"]) + "\n")
    more = ("--headroom", case.scenario.workload.get("--headroom", "5%"))
    ran = case.run(
        "estimate", "--cluster", "cluster.yaml", "--plan", f"{FOLDER}/{name}",
        "--software", case.scenario.software, *more, "--devices", str(devices),
        "--hosts", "hosts.txt", "--json",
    )  # fmt: skip
    case.checked["exports read back"] += 1
    document = case.document(ran)
    if document is None:
        yield "exports read back", f"{name}: {ran.stderr[:500] or ran.raised}"
        return
    found = document["plans"][0]
    for key in STATED:
        if found[key] != plan[key]:
            yield "exports read back", f"{name}: {key} {found[key]} was {plan[key]}"
            return
    steps = found["estimate"]["step_s"], plan["estimate"]["step_s"]
    if abs(steps[0] - steps[1]) > ROUNDING * steps[1]:
        yield "exports read back", f"{name}: {steps[0]} s, not {steps[1]} s"
