"""The ideal topology bounds every order of the nodes; stages have groups of their own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.hardware.collectives import all_gather_s, all_reduce_s, send_s
from planner.hardware.fabric import Fabric
from planner.hardware.ideal import ideal_topology
from planner.hardware.links import Topology
from planner.specs.cluster.spec import BandwidthMatrix, FabricTier, LinkOverride

Make = Callable[..., Topology]

TIERS = (
    FabricTier(name="leaf", nodes=2, latency_s=4e-6),
    FabricTier(name="pod", nodes=4, oversubscription=2.0, latency_s=6e-6),
    FabricTier(name="wide", nodes=None, bandwidth_bytes_per_s=2e9, latency_s=3e-3),
)
QUICK_BEYOND = (
    FabricTier(name="leaf", nodes=2),
    FabricTier(name="pod", nodes=None, oversubscription=2.0, latency_s=1e-7),
)
"""A file may state a shorter latency for the tier further away."""


def matrix(nodes: int, seed: int) -> BandwidthMatrix:
    rates = np.random.default_rng(seed).uniform(20e9, 200e9, (nodes, nodes))
    return BandwidthMatrix(bytes_per_s=tuple(map(tuple, rates.tolist())), path="m.csv")


def every_link(nodes: int, seed: int) -> tuple[LinkOverride, ...]:
    rates = np.random.default_rng(seed).uniform(1e8, 20e9, nodes * nodes)
    pairs = zip(combinations(range(nodes), 2), rates.tolist(), strict=False)
    return tuple(LinkOverride(between=pair, bandwidth_bytes_per_s=rate) for pair, rate in pairs)


@settings(max_examples=20, deadline=None)
@given(case=st.integers(0, 5), seed=st.integers(0, 10_000))
def test_no_order_beats_the_ideal(case: int, seed: int) -> None:
    from planner.hardware.described import topology_from_spec
    from tests.hardware.conftest import _cluster

    nodes = 5
    spec = (
        _cluster(nodes=nodes, matrix=matrix(nodes, seed)),
        _cluster(nodes=nodes, tiers=TIERS),
        _cluster(nodes=nodes, second="h100-sxm-80gb"),
        _cluster(
            nodes=nodes,
            tiers=TIERS,
            overrides=(LinkOverride(between=(seed % 2, 4), bandwidth_bytes_per_s=3e9),),
        ),
        _cluster(nodes=nodes, tiers=QUICK_BEYOND),
        _cluster(nodes=nodes, overrides=every_link(nodes, seed)),
    )[case]
    cluster = topology_from_spec(spec, devices=spec.num_devices or 0)
    ideal = ideal_topology(cluster)
    assert ideal is not None
    rng = np.random.default_rng(seed)
    for _ in range(8):
        used = topology_from_spec(spec, devices=32).ordered(rng.permutation(nodes)[:4].tolist())
        best = ideal_topology(used)
        assert best is not None
        for size, stride in ((2, 8), (4, 8), (2, 16), (16, 1), (8, 4), (32, 1)):
            for buffer_bytes in (1e3, 1e8):
                assert all_gather_s(best.group(size, stride), buffer_bytes) <= all_gather_s(
                    used.group(size, stride), buffer_bytes
                ) * (1 + 1e-12)
            assert all_reduce_s(best.group(size, stride), 1e8) <= all_reduce_s(
                used.group(size, stride), 1e8
            ) * (1 + 1e-12)
        for sender, receiver in ((0, 8), (0, 24), (16, 8)):
            assert send_s(best.between(sender, receiver, active=8), 1e7) <= send_s(
                used.between(sender, receiver, active=8), 1e7
            ) * (1 + 1e-12)


@settings(max_examples=20, deadline=None)
@given(nodes=st.integers(2, 5), stated=st.integers(0, 10), seed=st.integers(0, 10_000))
def test_a_node_offers_its_widest_link(nodes: int, stated: int, seed: int) -> None:
    """Also where all of its links are narrower than its cards."""
    cards = 30e9
    links = {one.between: one.bandwidth_bytes_per_s for one in every_link(nodes, seed)[:stated]}
    fabric = Fabric(override_bytes_per_s=links)
    widest = [
        max(links.get((min(a, b), max(a, b)), cards) for b in range(nodes) if b != a)
        for a in range(nodes)
    ]
    assert fabric.offers([cards] * nodes) == sorted(widest, reverse=True)


def test_equal_nodes_on_one_network_are_ideal_in_any_order(topology: Make) -> None:
    cluster = topology(nodes=4)
    assert cluster.symmetric
    assert ideal_topology(cluster) is None
    for order in permutations(range(4)):
        assert cluster.ordered(order).group(4, 8) == cluster.group(4, 8)


def test_the_ideal_takes_the_closest_nodes(topology: Make) -> None:
    """Two nodes fit below one leaf, four below a pod, five cross the wide area."""
    ideal = ideal_topology(topology(nodes=8, tiers=TIERS))
    assert ideal is not None
    assert ideal.group(2, 8).network_step_s == 4e-6
    assert ideal.group(4, 8).network_step_s == 6e-6
    assert ideal.group(5, 8).network_step_s == 3e-3


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 2, 1, 0)])
def test_nodes_of_different_sizes_are_as_large_as_the_largest(
    topology: Make, order: tuple[int, ...]
) -> None:
    cluster, small = topology(nodes=2), topology(nodes=2, per_node=4)
    used = Topology([*cluster.kinds, *small.kinds], cluster.fabric, order)
    best = ideal_topology(used)
    assert best is not None
    assert best.devices == used.devices == 24
    for size, stride in ((2, 1), (4, 1), (8, 1), (24, 1), (2, 4), (3, 8), (6, 4)):
        assert all_reduce_s(best.group(size, stride), 1e8) <= all_reduce_s(
            used.group(size, stride), 1e8
        ) * (1 + 1e-12)


def test_a_stage_sees_only_its_own_links(topology: Make) -> None:
    slow = LinkOverride(between=(0, 1), bandwidth_bytes_per_s=20e9)
    cluster = topology(nodes=4, overrides=(slow,))
    first, second = cluster.stage_groups(2, 8, 2)
    assert first.network_bytes_per_s == pytest.approx(20e9 / 8 * 0.92)
    assert second.network_bytes_per_s == pytest.approx(25e9 * 0.92)
    assert cluster.group(2, 8) == first


def test_a_device_sees_only_the_groups_it_is_in(topology: Make) -> None:
    mixed = topology("a100-sxm-80gb", second="v100-sxm-16gb", nodes=4)
    fast, slow = mixed.device_types()
    assert (
        mixed.group(2, 1, device=slow).fast_bytes_per_s
        < mixed.group(2, 1, device=fast).fast_bytes_per_s
    )
    slowest = mixed.group(2, 1, device=slow).fast_bytes_per_s
    assert mixed.group(2, 1).fast_bytes_per_s == slowest


def test_a_slowed_ideal_has_the_device_types_of_the_ideal() -> None:
    from planner.hardware.described import topology_from_spec
    from planner.hardware.ideal import SlowedTopology
    from tests.hardware.conftest import _cluster

    spec = _cluster(nodes=4, second="h100-sxm-80gb", matrix=matrix(4, 1))
    ideal = ideal_topology(topology_from_spec(spec, devices=spec.num_devices or 0))
    assert ideal is not None
    slowed = SlowedTopology(ideal, ideal.slowest_hop(4))
    for device in ideal.real_devices:
        alone, same = slowed.of_type(device), ideal.of_type(device)
        assert alone.slowest_hop(2) == same.slowest_hop(2)
