"""The process groups that a layer communicates in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.hardware.device import Device
    from planner.hardware.links import ProcessGroup, Topology
    from planner.workload.operators import Collective
    from planner.workload.workload import Workload


def group_of(
    operator: Collective, topology: Topology, workload: Workload, device: Device
) -> ProcessGroup:
    """The process group in which ranks on such a device run a layer's collective. Ranks are in the
    order tensor, context, expert, data, pipeline, tensor fastest."""
    shard = workload.shard
    if operator.operation == "ring_exchange":
        ring, apart = workload.context_ring, shard.tensor * workload.context_heads
        if topology.group(ring, apart, device=device).inside:
            return topology.group(min(ring, 2), apart, device=device)
        return topology.pair(apart, device=device)
    size, stride = {
        "tensor": (shard.tensor, 1),
        "context": (workload.context_heads, shard.tensor),
        "expert": (shard.expert, shard.expert_tensor),
        "expert_tensor": (shard.expert_tensor, 1),
    }[operator.axis]
    return topology.group(size, stride, device=device)
