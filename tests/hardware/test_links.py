from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planner.errors import InputError
from planner.hardware import geometry
from planner.specs.cluster.spec import BandwidthMatrix, FabricTier, LinkOverride

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.hardware.links import Topology

    Make = Callable[..., Topology]


def test_groups_cover_every_rank_once() -> None:
    ranks = [
        rank for group in geometry.groups(range(48), 4, 3, alike=1, limit=None) for rank in group
    ]
    assert sorted(ranks) == list(range(48))


@pytest.mark.parametrize(
    ("size", "stride", "domain", "expected"),
    [
        (8, 1, 8, (1, 8)),
        (16, 1, 8, (2, 8)),
        (4, 2, 8, (1, 4)),
        (16, 4, 8, (8, 2)),
        (5, 8, 8, (5, 1)),
        (4, 1, 6, None),
        (3, 4, 8, None),
        (4, 12, 8, None),
    ],
)
def test_groups_that_all_fall_alike(
    size: int, stride: int, domain: int, expected: tuple[int, int] | None
) -> None:
    assert geometry.aligned_domains(size, stride, domain) == expected


@pytest.mark.parametrize(
    ("size", "stride", "local", "domains", "groups_per_node"),
    [
        (8, 1, 8, 1, 1),
        (4, 1, 4, 1, 2),
        (2, 4, 2, 1, 4),
        (8, 8, 1, 8, 8),
        (8, 4, 2, 4, 4),
        (16, 1, 8, 2, 1),
        (16, 4, 2, 8, 4),
        (8, 3, 3, 3, 2),
        (3, 1, 3, 2, 2),
    ],
)
def test_how_groups_fall_on_nodes_of_eight(
    topology: Make, size: int, stride: int, local: int, domains: int, groups_per_node: int
) -> None:
    group = topology(nodes=9 if size == 3 else 8).group(size, stride)
    assert (group.local, group.domains) == (local, domains)
    assert group.groups_per_node == groups_per_node
    assert group.inside == (domains == 1)


@pytest.mark.parametrize(("size", "stride"), [(8, 8), (16, 4), (4, 2), (64, 1), (2, 32), (8, 1)])
def test_looking_at_every_group_agrees_with_the_closed_form(
    topology: Make, size: int, stride: int
) -> None:
    one_tier = (FabricTier(name="leaf", nodes=None),)
    assert topology().group(size, stride) == topology(tiers=one_tier).group(size, stride)


def test_members_of_a_node_share_its_cards(topology: Make) -> None:
    """Eight data groups of one member per node each get an eighth of four cards."""
    data = topology(cards=4).group(8, 8)
    assert data.network_bytes_per_s == pytest.approx(4 * 25e9 / 8 * 0.92)
    whole = topology(cards=4).group(64, 1)
    assert whole.network_bytes_per_s == pytest.approx(4 * 25e9 * 0.92)


def test_a_group_alone_on_its_node_reaches_the_cards_next_to_it(topology: Make) -> None:
    assert topology().pair(8).member_network_bytes_per_s == pytest.approx(25e9 * 0.92)
    assert topology(cards=4).pair(4).member_network_bytes_per_s == pytest.approx(25e9 * 0.92)
    assert topology(cards=4).pair(8).member_network_bytes_per_s == pytest.approx(12.5e9 * 0.92)
    many = topology(cards=32, card=12.5e9).pair(8)
    assert many.member_network_bytes_per_s == pytest.approx(50e9 * 0.92)


def test_a_pair_inside_the_node_uses_the_fast_fabric(topology: Make) -> None:
    single = topology(nodes=1)
    assert single.pair(4).inside
    assert not topology(nodes=2).pair(4).inside
    assert topology(nodes=2).between(0, 4, active=4).inside
    assert not topology(nodes=2).between(4, 8, active=4).inside


