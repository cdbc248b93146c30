"""The decision of `planner check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planner.checks.launch import does_not_fit, judge
from planner.plan import RankedPlan

if TYPE_CHECKING:
    from tests.conftest import Samples


def best(samples: Samples, step_s: float) -> RankedPlan:
    plan = samples.plan(pipeline=8, data=8)
    return RankedPlan(rank=1, plan=plan, estimate=samples.estimate(plan, step_s=step_s))


@pytest.mark.parametrize(
    ("best_s", "reason", "line"),
    [
        (29.0, "ok", "ok: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step (27.90–32.40), "
         "3.4% above the best found (29.00 s: t8 p8 d8), too close to tell"),
        (30.0, "ok", "ok: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step (27.90–32.40), "
         "nothing better found"),
        (31.0, "ok", "ok: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step (27.90–32.40), "
         "nothing better found"),
        (25.0, "far-from-best", "fail: t8 p4 d16 takes 30.00 s/step (27.90–32.40), 20.0% "
         "more than the best found (25.00 s: t8 p8 d8); 10.0% is allowed"),
    ],
)  # fmt: skip
def test_distance_from_the_best(samples: Samples, best_s: float, reason: str, line: str) -> None:
    plan = samples.plan()
    verdict = judge(plan, samples.estimate(plan), best(samples, best_s), within=0.1)
    assert (verdict.reason, verdict.line, verdict.passed) == (reason, line, reason == "ok")
    assert verdict.slower_than_best == pytest.approx(30.0 / best_s - 1)


def test_the_limit_itself_passes(samples: Samples) -> None:
    plan = samples.plan()
    estimate = samples.estimate(plan)
    assert judge(plan, estimate, best(samples, estimate.step_s / 1.25), within=0.25).passed


def test_memory_comes_first(samples: Samples) -> None:
    plan = samples.plan()
    estimate = samples.estimate(plan, activations_gib=61.3)
    verdict = judge(plan, estimate, best(samples, 1.0), within=0.1)
    assert verdict == does_not_fit(plan, estimate)
    assert not verdict.passed
    assert verdict.line == (
        "fail: t8 p4 d16 does not fit: stage 0 needs 106.2 GiB of 80.0 (76.0 after headroom): "
        "activations 61.3, gradients 22.0"
    )


def test_a_plan_inside_the_headroom_fails(samples: Samples) -> None:
    plan = samples.plan()
    estimate = samples.estimate(plan, activations_gib=32.0)
    assert estimate.fit_class == "tight"
    assert not judge(plan, estimate, None, within=0.1).passed


def test_a_plan_whose_peak_may_reach_the_headroom_fits_tightly(samples: Samples) -> None:
    plan = samples.plan()
    verdict = judge(plan, samples.estimate(plan, memory_high=1.2), None, within=0.1)
    assert verdict.passed
    assert verdict.line.startswith("ok: t8 p4 d16 fits (66.9 of 80 GiB, tightly), 30.00 s/step")
    assert verdict.as_document()["fit_class"] == "tight"


def test_the_document_says_how_sure_it_is(samples: Samples) -> None:
    plan = samples.plan()
    verdict = judge(plan, samples.estimate(plan), best(samples, 29.0), within=0.1)
    document = verdict.as_document()
    assert document["tied_with_best"] is True
    assert (document["step_s"], document["fit_class"]) == (pytest.approx(30.0), "fits")
    assert document["confidence"]["step_s"]["low"] == pytest.approx(27.9)
    far = judge(plan, samples.estimate(plan), best(samples, 20.0), within=0.1)
    assert far.as_document()["tied_with_best"] is False


def test_nothing_to_compare_with(samples: Samples) -> None:
    plan = samples.plan()
    verdict = judge(plan, samples.estimate(plan), None, within=0.1)
    assert verdict.passed
    assert verdict.line.endswith("30.00 s/step (27.90–32.40); no other plan to compare with")
