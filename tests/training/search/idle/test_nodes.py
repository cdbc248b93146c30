"""Plans on fewer nodes against searches on every number of nodes."""

from __future__ import annotations

from dataclasses import fields, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import RuleError
from planner.training.costs import cost_table
from planner.training.estimate import point_estimate
from planner.training.scenario import resized
from planner.training.search.best_first.combinations import Combinations
from planner.training.search.best_first.run import SearchRun
from planner.training.search.idle.bounds import WorkBounds
from planner.training.search.idle.nodes import may_idle, on_nodes
from planner.training.search.layouts.choose import choose_layout
from planner.training.search.search import search
from planner.training.search.space.enumeration import Enumeration, dimensions
from planner.training.search.space.facts import SpaceFacts
from planner.training.search.space.restrictions import Restrictions
from planner.workload.shard import Shard
from tests.every_instance import EVERY_INSTANCE, instances

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.plan import RankedPlan
    from planner.training.scenario import Scenario
    from planner.training.search.layouts.choose import LayoutImprover

CASES: tuple[dict[str, Any], ...] = (
    {"nodes": 5, "devices_per_node": 2, "batch": 12},
    {"nodes": 7, "devices_per_node": 4, "batch": 16, "layers": 8},
    {
        "nodes": 7,
        "devices_per_node": 4,
        "batch": 30,
        "layers": 5,
        "heads": 12,
        "groups": 6,
        "hidden": 1536,
    },
    {
        "nodes": 6,
        "devices_per_node": 4,
        "batch": 24,
        "experts": 8,
        "software": "megatron-core-perf",
    },
    {"nodes": 7, "devices_per_node": 2, "batch": 8, "software": "deepspeed"},
    {"nodes": 7, "devices_per_node": 2, "batch": 16, "software": "torchtitan"},
)


def merged(scenario: Scenario, top: int, improve: LayoutImprover | None = None) -> list[RankedPlan]:
    """The best plans of one search for each number of nodes."""
    found: list[RankedPlan] = []
    for nodes in range(1, scenario.topology.nodes + 1):
        try:
            smaller = on_nodes(scenario, nodes)
            found += search(smaller, top=top, idle=False, improve=improve).plans
        except RuleError:
            continue
    found.sort(key=lambda one: (one.estimate.step_s, -one.estimate.devices))
    return found[:top]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("top", [1, 5] if EVERY_INSTANCE else [3])
def test_the_best_on_any_number_of_nodes(
    scenario_of: Callable[..., Scenario], case: dict[str, Any], top: int
) -> None:
    """With the default layouts, with which a search is exact."""
    scenario = scenario_of(**case)
    assert may_idle(scenario)
    found = search(scenario, top=top, improve=None)
    steps = [one.estimate.step_s for one in found.plans]
    assert steps == pytest.approx([one.estimate.step_s for one in merged(scenario, top)], rel=1e-9)
    assert [one.rank for one in found.plans] == list(range(1, len(steps) + 1))
    assert found.nodes is not None
    used = len(found.plans[0].plan.placement.hosts)
    assert len(found.nodes.idle_hosts) == scenario.topology.nodes - used


@pytest.mark.parametrize("case", CASES[:2], ids=range(2))
@pytest.mark.parametrize("top", [1, 20])
def test_fewer_nodes_first_leave_no_plan_out(
    scenario_of: Callable[..., Scenario],
    monkeypatch: pytest.MonkeyPatch,
    case: dict[str, Any],
    top: int,
) -> None:
    """However little a plan on fewer nodes has to gain for them to come first."""
    usual = search(scenario_of(**case), top=top, improve=None)
    monkeypatch.setattr("planner.training.search.idle.nodes.MUCH", -9.0)
    ahead = search(scenario_of(**case), top=top, improve=None)
    assert [one.plan for one in ahead.plans] == [one.plan for one in usual.plans]
    assert ahead.nodes is not None
    assert ahead.nodes.others == usual.nodes.others  # type: ignore[union-attr]


@pytest.mark.parametrize("case", CASES[: instances(1, 3)], ids=range(instances(1, 3)))
def test_better_layouts_are_within_the_gap(
    scenario_of: Callable[..., Scenario], case: dict[str, Any]
) -> None:
    scenario = scenario_of(**case)
    found = search(scenario, top=1)
    best_s = merged(scenario, 1, choose_layout)[0].estimate.step_s
    gap = max(found.gap, found.layout_gap)
    assert found.plans[0].estimate.step_s * (1 - gap) <= best_s * (1 + 1e-9)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_work_is_below_every_step(
    scenario_of: Callable[..., Scenario], case: dict[str, Any]
) -> None:
    """Whatever the combination, and on whatever number of nodes."""
    whole = scenario_of(**case)
    run = SearchRun(scenario=whole, restrictions=Restrictions(), top=1)
    work = WorkBounds(whole, run.restrictions, run.space.growing, run.budget)
    least_s = work.by_nodes()
    generator = np.random.default_rng(7)
    for nodes in range(1, whole.topology.nodes + 1):
        scenario = on_nodes(whole, nodes)
        smaller = SearchRun(
            scenario=scenario, restrictions=run.restrictions, top=1, priced=run.space.growing
        )
        try:
            smaller.bound()
        except RuleError:
            assert nodes == whole.topology.nodes or nodes not in least_s
            continue
        combinations = Combinations(scenario=scenario, groups=tuple(smaller.space.fitting))
        for group in smaller.space.fitting:
            bounds = work.of(group.screened.grid)
            assert (bounds[group.grid_row] <= group.bound_s).all()
        count = sum(map(len, smaller.space.fitting))
        for index in generator.integers(0, count, min(count, 8)).tolist():
            plan = combinations.plan(index, 0)
            bound_s = least_s.get(nodes, 0.0)
            assert point_estimate(scenario, plan).step_s >= bound_s