def test_a_rack_is_one_domain(topology: Make) -> None:
    rack = topology("gb200", nodes=36, per_node=4, intra=900e9, cards=4, card=50e9, domain=18)
    assert rack.group(72, 1).inside
    assert rack.group(18, 4).inside
    both = rack.group(36, 4)
    assert (both.local, both.domains) == (18, 2)
    assert both.network_bytes_per_s == pytest.approx(8 * 50e9 * 0.95)
    assert rack.group(2, 72).network_bytes_per_s == pytest.approx(50e9 * 0.95)


def test_nodes_without_a_switch_give_small_groups_few_links(topology: Make) -> None:
    node = topology("v100-sxm-16gb", nodes=1, intra=150e9)
    whole, pair = node.group(8, 1), node.group(2, 1)
    assert pair.fast_bytes_per_s == pytest.approx(whole.fast_bytes_per_s / 7)


def test_a_group_inside_a_node_is_that_of_its_own_devices(topology: Make) -> None:
    """The fast nodes of a mixed cluster do not wait for the slow ones' tensor groups, those that
    span both do."""
    mixed = topology("h100-sxm-80gb", second="t4", nodes=4)
    for name, device in zip(("h100-sxm-80gb", "t4"), mixed.device_types(), strict=True):
        alone = topology(name, nodes=2)
        assert mixed.group(4, 1, device=device) == alone.group(4, 1)
        assert mixed.group(32, 1, device=device) == mixed.group(32, 1)
    assert mixed.group(4, 1) == topology("t4", nodes=2).group(4, 1)
    fast, slow = (mixed.pair(16, device=device) for device in mixed.device_types())
    assert fast == slow == mixed.pair(16)


def test_the_slowest_device_of_a_mixed_group_counts(topology: Make) -> None:
    mixed = topology("h100-sxm-80gb", second="a100-sxm-80gb", nodes=4)
    assert not mixed.uniform
    assert [device.name for device in mixed.device_types()] == ["h100-sxm-80gb", "a100-sxm-80gb"]
    assert mixed.device(15).name == "h100-sxm-80gb"
    assert mixed.device(16).name == "a100-sxm-80gb"
    alone = topology("a100-sxm-80gb", nodes=4)
    assert mixed.group(4, 8).network_bytes_per_s == alone.group(4, 8).network_bytes_per_s
    assert mixed.group(8, 1).reduction_bytes_per_s == 0.0


@pytest.mark.parametrize(
    ("fast", "slow"), [("h100-sxm-80gb", "a100-sxm-80gb"), ("a100-sxm-80gb", "h100-sxm-80gb")]
)
def test_the_slowest_cards_say_what_of_their_bandwidth_is_reached(
    topology: Make, fast: str, slow: str
) -> None:
    mixed = topology(fast, second=slow, nodes=4, second_card=5e9)
    alone = topology(slow, nodes=4, card=5e9)
    assert mixed.group(4, 8).network_bytes_per_s == alone.group(4, 8).network_bytes_per_s


def test_every_end_of_a_link_shares_its_own_cards(topology: Make) -> None:
    """Nodes of eight devices with a card each beside nodes with fewer cards as fast as those."""
    few = topology("a100-sxm-80gb", second="a100-sxm-80gb", nodes=4, second_cards=2)
    alike = topology("a100-sxm-80gb", nodes=4)
    crossing = few.between(15, 16, active=1)
    assert (
        crossing.member_network_bytes_per_s
        == alike.between(15, 16, active=1).member_network_bytes_per_s
    )
    shared = few.between(15, 16, active=8)
    assert shared.member_network_bytes_per_s == pytest.approx(
        crossing.member_network_bytes_per_s / 4
    )


def test_no_link_reaches_more_than_its_less_efficient_end(topology: Make) -> None:
    """Although the other end has the slower cards."""
    slower = topology("h100-sxm-80gb", second="a100-sxm-80gb", nodes=4, second_card=24e9)
    for name in ("h100-sxm-80gb", "a100-sxm-80gb"):
        alone = topology(name, nodes=4)
        assert slower.group(4, 8).network_bytes_per_s <= alone.group(4, 8).network_bytes_per_s


