"""`--json` while integer programs are solved: one document on standard output, whoever solves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from planner.plan_document import plan_schema
from planner.solver import Claim, Limits, UnusableEngineError, solver
from planner.solver.highs import Highs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from planner.arrays import Floats
    from planner.solver import Engine
    from planner.solver.program import SolverProgram
    from tests.cli.conftest import Outcome

CLUSTER = """
name: leaves
node_groups:
  - name: a
    count: 22
    device: a100-sxm-80gb
    devices_per_node: 1
    intra_node: {bandwidth: 300 GB/s}
    network: {cards: 1, bandwidth: 25 GB/s}
fabric:
  tiers: [{name: leaf, nodes: 11, oversubscription: 1}, {name: spine, oversubscription: 8}]
"""
"""More nodes than are placed exactly, on leaves whose order matters."""

MODEL = """
name: small
architecture: llama
num_layers: 6
hidden_size: 2048
ffn_hidden_size: 8192
num_attention_heads: 16
vocab_size: 32000
"""

ONE = (
    "--tensor 1 --pipeline 2 --schedule 1f1b --micro-batch-size 1 --recompute none --top 1 "
    "--data-sharding optimizer"
)
JOB = "--global-batch-size 44 --seq-length 1024"

STUB = """
import time

class Anything:
    def __getattr__(self, name):
        return Anything()

    def __call__(self, *arguments):
        return Anything()

cb = HighsStatus = MatrixFormat = HighsVarType = HighsLp = HighsSolution = Anything()

class Highs(Anything):
    def run(self):
        {does}
"""
"""A `highspy` that answers no program."""


def arguments(folder: Path) -> tuple[str, ...]:
    (folder / "c.yaml").write_text(CLUSTER)
    (folder / "m.yaml").write_text(MODEL)
    files = ("--cluster", str(folder / "c.yaml"), "--model", str(folder / "m.yaml"))
    return ("search", *files, *ONE.split(), *JOB.split())


def searched(folder: Path, highspy: str | None, *options: str) -> dict[str, Any]:
    """The document of a search in a process of its own, with another `highspy`."""
    environment = dict(os.environ)
    if highspy is not None:
        (folder / "highspy.py").write_text(highspy)
        environment["PYTHONPATH"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-m", "planner", *arguments(folder), "--json", *options],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    jsonschema.Draft202012Validator(plan_schema()).validate(document)
    return document


@pytest.mark.parametrize(
    ("highspy", "engine", "why"),
    [
        (None, "highs", None),
        ("raise ImportError\n", "cbc", "missing: the package highspy is not installed"),
        (STUB.format(does="raise RuntimeError('gone')"), "cbc", "died: RuntimeError: gone"),
    ],
)
def test_stdout_is_one_document_whoever_solves(
    tmp_path: Path, highspy: str | None, engine: str, why: str | None
) -> None:
    document = searched(tmp_path, highspy)
    (best,) = document["plans"]
    solved = int(best["proofs"][0]["method"].split()[-2])
    solver = document["search"]["solver"]
    assert (solver["programs"] >= solved > 0, solver["unanswered"]) == (True, 0)
    assert solver["engines"][-1]["name"] == engine
    assert solver["engines"][-1]["answered"] == solver["programs"]
    assert solver["engines"][0]["passed_over"] == why


def test_a_solver_that_hangs_does_not_hold_up_a_time_limit(tmp_path: Path) -> None:
    document = searched(tmp_path, STUB.format(does="time.sleep(3600)"), "--time-limit", "6")
    assert len(document["plans"]) == 1
    assert document["search"]["stopped"] == "time limit"
    assert document["search"]["proven"] is False


class Hanging:
    """Says what an engine says that was waited for in vain, without the wait."""

    name = "hanging"

    def version(self) -> str:
        return "0"

    def run(self, program: SolverProgram, limits: Limits, start: Floats | None) -> Claim:
        raise UnusableEngineError(f"hung: no answer after {limits.seconds + limits.grace_s:g} s")


@pytest.mark.parametrize("others", [(Highs(),), ()])
def test_a_solver_that_hangs_is_passed_over_and_the_report_says_so(
    planner: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    others: tuple[Engine, ...],
) -> None:
    monkeypatch.setattr(solver, "all_engines", lambda: (Hanging(), *others))
    outcome = planner(*arguments(tmp_path), "--output", str(tmp_path / "plans.json"))
    assert outcome.code == 0
    record = json.loads((tmp_path / "plans.json").read_text())["search"]["solver"]
    lost, *rest = record["engines"]
    assert (lost["name"], lost["answered"]) == ("hanging", 0)
    assert lost["passed_over"] == "hung: no answer after 65 s"
    said = " ".join(outcome.stdout.split())
    assert "hanging was passed over: hung: no answer after 65 s." in said
    if others:
        assert record["unanswered"] == 0
        assert rest[0]["answered"] == record["programs"] > 0
        version = rest[0]["version"]
        assert f"answered: {record['programs']} by highs {version}." in said
    else:
        assert record["unanswered"] == record["programs"] > 0
        assert f"answered: {record['programs']} by none." in said


def test_the_report_ends_with_who_solved(planner: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = planner(*arguments(tmp_path))
    assert "passed over" not in outcome.stdout
    assert re.fullmatch(
        r"\d+ integer programs answered: \d+ by highs [\d.]+\.", outcome.stdout.splitlines()[-1]
    )
