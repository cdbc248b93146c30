"""`planner explain`: what bounds a plan, what would make it faster, and why not another way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner import api
from planner.explanation.hardware import BETTER
from planner.explanation.variations import varied

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome
    from tests.conftest import Golden

JOB = ("--cluster", "dgx-a100-8", "--model", "gpt-7.5b", "--nodes", "2")


@pytest.fixture
def plans(
    searched_plans: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.chdir(tmp_path)
    axes = ("--tensor", "4", "--pipeline", "2", "--micro-batch-size", "1", "--recompute", "none")
    (tmp_path / "plans.json").write_text(searched_plans(*JOB, *axes, "--top", "1"))
    return tmp_path


def explained(planner: Callable[..., Outcome], *arguments: str) -> dict[str, Any]:
    outcome = planner("explain", "plans.json", *arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    document: dict[str, Any] = json.loads(outcome.stdout)
    return document


def test_better_hardware_never_costs_time(planner: Callable[..., Outcome], plans: Path) -> None:
    found = explained(planner)
    assert found["schema"] == "planner/explanation/1"
    gains = [lever["gain"] for lever in found["hardware"]]
    assert len(gains) == len(BETTER)
    assert min(gains) >= -1e-9
    assert gains == sorted(gains, reverse=True)
    assert found["hardware"][0]["name"] == "peak rate of the devices +10%"
    assert found["hardware"][0]["gain"] < 0.1
    assert sum(found["time"].values()) == pytest.approx(found["step_s"], rel=1e-7)


def test_each_decision_is_priced_as_estimate_prices_it(
    planner: Callable[..., Outcome], plans: Path
) -> None:
    levers = {lever["name"]: lever for lever in explained(planner)["decisions"]}
    assert {"recompute full", "recompute selective", "micro-batch 2"} <= set(levers)
    plan = api.load_plan("plans.json").plan
    scenario = api.estimate("dgx-a100-8", "gpt-7.5b", plan="plans.json").scenario
    fuller = varied(scenario, plan, {"recompute": "full"})
    priced = api.estimate("dgx-a100-8", "gpt-7.5b", plan=fuller, nodes=2, global_batch_size=512)
    assert levers["recompute full"]["step_s"] == pytest.approx(priced.estimate.step_s, rel=1e-7)
    assert levers["recompute full"]["gain"] < 0
    assert levers["twice the global batch, per token"]["gain"] > 0


def test_the_report(planner: Callable[..., Outcome], plans: Path, golden: Golden) -> None:
    outcome = planner("explain", "plans.json", "--why-not", "tensor=8,micro-batch-size=2")
    assert outcome.code == 0
    golden.check("explain.txt", outcome.stdout)
    assert max(map(len, outcome.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("why_not", "said"),
    [
        ("tensor=3", "It cannot run: "),
        ("tensor=1,pipeline=1,data-sharding=none", "It does not fit: stage 0 needs "),
        ("recompute=full", "recompute full takes "),
        ("TP=1,vpp=2", "At its best it is t1 p"),
        ("plans.json", "are equally fast"),
    ],
)
def test_why_not(planner: Callable[..., Outcome], plans: Path, why_not: str, said: str) -> None:
    outcome = planner("explain", "plans.json", "--why-not", why_not)
    assert outcome.code == 0, outcome.stderr
    assert said in " ".join(outcome.stdout.split())
    assert outcome.stdout.startswith("Why not ")


def test_what_is_not_named_takes_its_best_value(
    planner: Callable[..., Outcome], plans: Path
) -> None:
    """An interleaved plan does not keep its schedule on one stage, where there is none to
    interleave; the answer is what a search with the same decisions finds."""
    chunks = ("--tensor", "2", "--pipeline", "4", "--virtual-stages", "3", "--recompute", "none")
    made = planner("search", *JOB, *chunks, "--top", "1", "--output", "plans.json")
    assert made.code == 0, made.stderr
    asked = explained(planner, "--why-not", "tp=8,pp=1")["why_not"]
    assert asked["refused"] is None
    assert (asked["taken"]["tensor"], asked["taken"]["pipeline"]) == (8, 1)
    assert asked["taken"]["virtual_stages"] == 1
    best = api.search("dgx-a100-8", "gpt-7.5b", nodes=2, tensor=8, pipeline=1, top=1, idle=False)
    step_s = asked["comparison"]["plans"][1]["step_s"]
    assert step_s == pytest.approx(best.best.estimate.step_s, rel=1e-8)


@pytest.mark.parametrize(
    ("why_not", "message"),
    [
        ("tensor=", "'tensor=' is not NAME=VALUE"),
        ("tensor=4,tensor=8", "is not NAME=VALUE, once for each name"),
        ("tensr=4", "'tensr' is no decision of a plan: tensor, pipeline"),
        ("recompute=some", "--recompute"),
        ("tensor=four", "--tensor"),
        ("nowhere.json", "nowhere.json"),
        ("tensor=4,", "is not NAME=VALUE"),
    ],
)
def test_what_says_nothing_is_refused(
    planner: Callable[..., Outcome], plans: Path, why_not: str, message: str
) -> None:
    outcome = planner("explain", "plans.json", "--why-not", why_not)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
