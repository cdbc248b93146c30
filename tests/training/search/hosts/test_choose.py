"""Hosts of a plan: as good as the best of all orders, slow nodes left out, sites kept apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.plan import Degrees
from planner.specs.cluster.spec import BandwidthMatrix, LinkOverride
from planner.specs.load import load_cluster
from planner.training.estimate import point_estimate
from planner.training.search.hosts.choose import PlacementSearch
from planner.training.search.hosts.grid import UnitGrid, grid_of
from planner.training.search.hosts.placement import placement_on
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.robust import costliest_link, with_network_bandwidth, worst_case
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions, parse_restrictions
from tests.training.search.conftest import small_scenario

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.training.scenario import Scenario


def measured(seed: int, nodes: int, **size: Any) -> Scenario:
    """A small job on nodes whose links were measured to differ threefold."""
    scenario = small_scenario(nodes=nodes, devices_per_node=2, batch=32, length=2048, **size)
    rates = np.random.default_rng(seed).uniform(1e9, 3e9, (nodes, nodes))
    matrix = BandwidthMatrix(bytes_per_s=tuple(map(tuple, rates.tolist())), path="m.csv")
    return with_cluster(scenario, replace(scenario.cluster, matrix=matrix))


def with_cluster(scenario: Scenario, cluster: Any) -> Scenario:
    from planner.training.scenario import build_scenario

    return build_scenario(cluster, scenario.model, scenario.job)


def made(scenario: Scenario, **flags: str) -> Plan:
    return plan_from_flags(scenario, parse_restrictions({"data_sharding": "optimizer", **flags}))


def steps_of_all_orders(scenario: Scenario, plan: Plan) -> list[float]:
    names = scenario.cluster.host_names()
    count = len(plan.placement.hosts)
    return [
        point_estimate(scenario, replace(plan, placement=placement_on(scenario, hosts))).step_s
        for hosts in permutations(names, count)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "flags",
    [
        {"tensor": "2", "pipeline": "2"},
        {"tensor": "2", "pipeline": "4"},
        {"tensor": "1", "pipeline": "4"},
        {"tensor": "2", "pipeline": "1"},
        {"tensor": "1", "pipeline": "8"},
    ],
)
def test_the_best_of_all_orders(seed: int, flags: dict[str, str]) -> None:
    scenario = measured(seed, 4, layers=8)
    plan = made(scenario, **flags)
    search_ = PlacementSearch(scenario=scenario)
    placed = search_.prove(search_.place(plan, 0.0))
    found_s = point_estimate(scenario, placed.plan).step_s
    every = steps_of_all_orders(scenario, plan)
    assert found_s <= point_estimate(scenario, plan).step_s
    assert placed.bound_s <= min(every) * (1 + 1e-4)
    assert min(every) * (1 - 1e-9) <= found_s <= min(every) * 1.015


def test_slow_nodes_are_left_out() -> None:
    """Of four nodes the job needs three; the second has links a tenth as fast."""
    scenario = small_scenario(nodes=4, devices_per_node=2, batch=24, layers=6, length=2048)
    slow = tuple(
        LinkOverride(between=(min(1, other), max(1, other)), bandwidth_bytes_per_s=1e9)
        for other in (0, 2, 3)
    )
    cluster = replace(scenario.cluster, overrides=slow)
    job = replace(scenario.job, devices=6)
    scenario = with_cluster(replace(scenario, job=job), cluster)
    result = search(scenario, restrictions=Restrictions(sequence_parallel=(False,)), top=1)
    assert "group-0-1" not in result.plans[0].plan.placement.hosts
    assert (result.plans[0].proofs[0].gain or 0.0) > 0


@pytest.mark.slow
def test_gradients_are_reduced_inside_a_site() -> None:
    """Holmes (Yang et al. 2023): the slow network between sites carries activations only."""
    scenario = small_scenario(
        nodes=4,
        devices_per_node=2,
        batch=32,
        layers=8,
        hidden=2048,
        fabric=[{"name": "site", "nodes": 2}, {"name": "wide", "bandwidth": "0.2 GB/s"}],
    )
    interleaved_hosts = ("group-0-0", "group-0-2", "group-0-1", "group-0-3")
    scenario = scenario.placed(interleaved_hosts)
    space = Restrictions(recompute=("none",), micro_batch_size=(1,), tensor=(1, 2))
    best = search(scenario, restrictions=space, top=1).plans[0].plan
    assert best.degrees.pipeline % 2 == 0
    sites = [int(host[-1]) // 2 for host in best.placement.hosts]
    assert sites == sorted(sites) or sites == sorted(sites, reverse=True)


def test_rings_of_a_grid() -> None:
    grid = UnitGrid(rows=2, columns=4, unit_nodes=1, unit_devices=8, row_stages=1, lockstep=1)
    assert grid.ring(4, 8) == ((0, 1, 2, 3),)
    assert grid.ring(2, 16) == ((0, 2), (1, 3))
    assert grid.ring(8, 1) == ()
    assert grid.ring(16, 1) == ((0, 1), (2, 3))


def test_stages_that_share_nodes_unevenly_have_no_grid() -> None:
    topology = small_scenario(nodes=3, devices_per_node=4).topology
    assert grid_of(topology, Degrees(pipeline=2, data=6)) is None
    assert grid_of(topology, Degrees(pipeline=3, data=4)) is not None
    assert grid_of(topology, Degrees(pipeline=6, data=2)) is not None


def test_the_worst_case_is_slower_and_no_share_is_the_same() -> None:
    scenario = measured(1, 4, layers=8)
    plan = made(scenario, tensor="2", pipeline="2")
    usual = point_estimate(scenario, plan).step_s
    assert point_estimate(worst_case(scenario, 0.3), plan).step_s > usual
    assert point_estimate(worst_case(scenario, 0.0), plan).step_s == pytest.approx(usual)


def test_slowed_clusters_keep_everything_else() -> None:
    for name in ("two-site-a100-32", "pipette-a100-16", "gb200-nvl72-18"):
        cluster = load_cluster(name)
        half = with_network_bandwidth(cluster, 0.5)
        assert with_network_bandwidth(half, 2.0) == cluster
        for before, after in zip(cluster.node_groups, half.node_groups, strict=True):
            assert before.intra_node == after.intra_node
            assert after.network is not None
            assert before.network is not None
            assert after.network.node_bytes_per_s == before.network.node_bytes_per_s / 2


def test_the_costliest_link_is_the_slowest_of_those_used() -> None:
    """Nodes 0 and 2 hold the first and second stage of one replica."""
    scenario = small_scenario(nodes=4, devices_per_node=2, batch=32, layers=8, length=2048)
    slow = LinkOverride(between=(0, 2), bandwidth_bytes_per_s=0.1e9)
    scenario = with_cluster(scenario, replace(scenario.cluster, overrides=(slow,)))
    plan = made(scenario, tensor="2", pipeline="2")
    link = costliest_link(scenario, plan)
    assert link is not None
    assert set(link.hosts) == {"group-0-0", "group-0-2"}
    assert link.step_s > point_estimate(scenario, plan).step_s * 1.1
