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
        if topology.group(shard.context, shard.tensor, device=device).inside:
            return topology.group(min(shard.context, 2), shard.tensor, device=device)
        return topology.pair(shard.tensor, device=device)
    size, stride = {
        "tensor": (shard.tensor, 1),
        "context": (shard.context, shard.tensor),
        "expert": (shard.expert, shard.expert_tensor),
        "expert_tensor": (shard.expert_tensor, 1),
    }[operator.axis]
    return topology.group(size, stride, device=device)
