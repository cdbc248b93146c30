"""No bound is above a price: for any plan, cluster and order of the hosts, the placement program
after every cut, and the bounds over all placements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.errors import RuleError
from planner.placement.bounds.simpler import bounds_of
from planner.plan import Recompute
from planner.schedule.registry import SCHEDULES
from planner.specs.cluster.spec import BandwidthMatrix, LinkOverride
from planner.training.estimate import batch_of_one, shard_of
from planner.training.scenario import build_scenario
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.fewest import least_load
from planner.training.search.bounding.quick import BELOW
from planner.training.search.bounding.tight import tight_bound_s
from planner.training.search.hosts.bound import simulated_bound_s
from planner.training.search.hosts.choose import PlacementSearch
from planner.training.search.hosts.grid import grid_of
from planner.training.search.hosts.problem import placement_program
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import instances
from tests.training.search.conftest import small_scenario

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.training.scenario import Scenario

ABOVE = 1 + 1e-9
ORDERS = 3
CUTS = 3

LEAVES = [{"name": "leaf", "nodes": 2}, {"name": "spine", "oversubscription": 2.8}]
SITES = [{"name": "site", "nodes": 4}, {"name": "wide", "bandwidth": "1 GB/s", "latency": "1 ms"}]


def slow_cards(cluster: ClusterSpec, which: tuple[int, ...]) -> ClusterSpec:
    """The cluster with one node group per node, those of some nodes with slow cards."""
    group = cluster.node_groups[0]
    assert group.network is not None
    groups = []
    for node in range(group.count or 0):
        network = group.network
        if node in which:
            network = replace(network, bandwidth_bytes_per_s=network.bandwidth_bytes_per_s * 0.3)
        name = f"n{node}"
        groups.append(replace(group, name=name, count=1, network=network, hosts=(f"{name}-0",)))
    return replace(cluster, node_groups=tuple(groups))


def measured(cluster: ClusterSpec, rng: np.random.Generator, *, regions: bool) -> ClusterSpec:
    """With a measured matrix: links that differ by direction, or far apart regions."""
    nodes = cluster.num_nodes or 0
    rates = rng.uniform(8e9, 25e9, (nodes, nodes))
    if regions:
        rates = np.exp(rng.uniform(np.log(1e8), np.log(2e10), (nodes, nodes)))
        rates = np.maximum(rates, rates.T)
    matrix = BandwidthMatrix(bytes_per_s=tuple(map(tuple, rates.tolist())), path="m.csv")
    return replace(cluster, matrix=matrix)


def unequal(rng: np.random.Generator) -> Scenario:
    """A small job on one of the kinds of unequal clusters, sometimes with nodes to spare."""
    nodes, kind = int(rng.choice([4, 6, 8])), int(rng.integers(7))
    size: dict[str, Any] = {
        "devices_per_node": int(rng.choice([1, 2, 4])),
        "layers": int(rng.choice([6, 8, 12])),
        "batch": int(rng.choice([16, 24, 48])),
        "length": int(rng.choice([1024, 4096])),
        "tie": bool(rng.integers(2)),
        "experts": int(rng.choice([0, 0, 4])),
        "software": str(rng.choice(["megatron-core", "megatron-lm-2021", "torchtitan"])),
        "framework": {
            "overlap": (
                (),
                ("gradient_reduce", "parameter_gather"),
                ("pipeline",),
            )[int(rng.integers(3))]
        },
        "fabric": (None, LEAVES, SITES, LEAVES, None, None, None)[kind],
    }
    scenario = small_scenario(nodes=nodes, **size)
    cluster = scenario.cluster
    if kind in (3, 4):
        cluster = slow_cards(cluster, (1, nodes - 1)[: int(rng.integers(1, 3))])
    elif kind in (5, 6):
        cluster = measured(cluster, rng, regions=kind == 6)
    elif kind == 0:
        slow = LinkOverride(between=(0, nodes - 1), bandwidth_bytes_per_s=3e9)
        cluster = replace(cluster, overrides=(slow,))
    used = nodes - int(rng.choice([0, 0, 2]))
    job = replace(scenario.job, devices=used * size["devices_per_node"])
    return build_scenario(cluster, scenario.model, job)


def with_other_layers(rng: np.random.Generator, scenario: Scenario, plan: Plan) -> Plan:
    """With other numbers of layers per stage, as unequal as can be or nearly so, where they may be
    chosen."""
    shape = plan.degrees.pipeline, plan.virtual_stages, plan.schedule
    if kept_layout(scenario, *shape) is not None or plan.virtual_stages > 1:
        return plan
    stages, layers = len(plan.stages), scenario.model.num_layers
    ends = sorted(rng.choice(np.arange(1, layers), stages - 1, replace=False).tolist())
    chunks = zip(plan.stages, [0, *ends], [*ends, layers], strict=True)
    moved = tuple(replace(stage, chunks=((start, end),)) for stage, start, end in chunks)
    none = Recompute(granularity="none", layers_per_stage=(0,) * stages)
    return replace(plan, stages=moved, recompute=none)


def check(seed: int) -> int:
    """Checks one plan; returns how many cuts."""
    rng = np.random.default_rng(seed)
    scenario = unequal(rng)
    schedule = str(rng.choice(["1f1b", "interleaved", *sorted(SCHEDULES)]))
    run = SearchRun(scenario=scenario, restrictions=Restrictions(schedule=(schedule,)), top=1)
    try:
        run.bound()
    except RuleError:
        return 0
    groups = run.space.fitting
    deep = [group for group in groups if group.screened.pipeline > 1] or groups
    if not deep or scenario.ideal is scenario:
        return 0
    group = deep[int(rng.integers(len(deep)))]
    index = np.array([int(rng.integers(len(group)))])
    table = run.space.growing.table
    tight, layers = tight_bound_s(scenario.ideal, table, group, index)
    plan = plan_at(scenario, group, int(index[0]), int(layers[0]))
    batch = batch_of_one(plan, table.shards.index(shard_of(plan)), group.layout.load)
    anywhere_s = max(float(tight[0]), BELOW * simulated_bound_s(scenario.ideal, table, batch))
    search = PlacementSearch(scenario=scenario)
    grid = grid_of(scenario.topology, plan.degrees)
    if grid is None:
        return 0
    # A bound of 0 is enough: what recomputes is bounded by what does not.
    for enough_s in (0.0, np.inf):
        anywhere_s = max(anywhere_s, search.everywhere.bound_s(plan, enough_s))
    alone = search.prices.batch(plan)
    program = placement_program(scenario, plan, alone, grid)
    holds = search.everywhere.holds_everywhere(plan, program.problem, scenario)
    units = len(scenario.topology.kinds) // grid.unit_nodes
    orders = [rng.permutation(units)[: grid.rows * grid.columns] for _ in range(ORDERS)]
    prices = [search.prices.price(plan, alone, grid, tuple(order.tolist())) for order in orders]
    any_layout_s = search.everywhere.any_layout_bound_s(plan, least_load(scenario, alone.load))
    other = with_other_layers(rng, scenario, plan)
    for order, price in zip(orders, prices, strict=True):
        assert anywhere_s <= price.step_s * ABOVE
        batch = search.prices.batch(other)
        moved = search.prices.price(other, batch, grid, tuple(order.tolist()))
        assert any_layout_s <= moved.step_s * ABOVE
    for cut in range(CUTS if holds else 0):
        for order, price in zip(orders, prices, strict=True):
            found_s = program.problem.objective_s(order)
            assert found_s <= price.step_s * ABOVE
            for simpler in bounds_of(program.problem):
                assert simpler.objective_s(order) <= price.step_s * ABOVE
        program = program.with_timeline(prices[cut % len(prices)].timeline)
    return CUTS if holds else 0


@pytest.mark.parametrize(
    "seeds", [range(first, first + 12) for first in range(0, instances(24, 48), 12)]
)
def test_no_bound_is_above_a_price(seeds: range) -> None:
    assert sum(check(seed) for seed in seeds) > CUTS


def test_a_slow_node_slows_gathers_on_arrival_in_its_own_row_alone() -> None:
    """The tensor ranks of a stage are two nodes, one of them slow in every placement. What they
    send is gathered by the next stage, which may lie on two fast ones."""
    rng = np.random.default_rng(0)
    usual = small_scenario(
        nodes=6, devices_per_node=1, layers=6, batch=24, length=4096, software="megatron-lm-2021"
    )
    cluster = slow_cards(usual.cluster, (1,))
    scenario = build_scenario(cluster, usual.model, usual.job)
    compared = 0
    for schedule in ("1f1b", "v-min"):
        chosen = Restrictions(
            schedule=(schedule,), pipeline=(3,), tensor=(2,), micro_batch_size=(8,)
        )
        run = SearchRun(scenario=scenario, restrictions=chosen, top=1)
        run.bound()
        search, table = PlacementSearch(scenario=scenario), run.space.growing.table
        for group in run.space.fitting:
            for index in range(len(group)):
                tight, layers = tight_bound_s(scenario.ideal, table, group, np.array([index]))
                plan = plan_at(scenario, group, index, int(layers[0]))
                batch = batch_of_one(plan, table.shards.index(shard_of(plan)), group.layout.load)
                simulated_s = simulated_bound_s(scenario.ideal, table, batch)
                grid = grid_of(scenario.topology, plan.degrees)
                assert grid is not None
                for _ in range(6):
                    units = tuple(rng.permutation(6).tolist())
                    price = search.prices.price(plan, search.prices.batch(plan), grid, units)
                    assert max(float(tight[0]), BELOW * simulated_s) <= price.step_s * ABOVE
                    compared += 1
    assert compared


@pytest.mark.slow
def test_no_bound_is_above_any_of_many_prices() -> None:
    seeds = instances(30, 120)
    assert sum(check(seed) for seed in range(1000, 1000 + seeds)) > seeds // 3 * CUTS
