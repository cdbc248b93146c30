"""Seconds of one layer on one device, for one microbatch: the operators priced.

The forward pass runs each operator once. The backward pass runs each matmul twice (input gradient,
weight gradient). A collective is exposed in full unless it runs beside something; then exposed is
what outlasts that something, and the share of the rest by which it slows that something down. A
pass cannot be shorter than the host's launches of its kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.hardware.collectives import (
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    reduce_scatter_s,
    send_s,
)
from planner.hardware.kernels import attention_s, grouped_matmul_s, matmul_s, memory_bound_s
from planner.workload.formats import gradient_bytes
from planner.workload.operators import (
    Collective,
    FusedAttention,
    GroupedMatmul,
    Matmul,
    Operator,
    Pointwise,
)
from planner.workload.recompute import selective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.hardware.device import Device
    from planner.hardware.links import Group, Topology
    from planner.specs.software import SoftwareProfile
    from planner.workload.workload import Workload

RANDOM_OPERATIONS = 41.0
"""Operations of one fp32 lane for the random number of one score: ten rounds of Philox 4x32 for
four numbers (Salmon et al. 2011), conversion, comparison, scaling. They take the issue slots that
attention's exponentials need, so their time adds (Ma, Liu and Krashinsky 2024, arXiv:2410.07531).
From the stage times of sail-sg/VocabularyParallelism on A100: 3.8 to 4.7 ps a score, forward and
backward, at two sequence lengths."""

COLLECTIVES = {
    "all_reduce": all_reduce_s,
    "all_gather": all_gather_s,
    "reduce_scatter": reduce_scatter_s,
    "all_to_all": all_to_all_s,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTime:
    """Exposed seconds of one pass (forward or backward) by cause."""

    compute_s: float = 0.0
    tensor_s: float = 0.0
    context_s: float = 0.0
    expert_s: float = 0.0

    @property
    def total_s(self) -> float:
        return self.compute_s + self.tensor_s + self.context_s + self.expert_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """`backward` includes the weight gradients, whose compute alone is `weight_gradient_s`.
    `selective_s` and the whole forward pass are what selective and full recomputation redo.
    `hidden_s` is communication that ran behind compute, `host_bound_s` what the host's launches
    took longer than the device's work; both forward and backward together."""

    forward: PassTime
    backward: PassTime
    weight_gradient_s: float
    selective_s: float
    hidden_s: float
    host_bound_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The process groups a layer communicates in."""

    tensor: Group
    context: Group
    context_ring: Group
    expert: Group
    expert_tensor: Group

    @classmethod
    def of(cls, topology: Topology, workload: Workload, device: Device) -> Groups:
        """Those that such a device is in. Ranks in the order tensor, context, expert, data,
        pipeline, tensor fastest."""
        shard = workload.shard

        def group(size: int, stride: int) -> Group:
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


@dataclass(slots=True)
class _Tally:
    """Running totals of one pass."""

    compute_s: float = 0.0
    tensor_s: float = 0.0
    context_s: float = 0.0
    expert_s: float = 0.0
    hidden_s: float = 0.0
    kernels: int = 0
    collectives: int = 0

    def communicate(
        self,
        operator: Collective,
        group: Group,
        cover_s: float,
        overlap_cost: float,
        wait_s: float,
    ) -> None:
        duration_s = collective_s(operator, group)
        hidden_s = min(duration_s, cover_s)
        exposed_s = duration_s - hidden_s + overlap_cost * hidden_s
        self.hidden_s += hidden_s
        self.collectives += operator.hops
        if operator.axis == "tensor":
            self.tensor_s += exposed_s + wait_s
        elif operator.axis == "context":
            self.context_s += exposed_s
        else:
            self.expert_s += exposed_s

    def host_bound_s(self, software: SoftwareProfile) -> float:
        """What launching takes longer than the device's work; nothing with recorded graphs."""
        if software.cuda_graphs:
            return 0.0
        device_s = self.compute_s + self.tensor_s + self.context_s + self.expert_s
        host_s = (
            self.kernels * software.host_launch.value
            + self.collectives * software.collective_launch.value
        )
        return max(host_s - device_s, 0.0)

    def finish(self, software: SoftwareProfile) -> PassTime:
        return PassTime(
            compute_s=self.compute_s + self.host_bound_s(software),
            tensor_s=self.tensor_s,
            context_s=self.context_s,
            expert_s=self.expert_s,
        )


