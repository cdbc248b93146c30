"""Exports of a plan: each format is written whole or refused with what it cannot say, each text
is well formed, and what can be read back is the same plan."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from planner.exporters import torch_pipelining
from planner.exporters.formats import FORMATS
from planner.specs.load import load_software
from tests.fuzz.compare import differences
from tests.fuzz.contracts import decisions_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.case import Case

FOLDER = "exported"
ROUNDING = 1e-6
OWN_FORMATS = {
    name: name for name in ("megatron-lm", "deepspeed", "torchtitan", "automodel", "accelerate")
}
"""The format of each framework that has one."""
PUBLISHED_ONLY = (
    "megatron-lm-2021",
    "megatron-lm-2022",
    "megatron-deepspeed-2022",
    "megatron-deepspeed-moe",
    "deepspeed-3d-2021",
    "megatron-lm-2021-03",
    "megatron-kwai",
)
"""Profiles of published runs, whose frameworks' flags of that time are not written."""
READ_BACK = ("megatron-lm.txt",)

_PASS = re.compile(r"([0-9]+)([FBIW])([0-9]+)")
_UNSAID = re.compile(r" cannot express ([a-z_.]+): ")


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
        yield "exports", f"--format all: {ran.errors[:400]}"
        return
    for file in sorted(folder.iterdir()):
        case.checked["exports are well formed"] += 1
        problem = _malformed(file.name, file.read_text(), plan)
        if problem:
            yield "exports are well formed", f"{file.name}: {problem}"
    name = case.rng.choice(list(FORMATS))
    ran = case.run("export", "plans.json#1", *asked, "--format", name)
    if ran.code == 2 and "cannot express" not in ran.stderr:
        yield "exports", f"{name}: {ran.errors[:400]}"
    yield from _unsaid(case, asked)
    for name in READ_BACK:
        if (folder / name).exists():
            yield from _read_back(case, name, plan)


def _unsaid(case: Case, asked: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A decision of the plan that the exporter of its own framework has no words for: such a plan
    belongs into no search of that profile. Of models and jobs it may say less."""
    name = case.scenario.software
    target = OWN_FORMATS.get(load_software(name).framework)
    if target is None or name in PUBLISHED_ONLY:
        return
    case.checked["the own exporter says every decision"] += 1
    ran = case.run("export", "plans.json#1", *asked, "--format", target)
    field = _UNSAID.search(ran.errors)
    if field is not None and not field[1].startswith(("model", "job", "software")):
        yield "the own exporter says every decision", ran.errors[:400]


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
        elif name == torch_pipelining.FILE:
            return _wrong_schedule(text, plan)
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


def _wrong_schedule(text: str, plan: dict[str, Any]) -> str | None:
    """A line per stage, in which every microbatch goes forward and then back once through each of
    its chunks."""
    chunks, microbatches = plan["virtual_stages"], range(plan["num_microbatches"])
    lines = text.splitlines()
    if len(lines) != plan["degrees"]["pipeline"]:
        return f"{len(lines)} lines for {plan['degrees']['pipeline']} stages"
    held: list[int] = []
    for number, line in enumerate(lines, start=1):
        passes = [_PASS.fullmatch(cell) for cell in line.split(",")]
        if None in passes:
            return f"line {number} holds what is no pass"
        order: dict[tuple[int, int], str] = {}
        for one in passes:
            assert one is not None
            key = (int(one[1]), int(one[3]))
            order[key] = order.get(key, "") + one[2]
        held += sorted({chunk for chunk, _ in order})
        if {microbatch for _, microbatch in order} != set(microbatches):
            return f"line {number} holds other microbatches than the plan"
        if len(order) != chunks * len(microbatches) or {*order.values()} - {"FB", "FIW"}:
            return f"line {number} runs a microbatch in another order than forward, back"
    if sorted(held) != list(range(len(lines) * chunks)):
        return f"the stages hold the chunks {held}"
    return None


def _read_back(case: Case, name: str, plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A script that was exported launches the plan it was exported from. Modules are read as part
    of the job, whose step then takes as long."""
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
        yield "exports read back", f"{name}: {ran.errors[:500]}"
        return
    found = document["plans"][0]
    aside = {"placement": None, "recompute_modules": None, "offload_modules": None}
    ours, wanted = ({**decisions_of(one), **aside} for one in (found, plan))
    different = next(differences(ours, wanted), None)
    if different is not None:
        yield "exports read back", f"{name}: {different}"
        return
    steps = found["estimate"]["step_s"], plan["estimate"]["step_s"]
    if abs(steps[0] - steps[1]) > ROUNDING * steps[1]:
        yield "exports read back", f"{name}: {steps[0]} s, not {steps[1]} s"
