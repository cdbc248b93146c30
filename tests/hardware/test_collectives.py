from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.hardware.collectives import (
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    reduce_scatter_s,
    send_s,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.hardware.links import ProcessGroup, Topology

    Make = Callable[..., Topology]

OPERATIONS = (all_reduce_s, all_gather_s, reduce_scatter_s, all_to_all_s, send_s)
any_size = st.floats(min_value=1, max_value=1e12)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_to_do_takes_no_time(
    topology: Make, operation: Callable[[ProcessGroup, float], float]
) -> None:
    assert operation(topology().group(1, 8), 1e9) == 0.0
    assert operation(topology().group(8, 1), 0.0) == 0.0


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=any_size, factor=st.floats(min_value=1, max_value=10))
def test_more_bytes_never_take_less_time(
    topology: Make, operation: Callable[[ProcessGroup, float], float], size: float, factor: float
) -> None:
    for group in (topology().group(8, 1), topology().group(8, 8), topology().group(64, 1)):
        assert operation(group, size * factor) >= operation(group, size)


@pytest.mark.parametrize(("size", "stride"), [(8, 1), (2, 1), (8, 8), (64, 1), (16, 4)])
@pytest.mark.parametrize("name", ["a100-sxm-80gb", "h100-sxm-80gb"])
def test_large_messages_respect_the_links(
    topology: Make, name: str, size: int, stride: int
) -> None:
    """Nobody sends more than the datasheet's bandwidth; 0.55 of it counts where switches add."""
    group = topology(name).group(size, stride)
    size_bytes = 8e9
    link = 300e9 if group.inside else 25e9 * group.local
    moved = (size - 1) / size * size_bytes
    assert all_gather_s(group, size_bytes) > moved / link
    if group.inside:
        passes = 1 if group.reduction_bytes_per_s and size > 4 else 2
        assert all_reduce_s(group, size_bytes) > passes * moved / link


def test_a_gather_is_half_of_a_ring_all_reduce(topology: Make) -> None:
    group = topology().group(8, 1)
    assert all_reduce_s(group, 4e9) == pytest.approx(2 * all_gather_s(group, 4e9), rel=0.06)
    assert reduce_scatter_s(group, 4e9) == all_gather_s(group, 4e9)


def test_small_messages_cost_launch_and_steps(topology: Make) -> None:
    """Measured on 8 A100: 22 us for 1 KB (ai-dynamo/aiconfigurator, NCCL 2.27.3)."""
    assert all_reduce_s(topology().group(8, 1), 1024) == pytest.approx(22e-6, rel=0.25)


def test_switches_that_add_beat_the_ring(topology: Make) -> None:
    adding = topology("h100-sxm-80gb", intra=450e9, nodes=1).group(8, 1)
    assert all_reduce_s(adding, 1e9) < 1.65 * all_gather_s(adding, 1e9)
    few = topology("h100-sxm-80gb", intra=450e9, nodes=1).group(4, 1)
    assert all_reduce_s(few, 1e9) > 1.8 * all_gather_s(few, 1e9)


def test_a_data_group_is_bound_by_its_share_of_the_network(topology: Make) -> None:
    """64 nodes, one member each: 2 (n-1)/n S at one card's 23 GB/s."""
    group = topology(nodes=64).group(64, 8)
    wire_s = 2 * 63 / 64 * 4e9 / (25e9 * 0.92)
    assert wire_s < all_reduce_s(group, 4e9) < 1.15 * wire_s


def test_more_members_in_a_node_use_more_cards(topology: Make) -> None:
    spread, packed = topology().group(8, 8), topology().group(64, 1)
    assert all_reduce_s(packed, 4e9) < 0.2 * all_reduce_s(spread, 4e9)


def test_a_long_ring_pays_for_its_steps(topology: Make) -> None:
    short, long = topology(nodes=64).group(2, 8), topology(nodes=64).group(64, 8)
    more = all_gather_s(long, 1e4) - all_gather_s(short, 1e4)
    assert more == pytest.approx(62 * 8e-6, rel=0.05)


def test_a_tree_serves_short_messages_of_large_groups(topology: Make) -> None:
    group = topology(nodes=64).group(64, 8)
    assert all_reduce_s(group, 1e3) < 0.2 * 2 * all_gather_s(group, 1e3)


def test_an_exchange_leaves_the_node_with_most_of_its_bytes(topology: Make) -> None:
    group = topology().group(64, 1)
    wire_s = 56 / 64 * 1e9 / (25e9 * 0.92)
    assert wire_s < all_to_all_s(group, 1e9) < 1.2 * wire_s
    assert all_to_all_s(topology().group(8, 1), 1e9) < 0.2 * wire_s


def test_a_message_inside_the_node_is_an_order_faster(topology: Make) -> None:
    cluster = topology(nodes=2)
    inside, across = cluster.between(0, 1, active=1), cluster.between(7, 8, active=1)
    assert send_s(across, 1e8) > 8 * send_s(inside, 1e8)