def collective_s(operator: Collective, group: Group) -> float:
    """Seconds of a layer's collective on an otherwise idle device."""
    if operator.operation == "ring_exchange":
        return operator.hops * send_s(group, operator.buffer_bytes)
    if operator.copies > 1:
        return all_to_all_s(group, operator.buffer_bytes * _travelling_share(operator, group))
    return COLLECTIVES[operator.operation](group, operator.buffer_bytes)


def _travelling_share(operator: Collective, group: Group) -> float:
    """Domains that hold at least one of a token's `copies` experts, spread evenly over D domains,
    over the copies: D·(1 − (1 − 1/D)^copies) / copies. All of them inside one domain."""
    if group.inside:
        return 1.0
    d = group.domains
    return d * (1 - (1 - 1 / d) ** operator.copies) / operator.copies


def layer_time(
    workload: Workload, operators: Sequence[Operator], device: Device, topology: Topology
) -> LayerTime:
    """Price a layer's operators on `device`, communicating in the default rank order's groups."""
    groups = Groups.of(topology, workload, device)
    software = workload.software
    costs = [_operator_cost(operator, workload, device) for operator in operators]
    forward, backward = _Tally(), _Tally()
    overlap_cost = device.links.overlap_cost
    waited = software.tensor_collective_wait
    wait_s = 0.0 if waited is None or workload.shard.tensor == 1 else waited.value
    selective_s = 0.0
    effects = selective(workload, operators)
    for index, (operator, cost, effect) in enumerate(zip(operators, costs, effects, strict=True)):
        if isinstance(operator, Collective):
            group = _group_of(groups, operator)
            cover = _cover(operators, costs, index, software)
            if operator.in_forward:
                forward.communicate(operator, group, cover.forward_s, overlap_cost, wait_s)
            if operator.in_backward:
                backward.communicate(operator, group, cover.weight_gradient_s, overlap_cost, wait_s)
            continue
        forward.compute_s += cost.forward_s
        forward.kernels += cost.forward_kernels
        backward.compute_s += cost.input_gradient_s + cost.weight_gradient_s
        backward.kernels += cost.backward_kernels
        selective_s += effect.redone_share * cost.forward_s
    return LayerTime(
        forward=forward.finish(software),
        backward=backward.finish(software),
        weight_gradient_s=sum(cost.weight_gradient_s for cost in costs),
        selective_s=selective_s,
        hidden_s=forward.hidden_s + backward.hidden_s,
        host_bound_s=forward.host_bound_s(software) + backward.host_bound_s(software),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    forward_s: float = 0.0
    input_gradient_s: float = 0.0
    weight_gradient_s: float = 0.0
    forward_kernels: int = 0
    backward_kernels: int = 0


def _group_of(groups: Groups, operator: Collective) -> Group:
    if operator.operation == "ring_exchange":
        return groups.context_ring
    group: Group = getattr(groups, operator.axis)
    return group


def _cover(
    operators: Sequence[Operator], costs: Sequence[_Cost], index: int, software: SoftwareProfile
) -> _Cost:
    """Compute that runs at the same time as the collective at `index`.

    Either what the framework always pairs it with, or, with the tensor overlap on, the matmul it
    feeds or drains, pipelined in as many chunks as the group has ranks: all but one are covered.
    """
    collective = operators[index]
    assert isinstance(collective, Collective)
    if collective.beside == "weight_gradient":
        return costs[_neighbour(operators, index, -1)]
    if collective.beside == "attention":
        attention = [
            cost
            for operator, cost in zip(operators, costs, strict=True)
            if operator.module == "core_attn"
        ]
        return _Cost(
            forward_s=sum(cost.forward_s for cost in attention),
            weight_gradient_s=sum(cost.input_gradient_s for cost in attention),
        )
    overlapped = "tensor" in software.overlap and collective.axis == "tensor"
    if not overlapped or collective.operation == "all_reduce":
        return _Cost()
    feeds = collective.in_forward and collective.operation == "all_gather"
    neighbour = _neighbour(operators, index, 1 if feeds else -1)
    return costs[neighbour] if neighbour >= 0 else _Cost()


def _neighbour(operators: Sequence[Operator], index: int, direction: int) -> int:
    """Index of the nearest weight matmul in `direction`, or −1."""
    index += direction
    while 0 <= index < len(operators):
        operator = operators[index]
        if isinstance(operator, Matmul) and operator.weight:
            return index
        index += direction
    return -1


def _operator_cost(operator: Operator, workload: Workload, device: Device) -> _Cost:
    match operator:
        case Matmul():
            return _matmul_cost(operator, workload, device)
        case GroupedMatmul():
            return _grouped_matmul_cost(operator, workload, device)
        case FusedAttention():
            return _attention_cost(operator, workload, device)
        case Pointwise():
            return _Cost(
                forward_s=memory_bound_s(device, operator.forward_bytes, operator.forward_kernels),
                input_gradient_s=memory_bound_s(
                    device, operator.backward_bytes, operator.backward_kernels
                ),
                forward_kernels=operator.forward_kernels,
                backward_kernels=operator.backward_kernels,
            )
        case _:
            return _Cost()


def _matmul_cost(operator: Matmul, workload: Workload, device: Device) -> _Cost:
    m, n, k, batch = operator.m, operator.n, operator.k, operator.batch
    precision = workload.precision if operator.quantized else workload.base_precision
    forward_s = matmul_s(device, m=m, n=n, k=k, batch=batch, precision=precision)
    input_gradient_s = matmul_s(device, m=m, n=k, k=n, batch=batch, precision=precision)
    weight_gradient_s = matmul_s(
        device,
        m=n,
        n=k,
        k=m,
        batch=batch,
        precision=precision,
        gradient=True,
        output_bytes=workload.weight_gradient_bytes if operator.weight else workload.element_bytes,
    )
    extra_s, extra_kernels = _weight_traffic(operator.parameters, workload, device)
    cast_s, cast_kernels = _cast(operator.m * operator.k, operator.quantized, workload, device)
    gradient_cast_s, _ = _cast(operator.m * operator.n, operator.quantized, workload, device)
    if operator.weight:
        weight_cast_s, weight_kernels = _weight_cast(k * n, operator.quantized, workload, device)
        cast_s, cast_kernels = cast_s + weight_cast_s, cast_kernels + weight_kernels
    return _Cost(
        forward_s=forward_s + cast_s,
        input_gradient_s=input_gradient_s + gradient_cast_s,
        weight_gradient_s=weight_gradient_s + extra_s,
        forward_kernels=1 + cast_kernels,
        backward_kernels=2 + extra_kernels + cast_kernels,
    )


def _grouped_matmul_cost(operator: GroupedMatmul, workload: Workload, device: Device) -> _Cost:
    rows = max(operator.m // operator.groups, 1)
    groups, n, k, precision = operator.groups, operator.n, operator.k, workload.precision
    extra_s, extra_kernels = _weight_traffic(operator.parameters, workload, device)
    cast_s, cast_kernels = _cast(operator.m * k, True, workload, device)
    gradient_cast_s, _ = _cast(operator.m * n, True, workload, device)
    return _Cost(
        forward_s=cast_s
        + grouped_matmul_s(device, groups=groups, m=rows, n=n, k=k, precision=precision),
        input_gradient_s=gradient_cast_s
        + grouped_matmul_s(device, groups=groups, m=rows, n=k, k=n, precision=precision),
        weight_gradient_s=extra_s
        + grouped_matmul_s(
            device,
            groups=groups,
            m=n,
            n=k,
            k=rows,
            precision=precision,
            gradient=True,
            output_bytes=workload.weight_gradient_bytes,
        ),
        forward_kernels=1 + cast_kernels,
        backward_kernels=2 + extra_kernels + cast_kernels,
    )


def _weight_traffic(parameters: int, workload: Workload, device: Device) -> tuple[float, int]:
    """Adding a fresh weight gradient to the main gradient when the matmul does not do it."""
    if workload.software.fused.gradient_accumulation or not parameters:
        return 0.0, 0
    main_bytes = gradient_bytes(workload.software, workload.precision)
    size_bytes = parameters * (workload.element_bytes + 2 * main_bytes)
    return memory_bound_s(device, size_bytes, 1), 1


def _cast(elements: int, quantized: bool, workload: Workload, device: Device) -> tuple[float, int]:
    """Quantising one operand: read it, write it in both orientations. One scale for all of it has
    to be found first, unless it is that of an earlier step; a block's is found on the way."""
    if not (quantized and workload.quantized):
        return 0.0, 0
    reads = 2 if workload.precision == "fp8" and workload.software.fp8.amax_pass else 1
    size_bytes = elements * (reads * workload.element_bytes + 2 * workload.operand_bytes)
    return memory_bound_s(device, size_bytes, reads), reads


def _weight_cast(
    elements: int, quantized: bool, workload: Workload, device: Device
) -> tuple[float, int]:
    """Quantising weights for every microbatch where they are not cached. Those gathered in 8 bits
    lack the other orientation only."""
    fp8 = workload.software.fp8
    if fp8.weights_cached or not (quantized and workload.quantized):
        return 0.0, 0
    if workload.precision == "fp8" and fp8.parameter_gather:
        return memory_bound_s(device, 2 * elements * workload.operand_bytes, 1), 1
    return _cast(elements, quantized, workload, device)


def _attention_cost(operator: FusedAttention, workload: Workload, device: Device) -> _Cost:
    calls = _attention_calls(operator, workload.shard.context)
    forward_s, backward_s = (
        sum(
            attention_s(
                device,
                batch=operator.batch,
                heads=operator.heads,
                query_length=operator.query_length,
                key_length=keys,
                head_dim=operator.head_dim,
                value_dim=operator.value_dim,
                causal=causal,
                backward=backward,
                precision=workload.base_precision,
                window=operator.window,
                generation=workload.software.attention_generation,
            )
            for keys, causal in calls
        )
        for backward in (False, True)
    )
    random_s = _attention_dropout_s(operator, device) if workload.dropout else 0.0
    return _Cost(
        forward_s=forward_s + random_s,
        input_gradient_s=backward_s + random_s,
        forward_kernels=len(calls),
        backward_kernels=3 * len(calls),
    )


def _attention_calls(operator: FusedAttention, context: int) -> list[tuple[int, bool]]:
    """(keys, causal) of each kernel call. A ring attends to its own part of the sequence, then to
    half of every part that comes by, all queries to half of the keys or half of them to all
    (TransformerEngine `AttnFuncWithCPAndKVP2P`; PyTorch `_templated_ring_attention`)."""
    if context == 1 or operator.window is not None:
        return [(operator.key_length, True)]
    return [(operator.query_length, True)] + [(operator.query_length // 2, False)] * (context - 1)


def _attention_dropout_s(operator: FusedAttention, device: Device) -> float:
    """Seconds of making a random number for every score, which each pass does again."""
    scores = operator.batch * operator.heads * operator.query_length * operator.scored_keys
    lane_operations_per_s = device.peak("fp32") / 2
    return RANDOM_OPERATIONS * scores / lane_operations_per_s
