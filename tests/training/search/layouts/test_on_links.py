"""Layers moved to where a placed plan has better links."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner.budget import UNLIMITED
from planner.specs.cluster.spec import BandwidthMatrix
from planner.training.estimate import point_estimate
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.hosts.placement import placement_on
from planner.training.search.layouts.on_links import moved_on_links
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions
from tests.training.search.conftest import small_scenario

PAIRS = 4
"""Stages, each of two nodes that reduce their gradients between them."""


def far_apart() -> Scenario:
    """Pairs of nodes far apart from each other; those of the last pair, and of it alone, are joined
    by a link as narrow as those between pairs."""
    usual = small_scenario(nodes=2 * PAIRS, devices_per_node=1, layers=12, batch=8, length=1024)
    rates = np.full((2 * PAIRS, 2 * PAIRS), 2e8)
    for pair in range(PAIRS - 1):
        rates[2 * pair, 2 * pair + 1] = rates[2 * pair + 1, 2 * pair] = 4e9
    matrix = BandwidthMatrix(bytes_per_s=tuple(map(tuple, rates.tolist())), path="m.csv")
    return build_scenario(replace(usual.cluster, matrix=matrix), usual.model, usual.job)


def test_the_stage_with_the_narrow_ring_gets_fewer_layers() -> None:
    scenario = far_apart()
    wanted = Restrictions(
        pipeline=(PAIRS,), schedule=("1f1b",), tensor=(1,), recompute=("none",), data=(2,)
    )
    plan = search(scenario, restrictions=wanted, top=1, improve=None, advise=False).plans[0].plan
    plan = replace(plan, placement=placement_on(scenario, scenario.cluster.host_names()))
    moved = moved_on_links(scenario, plan, UNLIMITED)
    sizes = [stage.num_layers for stage in moved.stages]
    assert sum(sizes) == scenario.model.num_layers
    assert sizes[-1] < plan.stages[-1].num_layers
    before, after = point_estimate(scenario, plan), point_estimate(scenario, moved)
    assert after.memory.fits
    assert after.step_s < before.step_s
    assert moved_on_links(scenario, moved, UNLIMITED) == moved


def test_a_search_lists_the_plan_with_its_layers_moved() -> None:
    """Faster than any placed plan with equal stages, and what it says is what is priced."""
    scenario = far_apart()
    wanted = Restrictions(
        pipeline=(PAIRS,), schedule=("1f1b",), tensor=(1,), recompute=("none",), data=(2,)
    )
    equal = search(scenario, restrictions=wanted, top=1, improve=None, advise=False).plans[0]
    found = search(scenario, restrictions=wanted, top=1, advise=False).plans[0]
    assert found.estimate.step_s < equal.estimate.step_s
    assert point_estimate(scenario, found.plan).step_s == found.estimate.step_s