LEAF_AND_SPINE = (
    FabricTier(name="leaf", nodes=4),
    FabricTier(name="spine", nodes=None, oversubscription=2.0),
)


def test_oversubscription_costs_only_what_leaves_the_leaf(topology: Make) -> None:
    tiered = topology(tiers=LEAF_AND_SPINE)
    inside_leaf, across = tiered.group(4, 8), tiered.group(2, 32)
    assert inside_leaf.network_bytes_per_s == pytest.approx(25e9 * 0.92)
    assert across.network_bytes_per_s == pytest.approx(12.5e9 * 0.92)


def test_a_ring_of_neighbours_leaves_the_leaf_once(topology: Make) -> None:
    assert topology(tiers=LEAF_AND_SPINE).group(8, 8).network_bytes_per_s == pytest.approx(
        25e9 * 0.92
    )


def test_a_wide_area_link_adds_its_latency_where_it_is_crossed(topology: Make) -> None:
    tiers = (
        FabricTier(name="site", nodes=4),
        FabricTier(name="wide", nodes=None, bandwidth_bytes_per_s=2e9, latency_s=3e-3),
    )
    sites = topology(tiers=tiers)
    assert sites.group(4, 8).network_step_s < 1e-3
    across = sites.group(8, 8)
    assert across.network_step_s == pytest.approx(3e-3)
    assert across.ring_network_s == pytest.approx(2 * 3e-3 + 6 * 8e-6)
    assert across.network_bytes_per_s == pytest.approx(2e9 / 8 * 0.92)


def test_a_slow_measured_link_slows_the_groups_that_use_it(topology: Make) -> None:
    slow = LinkOverride(between=(0, 1), bandwidth_bytes_per_s=20e9)
    cluster = topology(overrides=(slow,))
    assert not cluster.uniform
    assert cluster.group(2, 8).network_bytes_per_s == pytest.approx(20e9 / 8 * 0.92)
    assert cluster.group(2, 32).network_bytes_per_s == pytest.approx(25e9 * 0.92)


def test_placement_moves_a_group_off_a_slow_link(topology: Make) -> None:
    slow = LinkOverride(between=(0, 1), bandwidth_bytes_per_s=20e9)
    cluster = topology(nodes=4, overrides=(slow,))
    better = cluster.ordered([0, 2, 1, 3])
    assert better.group(2, 8).network_bytes_per_s > cluster.group(2, 8).network_bytes_per_s
    again = cluster.ordered([0, 1, 2, 3])
    assert again.group(2, 8) == cluster.group(2, 8)


def test_a_matrix_is_read_by_sender_and_receiver(topology: Make) -> None:
    rows = ((0.0, 100e9, 80e9), (100e9, 0.0, 100e9), (200e9, 100e9, 0.0))
    cluster = topology(nodes=3, matrix=BandwidthMatrix(bytes_per_s=rows, path="m.csv"))
    assert cluster.between(0, 16, active=8).network_bytes_per_s == pytest.approx(80e9 / 8 * 0.92)
    assert cluster.group(3, 8).network_bytes_per_s == pytest.approx(100e9 / 8 * 0.92)


def test_a_group_larger_than_the_job_is_refused(topology: Make) -> None:
    with pytest.raises(InputError, match="16 ranks 8 apart does not fit on 64 devices"):
        topology().group(16, 8)
    with pytest.raises(InputError, match="2 ranks 64 apart"):
        topology().pair(64)


def test_ranks_of_nodes(topology: Make) -> None:
    cluster = topology(nodes=4)
    assert (cluster.devices, cluster.nodes) == (32, 4)
    assert [cluster.node_of(rank) for rank in (0, 7, 8, 31)] == [0, 0, 1, 3]
