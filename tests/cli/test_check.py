"""`planner check`: one line and an exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from planner import estimate as estimator
from planner.plan_document import to_document, to_text
from planner.search import search as engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from planner.search.result import SearchResult
    from tests.cli.conftest import Outcome
    from tests.conftest import Samples

    Run = Callable[..., Outcome]

INPUTS = ("check", "--cluster", "dgx-a100-128", "--model", "gpt3-175b")


@pytest.fixture
def plans(samples: Samples, tmp_path: Path) -> str:
    found = samples.found()
    path = tmp_path / "plans.json"
    path.write_text(to_text(to_document(samples.inputs(), found.plans, search=found)))
    return str(path)


@pytest.fixture
def best(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes the search find a best plan of that many seconds; every plan costs 30 s."""

    def find(step_s: float) -> None:
        first = samples.ranked()[0]
        ranked = replace(first, estimate=samples.estimate(first.plan, step_s=step_s))

        def search(*_: object, **asked: Any) -> SearchResult:
            assert asked["top"] == 1
            return replace(samples.found(), plans=(ranked,))

        monkeypatch.setattr(engine, "search", search)

    monkeypatch.setattr(estimator, "estimate", lambda _, plan: samples.estimate(plan))
    return find


def test_a_plan_near_the_best(planner: Run, plans: str, best: Callable[[float], None]) -> None:
    best(29.0)
    outcome = planner(*INPUTS, f"{plans}#1")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == (
        "ok: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step (27.90–32.40), 3.4% above the "
        "best found (29.00 s: t8 p4 d16), too close to tell\n"
    )


def test_a_plan_far_from_the_best(planner: Run, plans: str, best: Callable[[float], None]) -> None:
    best(25.0)
    outcome = planner(*INPUTS, f"{plans}#2")
    assert (outcome.code, outcome.stderr) == (1, "")
    assert outcome.stdout == (
        "fail: t8 p8 d8 takes 30.00 s/step (27.90–32.40), 20.0% more than the best found "
        "(25.00 s: t8 p4 d16); 10.0% is allowed\n"
    )
    assert planner(*INPUTS, f"{plans}#2", "--within", "25%").code == 0


def test_a_plan_that_does_not_fit_needs_no_search(
    planner: Run, plans: str, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        estimator, "estimate", lambda _, plan: samples.estimate(plan, activations_gib=61.3)
    )
    monkeypatch.setattr(engine, "search", None)
    outcome = planner(*INPUTS, plans)
    assert (outcome.code, outcome.stderr) == (1, "")
    assert outcome.stdout == (
        "fail: t8 p4 d16 does not fit: stage 0 needs 106.2 GiB of 80.0 (76.0 after headroom): "
        "activations 61.3, gradients 22.0\n"
    )


def test_json(planner: Run, plans: str, best: Callable[[float], None]) -> None:
    best(25.0)
    outcome = planner(*INPUTS, plans, "--json")
    assert (outcome.code, outcome.stderr) == (1, "")
    document = json.loads(outcome.stdout)
    assert (document["passed"], document["reason"]) == (False, "far-from-best")
    assert document["slower_than_best"] == pytest.approx(0.2)


def test_the_headroom_of_the_option_comes_first(
    planner: Run, plans: str, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def remember(scenario: Any, plan: Any) -> Any:
        seen.append(scenario.job.headroom)
        return samples.estimate(plan, activations_gib=61.3)

    monkeypatch.setattr(estimator, "estimate", remember)
    planner(*INPUTS, plans)
    planner(*INPUTS, plans, "--headroom", "20%")
    assert seen == [0.05, 0.2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["{plans}#9"],
            "{plans}:53:12: plans: rank 9 is asked for, but the document holds 3 plans",
        ),
        (["{plans}#x"], '{plans}#x: "#x" is not a rank; ranks are whole numbers from 1'),
        (["none.json"], "none.json: no such file"),
        (["{plans}", "--within", "x"], "--within: 'x' is not a share from 0% to below 10000%"),
        (["{plans}", "--headroom", "-1%"], "--headroom: '-1%' is not a share from 0% to below"),
        (["{plans}", "extra"], "got unexpected extra argument(s) (extra) (see planner check"),
    ],
)
def test_bad_input(planner: Run, plans: str, arguments: list[str], message: str) -> None:
    outcome = planner(*INPUTS, *(argument.format(plans=plans) for argument in arguments))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: " + message.format(plans=plans))


def test_a_plan_for_another_model(planner: Run, plans: str) -> None:
    outcome = planner(*INPUTS[:-1], "gpt-1.7b", plans)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.count("\n") == 1
