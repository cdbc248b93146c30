"""Bounds over all layouts against random layouts, priced in full."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.budget import UNLIMITED
from planner.plan import Recompute, recomputed_per_stage
from planner.solver import Solver
from planner.training.estimate import point_estimate
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.every_layout import LayoutStages, every_layout_s
from planner.training.search.bounding.fitting import batch_of
from planner.training.search.bounding.quick import BELOW
from planner.training.search.bounding.spread_cases import SpreadCases
from planner.training.search.bounding.spreads import SpreadBounds
from planner.training.search.layouts.default import layers_of_chunks, stages_of
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.space.restrictions import Restrictions
from planner.training.step.sends import send_mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.arrays import Floats
    from planner.plan import Plan
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

LAYERS = 13
SPACE = Restrictions(
    tensor=(1,),
    pipeline=(2, 4),
    virtual_stages=(1, 2, 3),
    schedule=("1f1b", "interleaved", "gpipe", "zb-h1"),
    micro_batch_size=(1, 2),
)
"""Some combinations with every way to run a pipeline."""


@pytest.mark.parametrize(
    ("size", "schedules"),
    [
        ({"memory_gib": 5, "length": 4096, "hidden": 1536}, ("1f1b", "interleaved")),
        ({"experts": 4, "first_dense": 2, "length": 2048, "memory_gib": 8}, ("1f1b",)),
        ({"software": "torchtitan", "batch": 64}, ("1f1b", "interleaved", "gpipe")),
    ],
)
def test_no_layout_beats_the_bound_over_all(
    scenario_of: Callable[..., Scenario], size: dict[str, Any], schedules: tuple[str, ...]
) -> None:
    scenario = scenario_of(layers=LAYERS, **{"batch": 32, **size})
    run = SearchRun(scenario=scenario, restrictions=replace(SPACE, schedule=schedules), top=1)
    run.bound()
    random = np.random.default_rng(0)
    compared = 0
    for group in (*run.space.fitting, *run.space.elsewhere):
        shape = (group.screened.pipeline, group.virtual_stages, group.schedule)
        if kept_layout(scenario, *shape) is not None:
            continue
        which = random.choice(len(group), min(len(group), 2), replace=False)
        batch = batch_of(scenario, group, which, np.ones(len(which), dtype=np.int64))
        table = run.space.growing.table
        bounds_s = BELOW * every_layout_s(
            scenario.ideal, table, batch, LayoutStages.of(scenario.ideal, table, batch)
        )
        if group.schedule == "interleaved":
            bounds_s = np.maximum(bounds_s, BELOW * spread_bounds_s(scenario.ideal, table, batch))
        for index, bound_s in zip(which.tolist(), bounds_s.tolist(), strict=True):
            plan = plan_at(scenario, group, index, 1)
            for _ in range(15):
                found = point_estimate(scenario, random_layout(plan, random))
                if found.memory.fits:
                    assert bound_s <= found.step_s
                    compared += 1
    assert compared > 30


@pytest.mark.parametrize(
    "size",
    [{"batch": 128}, {"batch": 96, "software": "torchtitan"}],
)
def test_no_layout_faster_than_a_limit_beats_the_bound_below_it(
    scenario_of: Callable[..., Scenario], size: dict[str, Any]
) -> None:
    scenario = scenario_of(layers=LAYERS, hidden=6144, ffn=24576, heads=48, **size)
    few = replace(SPACE, schedule=("interleaved",), virtual_stages=(2, 3))
    run = SearchRun(scenario=scenario, restrictions=few, top=1)
    run.bound()
    random = np.random.default_rng(0)
    table, raised = run.space.growing.table, 0
    for group in (*run.space.fitting, *run.space.elsewhere):
        for index in random.choice(len(group), min(len(group), 2), replace=False).tolist():
            batch = batch_of(scenario, group, np.array([index]), np.ones(1, dtype=np.int64))
            plan = plan_at(scenario, group, index, 1)
            layouts = [plan, *(spread_anew(plan, random) for _ in range(8))]
            layouts += [random_layout(plan, random) for _ in range(3)]
            found = [point_estimate(scenario, layout) for layout in layouts]
            prices = np.sort([one.step_s for one in found if one.memory.fits])
            if not prices.size:
                continue
            anywhere_s = spread_bounds_s(scenario.ideal, table, batch)[0]
            for limit_s in (prices[0] * 1.001, float(np.median(prices))):
                below_s = BELOW * spread_bounds_s(scenario.ideal, table, batch, limit_s)[0]
                assert min(below_s, limit_s) <= prices[0]
                raised += min(below_s, limit_s) > 1.005 * anywhere_s
    assert raised > 3


def spread_bounds_s(
    scenario: Scenario, table: CostTable, batch: Batch, below_s: float = 1e9
) -> Floats:
    """[N]: bounds over all spreads of layers over chunks that may take less than `below_s`, each
    with the best averages of paths."""
    stages = LayoutStages.of(scenario, table, batch)
    below = np.full(len(batch), below_s)
    cases = SpreadCases.of(scenario, table, batch, stages, np.arange(len(batch)), below)
    sends = send_mode(scenario.job.software, batch.schedule)
    spreads = SpreadBounds(batch.schedule, batch.pipeline, sends, cases, LAYERS, Solver())
    for case in range(len(cases)):
        open_ = True
        for _ in range(3):
            open_ = open_ and spreads.raise_bound(case, UNLIMITED, rounds=2)
    found = np.full(len(batch), np.inf)
    np.minimum.at(found, cases.combination, spreads.bound_s)
    return found


def spread_anew(plan: Plan, random: np.random.Generator) -> Plan:
    """The plan with the layers of every stage divided at random among its chunks; sometimes the
    even layout itself."""
    p, v = plan.degrees.pipeline, plan.virtual_stages
    layers = np.array(layers_of_chunks(plan)).reshape(v, p)
    for stage in range(p):
        for _ in range(int(random.integers(0, 3))):
            giver, taker = random.integers(0, v, 2).tolist()
            ends = (giver, stage) in ((0, 0), (v - 1, p - 1))
            if layers[giver, stage] > (0 if ends else 1):
                layers[giver, stage] -= 1
                layers[taker, stage] += 1
    stages = stages_of(layers.ravel().tolist(), p, v, plan.schedule)
    recompute = plan.recompute
    if recompute.granularity == "full":
        count = int(random.integers(1, layers.max() + 1))
        recompute = replace(recompute, layers_per_stage=recomputed_per_stage(stages, count))
    return replace(plan, stages=stages, recompute=recompute)


def random_layout(plan: Plan, random: np.random.Generator) -> Plan:
    """The plan with its layers divided at random and some of them recomputed."""
    p, v = plan.degrees.pipeline, plan.virtual_stages
    layers = np.ones(p * v, dtype=np.int64)
    layers[[0, -1]] = random.integers(0, 2, 2)
    for chunk in random.permutation(np.arange(LAYERS * p * v) % (p * v))[: LAYERS - layers.sum()]:
        layers[chunk] += 1
    stages = stages_of(layers.tolist(), p, v, plan.schedule)
    recompute = Recompute(granularity=plan.recompute.granularity, layers_per_stage=(0,) * p)
    if plan.recompute.granularity == "full":
        count = int(random.integers(1, layers.max() + 1))
        recompute = replace(recompute, layers_per_stage=recomputed_per_stage(stages, count))
    return replace(plan, stages=stages, recompute=recompute)
