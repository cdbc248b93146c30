"""Commands together, with the real search and in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest

from planner.cli.progress import PHASES
from planner.plan_document import plan_schema
from planner.training.confidence.interval import tied

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

INPUTS = ("--cluster", "dgx-a100-8", "--model", "gpt-7.5b")
SEARCH = ("search", *INPUTS, "--nodes", "2", "--top", "3")
PROGRESS = re.compile(rf"({'|'.join(PHASES.values())}), \d+ s: ")


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for seed in ("1", "2"):
        path = tmp_path / f"plans-{seed}.json"
        result = process(*SEARCH, "--output", str(path), PYTHONHASHSEED=seed)
        assert result.returncode == 0
        assert not [line for line in result.stderr.splitlines() if not PROGRESS.match(line)]
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_a_found_plan_costs_the_same_when_estimated_and_passes_the_check(
    planner: Run, tmp_path: Path
) -> None:
    path = tmp_path / "plans.json"
    assert planner(*SEARCH, "--output", str(path)).code == 0
    found = json.loads(path.read_text())
    jsonschema.Draft202012Validator(plan_schema()).validate(found)
    assert [plan["rank"] for plan in found["plans"]] == [1, 2, 3]
    assert found["search"]["combination_gap"] == 0
    estimated = planner("estimate", *INPUTS, "--plan", f"{path}#2", "--json")
    assert (estimated.code, estimated.stderr) == (0, "")
    (again,) = json.loads(estimated.stdout)["plans"]
    best, second, _ = found["plans"]
    assert best.pop("tied_with_best") is True
    steps_s = [plan["estimate"]["step_s"] for plan in (best, second)]
    assert second.pop("tied_with_best") is tied(*steps_s)
    (proof,) = second.pop("proofs")
    assert (proof["decision"], proof["gap"]) == ("placement", 0.0)
    assert {**again, "rank": 2} == second
    step_s = second["estimate"]["confidence"]["step_s"]
    assert step_s["low"] < second["estimate"]["step_s"] < step_s["high"]
    checked = planner("check", *INPUTS, f"{path}#1", "--within-of-best", "0%")
    assert (checked.code, checked.stderr) == (0, "")
    assert ": error " not in checked.stdout
    assert ", nothing better found\n" in checked.stdout
    tighter = planner("check", *INPUTS, f"{path}#1", "--headroom", "90%")
    assert tighter.code == 1
    assert f"{path}:" in tighter.stdout
    assert "error PL002 headroom-below" in tighter.stdout


@pytest.mark.slow
def test_when_nothing_fits_the_reason_and_the_changes_are_there(planner: Run) -> None:
    arguments = ("search", "--cluster", "dgx-a100-8", "--model", "gpt3-175b", "--nodes", "1",
                 "--global-batch-size", "64", "--schedule", "1f1b", "--micro-batch-size", "1",
                 "--tensor", "4,8")  # fmt: skip
    report = planner(*arguments)
    assert report.code == 1
    first, *lines = report.stdout.splitlines()
    assert first.startswith("Nothing fits: stage 0 needs ")
    assert "Closest" in lines
    assert "Changes that would fit, the cheapest first" in lines
    outcome = planner(*arguments, "--json")
    assert outcome.code == 1
    document = json.loads(outcome.stdout)
    jsonschema.Draft202012Validator(plan_schema()).validate(document)
    assert document["plans"] == []
    assert document["search"]["nearest"][0]["estimate"]["memory"]["fits"] is False
    assert document["search"]["changes"][0]["estimate"]["memory"]["fits"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--tensor 3", "heads: "),
        ("--global-batch-size 7 --data 2", "batch: "),
        ("--schedule gpipe --software megatron-core", "--schedule: software profile megatron-core"),
    ],
)
def test_combinations_that_cannot_be(planner: Run, options: str, message: str) -> None:
    outcome = planner(*SEARCH, *options.split())
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {message}")


def test_an_interrupt_ends_with_130_and_no_traceback() -> None:
    slow = ("--pipeline", "8", "--global-batch-size", "1000000")
    arguments = ("search", "--cluster", "dgx-a100-8", "--model", "llama-3-8b", *slow)
    with subprocess.Popen(
        [sys.executable, "-m", "planner", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        assert PROGRESS.match(running.stderr.readline())
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=300)
    assert running.returncode == 130
    assert "Traceback" not in stderr


def test_no_colour_leaves_no_colour_codes() -> None:
    result = process(*SEARCH, "--tensor", "4", "--recompute", "none", FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b[3" not in result.stdout
    assert result.stdout.lstrip("\x1b[1m").startswith("Best ")
