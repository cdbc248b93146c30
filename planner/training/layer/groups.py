"""The process groups that a layer communicates in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.hardware.device import Device
    from planner.hardware.links import ProcessGroup, Topology
    from planner.workload.operators import Collective
    from planner.workload.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The process groups that a layer communicates in."""

    tensor: ProcessGroup
    context: ProcessGroup
    context_ring: ProcessGroup
    expert: ProcessGroup
    expert_tensor: ProcessGroup

    @classmethod
    def of(cls, topology: Topology, workload: Workload, device: Device) -> Groups:
        """The groups of ranks on such a device. Ranks are in the order tensor, context, expert,
        data, pipeline, tensor fastest."""
        shard = workload.shard

        def group(size: int, stride: int) -> ProcessGroup:
            return topology.group(size, stride, device=device)

        context = group(shard.context, shard.tensor)
        neighbours = group(min(shard.context, 2), shard.tensor)
        ring = neighbours if context.inside else topology.pair(shard.tensor, device=device)
        return cls(
            tensor=group(shard.tensor, 1),
            context=context,
            context_ring=ring,
            expert=group(shard.expert, shard.expert_tensor),
            expert_tensor=group(shard.expert_tensor, 1),
        )

    def for_(self, operator: Collective) -> ProcessGroup:
        """The group of a collective."""
        if operator.operation == "ring_exchange":
            return self.context_ring
        group: ProcessGroup = getattr(self, operator.axis)
        return group
