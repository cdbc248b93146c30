from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from planner.hardware.described import device_from_spec, topology_from_spec
from planner.hardware.device import Device
from planner.hardware.links import Topology
from planner.specs.cluster.spec import (
    BandwidthMatrix,
    ClusterSpec,
    FabricTier,
    IntraNode,
    LinkOverride,
    Network,
    NodeGroup,
    ScaleUp,
)
from planner.specs.load import load_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.specs.device import DeviceSpec

device_spec = cache(load_device)


@cache
def _device(name: str) -> Device:
    return device_from_spec(device_spec(name))


def _cluster(
    device: str = "a100-sxm-80gb",
    *,
    nodes: int = 8,
    per_node: int = 8,
    intra: float = 300e9,
    cards: int = 8,
    card: float = 25e9,
    domain: int | None = None,
    tiers: tuple[FabricTier, ...] = (),
    matrix: BandwidthMatrix | None = None,
    overrides: tuple[LinkOverride, ...] = (),
    second: str | None = None,
    second_card: float | None = None,
    second_cards: int | None = None,
) -> ClusterSpec:
    def group(
        name: str, spec: DeviceSpec, count: int, cards: int = cards, card: float = card
    ) -> NodeGroup:
        return NodeGroup(
            name=name,
            count=count,
            device=spec,
            devices_per_node=per_node,
            intra_node=IntraNode(bandwidth_bytes_per_s=intra),
            network=Network(cards=cards, bandwidth_bytes_per_s=card),
            scale_up=(
                None if domain is None else ScaleUp(nodes=domain, bandwidth_bytes_per_s=intra)
            ),
        )

    groups: tuple[NodeGroup, ...] = (group("a", device_spec(device), nodes),)
    if second is not None:
        half = nodes // 2
        groups = (
            group("a", device_spec(device), half),
            group(
                "b", device_spec(second), nodes - half, second_cards or cards, second_card or card
            ),
        )
    return ClusterSpec(
        name="test", node_groups=groups, tiers=tiers, matrix=matrix, overrides=overrides
    )


@pytest.fixture
def device() -> Callable[[str], Device]:
    return _device


@pytest.fixture
def topology() -> Callable[..., Topology]:
    def build(*args: object, **settings: object) -> Topology:
        spec = _cluster(*args, **settings)  # type: ignore[arg-type]
        return topology_from_spec(spec, devices=spec.num_devices or 0)

    return build