@pytest.mark.parametrize("case", CASES[:3], ids=("small", "deep", "many-heads"))
def test_replicas_are_those_of_whole_numbers_of_nodes(
    scenario_of: Callable[..., Scenario], case: dict[str, Any]
) -> None:
    """Against a filter over every product of degrees, from the fewest devices allowed to all."""
    scenario = scenario_of(**case)
    values = dimensions(scenario, Restrictions())
    data = tuple(range(1, scenario.job.devices + 1))
    facts = SpaceFacts.of(scenario, Restrictions())
    node = scenario.node_devices
    for pipeline in (1, 2, 3):
        every = replace(facts, least_devices=1, any_batch=True)
        some = replace(every, least_devices=3 * node)
        here = {**values, "pipeline": (pipeline,), "data": data}
        found, wanted = (
            [
                degrees
                for grid in Enumeration(facts=of, values=here).grids()
                for degrees in zip(
                    *(grid.columns[axis].tolist() for axis in ("tensor", "context", "data")),
                    strict=True,
                )
                if pipeline * prod(degrees) >= 3 * node
            ]
            for of in (some, every)
        )
        assert found
        assert found == wanted
        sizes = {pipeline * prod(degrees) for degrees in found}
        assert sizes <= set(range(3 * node, scenario.job.devices + 1, node))


def test_batches_near_by_are_those_below_a_limit(scenario_of: Callable[..., Scenario]) -> None:
    whole = scenario_of(**CASES[0])
    run = SearchRun(scenario=whole, restrictions=Restrictions(), top=1)
    work = WorkBounds(whole, run.restrictions, run.space.growing, run.budget)
    every = work.by_batch(0.5, 1.0)
    below_s = float(np.median(list(every.values())))
    fast = {pair: seconds for pair, seconds in every.items() if seconds < below_s}
    assert 0 < len(fast) < len(every)
    assert work.by_batch(0.5, 1.0, below_s) == fast


@pytest.mark.parametrize("case", [*CASES[:2], CASES[3]], ids=("small", "deep", "experts"))
def test_what_is_not_counted_is_of_no_use(
    scenario_of: Callable[..., Scenario], case: dict[str, Any]
) -> None:
    """Leaving out what takes too long, before its memory is known, leaves the answer as it is."""
    scenario = scenario_of(**case)
    best_s = search(scenario, top=1, idle=False, improve=None).plans[0].estimate.step_s
    found = {}
    for counts_all in (True, False):
        run = SearchRun(
            scenario=scenario,
            restrictions=Restrictions(),
            top=1,
            improve=None,
            enough_s=1.05 * best_s,
            counts_all=counts_all,
        )
        run.bound()
        run.refine()
        found[counts_all] = run
    assert found[False].best.kept[0].plan == found[True].best.kept[0].plan
    assert 0 < found[False].num_fitting < found[True].num_fitting


@given(data=st.data())
def test_layers_cost_the_same_on_any_number_of_nodes(
    scenario_of: Callable[..., Scenario], data: st.DataObject
) -> None:
    """So that they share what is kept of layers, and one table of prices serves all."""
    whole = scenario_of(**data.draw(st.sampled_from(CASES)))
    nodes = data.draw(st.integers(1, whole.topology.nodes))
    scenario = resized(whole, nodes * whole.node_devices)
    tensor = data.draw(st.sampled_from([1, 2]))
    expert = data.draw(st.sampled_from([1, 2])) if whole.model.moe else 1
    shard = Shard(tensor=tensor, expert=expert, micro_batch_size=data.draw(st.integers(1, 4)))
    one, other = cost_table(whole, [shard]), cost_table(scenario, [shard])
    for field in fields(one):
        if field.name != "shards":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_not_where_nodes_differ(scenario_of: Callable[..., Scenario]) -> None:
    mixed = scenario_of(
        device_nodes=(("a100-sxm-80gb", 2), ("h100-sxm-80gb", 2)), devices_per_node=2
    )
    assert not may_idle(mixed)
    part = scenario_of(nodes=1)
    assert not may_idle(replace(part, job=replace(part.job, devices=4)))


def test_a_plan_of_fewer_nodes_is_one_of_the_smaller_job(
    scenario_of: Callable[..., Scenario],
) -> None:
    whole = scenario_of(nodes=7, devices_per_node=4, batch=16, layers=8)
    found = search(whole, top=1).plans[0]
    scenario = on_nodes(whole, len(found.plan.placement.hosts))
    assert point_estimate(scenario, found.plan).step_s == pytest.approx(found.estimate.step_s)
