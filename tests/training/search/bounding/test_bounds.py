"""Bounds never exceed what refinement finds, for any combination of any scenario."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from planner.errors import RuleError
from planner.schedule.registry import SCHEDULES, kind_of
from planner.training.batch import FULL
from planner.training.estimate import batch_of_one, estimate, shard_of
from planner.training.memory.stage import stage_peaks
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.fitting import batch_of
from planner.training.search.bounding.quick import BELOW
from planner.training.search.bounding.recomputed import fewest_recomputed
from planner.training.search.bounding.tight import tight_bound_s, tight_mixed_s
from planner.training.search.hosts.bound import simulated_bound_s
from planner.training.search.hosts.placement import placement_on
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import instances

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario
    from planner.training.search.bounding.fitting import Fitting

OVERLAPS = ((), ("gradient_reduce", "parameter_gather"), ("pipeline",), ("tensor",))


def bounded(scenario: Scenario, schedule: tuple[str, ...] | None = None) -> SearchRun:
    run = SearchRun(scenario=scenario, restrictions=Restrictions(schedule=schedule), top=1)
    run.bound()
    return run


@pytest.mark.slow
@settings(max_examples=instances(20, 60), deadline=None)
@given(data=st.data())
def test_quick_below_tight_below_refined(
    scenario_of: Callable[..., Scenario], data: st.DataObject
) -> None:
    draw = data.draw
    scenario = scenario_of(
        nodes=draw(st.sampled_from([1, 2, 3])),
        devices_per_node=draw(st.sampled_from([2, 4, 6])),
        second_device=draw(st.sampled_from([None, None, "h100-sxm-80gb"])),
        layers=draw(st.integers(2, 13)),
        heads=12,
        groups=draw(st.sampled_from([1, 4, 12])),
        hidden=1536,
        batch=draw(st.sampled_from([8, 12, 24, 36])),
        length=draw(st.sampled_from([1024, 8192])),
        memory_gib=draw(st.sampled_from([4, 6, 12, 80])),
        tie=draw(st.booleans()),
        experts=draw(st.sampled_from([0, 0, 6])),
        first_dense=draw(st.sampled_from([0, 1])),
        software=draw(st.sampled_from(["megatron-core", "megatron-lm-2021", "torchtitan"])),
        framework={"overlap": draw(st.sampled_from(OVERLAPS))},
        fabric=draw(st.sampled_from([None, FABRIC])),
    )
    schedules = st.sampled_from(sorted(SCHEDULES))
    schedule = draw(st.one_of(st.none(), st.tuples(schedules), st.tuples(schedules, schedules)))
    try:
        run = bounded(scenario, schedule)
    except RuleError:
        reject()
    assume(run.space.fitting)
    group = run.space.fitting[draw(st.integers(0, len(run.space.fitting) - 1))]
    compare(run, group, draw(st.integers(0, len(group) - 1)), draw)


def compare(run: SearchRun, group: Fitting, index: int, draw: Callable[..., Any]) -> None:
    """Bounds of a combination against its price on some order of the hosts. Where devices differ,
    or slow links make stages run ahead, the plan may lack memory on them: bounds are of plans that
    fit."""
    scenario, table = run.scenario, run.space.growing.table
    one = np.array([index])
    if is_mixed(scenario.ideal):
        tight = tight_mixed_s(scenario.ideal, table, group, one)
        layers = np.full(1, group.layout.load.most_layers)
    else:
        tight, layers = tight_bound_s(scenario.ideal, table, group, one)
    plan = plan_at(scenario, group, index, int(layers[0]))
    hosts = draw(st.permutations(plan.placement.hosts))
    found = estimate(scenario, replace(plan, placement=placement_on(scenario, hosts)))
    assert group.bound_s[index] <= tight[0]
    assert found.memory.fits or is_mixed(scenario.ideal) or kind_of(plan.schedule).runs_ahead
    if found.memory.fits:
        assert tight[0] <= found.step_s
    batch = batch_of_one(plan, table.shards.index(shard_of(plan)), group.layout.load)
    simulated_s = simulated_bound_s(scenario.ideal, table, batch)
    assert BELOW * simulated_s <= found.step_s


@pytest.mark.parametrize("schedule", ["1f1b-ahead", "v-min"])
def test_no_bound_on_two_device_types_is_above_a_price(
    scenario_of: Callable[..., Scenario], schedule: str
) -> None:
    """The host of a device holds back most kernels of so small a model, so that whole backwards
    take as long on both types, and weight gradients do not. With so little memory, equal stages do
    not fit."""
    sizes: dict[str, Any] = {
        "nodes": 1,
        "devices_per_node": 2,
        "second_device": "h100-sxm-80gb",
        "layers": 4,
        "heads": 12,
        "groups": 1,
        "hidden": 1536,
        "memory_gib": 4,
    }
    for size in ({"batch": 24}, {"batch": 8, "length": 8192, "fabric": FABRIC}):
        scenario = scenario_of(**sizes, **size)
        try:
            run = bounded(scenario, (schedule,))
        except RuleError:
            continue
        for group in run.space.fitting:
            for index in range(0, len(group), 3):
                for order in (sorted, lambda hosts: sorted(hosts, reverse=True)):
                    compare(run, group, index, lambda _, order=order: order(HOSTS))


HOSTS = ("group-0-0", "group-1-0")

FABRIC = [
    {"name": "leaf", "nodes": 2},
    {"name": "wide", "bandwidth": "2 GB/s", "latency": "1 ms"},
]


@pytest.mark.parametrize("experts", [0, 4])
def test_the_fewest_recomputed_layers_fit_and_one_less_does_not(
    scenario_of: Callable[..., Scenario], experts: int
) -> None:
    scenario = scenario_of(
        length=4096, memory_gib=4, layers=9, experts=experts, first_dense=3, tie=True
    )
    run = bounded(scenario)
    solved = 0
    for group in run.space.fitting:
        which = np.flatnonzero(group.variants["recompute"] == FULL)
        if not len(which):
            continue
        layers = fewest_recomputed(scenario.ideal, run.space.growing.table, group, which)
        for least, fits in ((layers, True), (np.maximum(layers - 1, 1), False)):
            rows = which if fits else which[layers > 1]
            count = least if fits else least[layers > 1]
            peaks = stage_peaks(
                scenario.ideal, run.space.growing.table, batch_of(scenario, group, rows, count)
            )
            assert (peaks.fits == fits).all()
        solved += int((layers > 1).sum())
    assert solved > 10


@pytest.mark.parametrize(
    "schedule", [None, ("1f1b", "1f1b-vocab-2"), ("v-min", "zb-h1"), ("1f1b-balanced", "dualpipe")]
)
@pytest.mark.parametrize(
    "size",
    [
        {"length": 4096, "memory_gib": 2.5},
        {"length": 2048, "memory_gib": 2.5, "experts": 4, "first_dense": 2},
        {"length": 2048, "memory_gib": 3, "layers": 11, "tie": True, "batch": 48},
        {"length": 4096, "memory_gib": 3, "batch": 64, "second_device": "h100-sxm-80gb"},
    ],
)
def test_the_screen_drops_nothing_that_fits(
    scenario_of: Callable[..., Scenario],
    size: dict[str, object],
    schedule: tuple[str, ...] | None,
) -> None:
    screened = bounded(scenario_of(**size), schedule)
    unscreened = SearchRun(
        scenario=screened.scenario, restrictions=screened.restrictions, top=1, screening=False
    )
    unscreened.bound()
    if is_mixed(screened.scenario.ideal):
        # Stages may hold next to nothing: the screen drops little, the bound the rest. It says
        # nothing of stages without layers, which the screen drops where not even those fit.
        assert 0.9 * unscreened.num_fitting < screened.num_fitting <= unscreened.num_fitting
        assert len(screened.space.growing.table.shards) <= len(
            unscreened.space.growing.table.shards
        )
        return
    assert screened.num_fitting == unscreened.num_fitting
    assert len(screened.space.growing.table.shards) < len(unscreened.space.growing.table.shards)
    kept = sum(int(grid.alive.sum()) for grid in screened.space.screened)
    assert 0 < kept < sum(grid.alive.size for grid in screened.space.screened)
