"""Bounds that hold for combinations with another dispatcher of experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.training.search.best_first.dispatchers import LATER, DispatcherBounds
from planner.training.search.best_first.run import SearchRun
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.arrays import Floats
    from planner.plan import Plan
    from planner.training.scenario import Scenario
    from tests.conftest import Samples

NODES = {
    "device_nodes": (("a100-sxm-80gb", 1), ("h100-sxm-80gb", 1)),
    "devices_per_node": 4,
    "layers": 6,
    "batch": 16,
    "experts": 4,
}


def found(scenario: Scenario) -> SearchRun:
    restrictions = Restrictions(pipeline=(2,), micro_batch_size=(1,), sequence_parallel=(True,))
    run = SearchRun(scenario=scenario, restrictions=restrictions, top=4)
    run.bound()
    run.refine()
    return run


def test_carried_bounds_change_no_plan(
    scenario_of: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same plans come out as when every combination has programs of its own, and none is
    faster than what was carried to it."""
    scenario = scenario_of(**NODES)
    carried: dict[int, float] = {}
    bound_s = DispatcherBounds.bound_s

    def noted(
        self: DispatcherBounds, index: int, plan: Plan, passes_s: Floats, below_s: float
    ) -> float:
        found_s = bound_s(self, index, plan, passes_s, below_s)
        carried[index] = max(carried.get(index, 0.0), found_s)
        return found_s

    monkeypatch.setattr(DispatcherBounds, "bound_s", noted)
    shared = found(scenario)
    assert any(one > 0 for one in carried.values())
    monkeypatch.setattr(DispatcherBounds, "bound_s", lambda *_: 0.0)
    alone = found(scenario)
    steps = [one.step_s for one in alone.best.kept]
    assert [one.step_s for one in shared.best.kept] == pytest.approx(steps, rel=1e-9)
    for one in (*alone.best.kept, *alone.best.left_out):
        assert carried.get(one.index, 0.0) <= one.step_s


def test_bounds_are_carried_to_what_takes_no_less(samples: Samples) -> None:
    plan, passes = samples.plan(), np.ones(3)
    known = DispatcherBounds()
    known.note(1, plan, passes, 4.0, 9.0)
    assert known.bound_s(2, plan, passes + 1, 9.0) == 4.0 * LATER
    assert known.bound_s(2, plan, passes, 9.0) == 4.0 * LATER
    assert known.bound_s(2, plan, passes - [0, 0, 0.1], 9.0) == 0.0, "one pass is shorter"
    assert known.bound_s(1, plan, passes, 9.0) == 0.0, "its own"
    assert known.bound_s(2, plan, passes, 9.5) == 0.0, "a plan may be among the best"
