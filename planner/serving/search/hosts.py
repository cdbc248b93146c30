"""Which nodes the replicas of every pool run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.serving.deployment import PoolPart
    from planner.solver.pools import Room
    from planner.specs.cluster.spec import NodeGroup


def hosts_of(
    groups: Sequence[NodeGroup], rooms: Sequence[Room], parts: Sequence[PoolPart]
) -> list[tuple[str, ...]]:
    """Of every part, in cluster order. In each group the largest stages come first, so that none
    lies across the end of a fast fabric; where sizes do not divide one another, each begins a new
    one."""
    found: list[tuple[str, ...]] = [()] * len(parts)
    for at, (group, room) in enumerate(zip(groups, rooms, strict=True)):
        members = [index for index, part in enumerate(parts) if part.group == at]
        members.sort(key=lambda index: -parts[index].scenario.degrees.stage_devices)
        device = 0
        for index in members:
            degrees = parts[index].scenario.degrees
            size = degrees.stage_devices
            nodes: set[int] = set()
            for _ in range(parts[index].replicas * degrees.pipeline):
                if device % size or device % room.block + size > room.block:
                    device += room.block - device % room.block
                first, last = device // group.devices_per_node, (device + size - 1)
                nodes.update(range(first, last // group.devices_per_node + 1))
                device += size
            names = group.hosts or ()
            found[index] = tuple(names[node] for node in sorted(nodes) if node < len(names))
    return found
