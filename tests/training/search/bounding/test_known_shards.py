"""Shards of a smaller job that a larger one rules out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.known_shards import KnownShards
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario


def run_of(scenario: Scenario, known: KnownShards | None = None) -> SearchRun:
    """Of several dispatchers, those that another beats are left out, which depends on the size."""
    one = Restrictions()
    if scenario.model.moe is not None:
        one = Restrictions(dispatcher=("alltoall",), expert_overlap=(False,))
    return SearchRun(scenario=scenario, restrictions=one, top=3, improve=None, known=known)


@pytest.mark.parametrize("experts", [None, 8])
def test_no_faster_plan_is_lost(scenario_of: Callable[..., Scenario], experts: int | None) -> None:
    larger, smaller = (
        scenario_of(
            nodes=nodes,
            devices_per_node=4,
            layers=16,
            heads=16,
            hidden=2048,
            ffn=8192,
            length=4096,
            experts=experts,
            batch=32,
        )
        for nodes in (4, 2)
    )
    priced = run_of(larger)
    priced.bound()
    every = run_of(smaller)
    every.bound()
    every.refine()
    steps_s = [one.estimate.step_s for one in every.plans]
    least_s = KnownShards.of(larger.ideal, priced.space.growing, 1.0).least_s(smaller)
    assert 0.5 * steps_s[0] < least_s < steps_s[0]
    for below_s in (steps_s[-1] * (1 + 1e-9), 1.5 * steps_s[-1]):
        known = KnownShards.of(larger.ideal, priced.space.growing, below_s)
        some = run_of(smaller, known)
        some.bound()
        some.refine()
        assert some.num_fitting < every.num_fitting
        assert [one.plan for one in some.plans] == [one.plan for one in every.plans]
