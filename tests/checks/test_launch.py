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
        (29.0, "ok", "ok: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step, 3.4% above the best "
         "found (29.00 s: t8 p8 d8)"),
        (30.0, "ok", "ok: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step, nothing better found"),
        (31.0, "ok", "ok: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step, nothing better found"),
        (25.0, "far-from-best", "fail: t8 p4 d16 takes 30.00 s/step, 20.0% more than the best "
         "found (25.00 s: t8 p8 d8); 10.0% is allowed"),
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
    assert estimate.memory.fit_class == "tight"
    assert not judge(plan, estimate, None, within=0.1).passed


def test_nothing_to_compare_with(samples: Samples) -> None:
    plan = samples.plan()
    verdict = judge(plan, samples.estimate(plan), None, within=0.1)
    assert verdict.passed
    assert verdict.line.endswith("30.00 s/step; no other plan to compare with")
