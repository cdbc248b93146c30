"""Seconds of one layer on one device, for one microbatch: the operators priced.

The forward pass runs each operator once. The backward pass runs each matmul twice (input gradient,
weight gradient). A collective is exposed in full unless it overlaps compute; then the part that
outlasts the compute is exposed, plus `overlap_cost` times the hidden part, by which it slows the
compute. A pass cannot be shorter than the host's launches of its kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from planner.hardware.collectives import (
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    reduce_scatter_s,
    send_s,
)
from planner.training.layer.host import collective_launch_s, launch_s, launched
from planner.training.layer.operators import OperatorTime, operator_time
from planner.workload.operators import Collective, GroupedMatmul, Matmul
from planner.workload.recompute import EVERY_SECOND_MATMUL, selective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.hardware.device import Device
    from planner.hardware.links import ProcessGroup, Topology
    from planner.specs.software import SoftwareProfile
    from planner.workload.operators import Operator
    from planner.workload.recompute import Selective
    from planner.workload.workload import Workload

COLLECTIVES = {
    "all_reduce": all_reduce_s,
    "all_gather": all_gather_s,
    "reduce_scatter": reduce_scatter_s,
    "all_to_all": all_to_all_s,
}


class PassTime(NamedTuple):
    """Exposed seconds of one pass (forward or backward) by cause."""

    compute_s: float = 0.0
    tensor_s: float = 0.0
    context_s: float = 0.0
    expert_s: float = 0.0

    @property
    def total_s(self) -> float:
        return self.compute_s + self.tensor_s + self.context_s + self.expert_s


class LayerTime(NamedTuple):
    """Seconds of a pass. Where the profile overlaps expert exchanges with another microbatch's
    pass, this is the time of a pass in such a pair, and `alone` that of an unpaired pass.
    `backward` includes the weight gradients, whose compute alone is `weight_gradient_s`.
    `selective_s` and `full_s` are what selective and full recomputation redo. `hidden_s` is
    communication that ran behind compute, and `host_bound_s` the seconds by which the host's
    launches outlast the device's work; both add forward and backward. `forward_host_bound_s` is
    that of the forward pass alone."""

    forward: PassTime
    backward: PassTime
    forward_alone: PassTime
    backward_alone: PassTime
    weight_gradient_s: float
    selective_s: float
    full_s: float
    hidden_s: float
    host_bound_s: float
    forward_host_bound_s: float


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


@dataclass(slots=True)
class _Tally:
    """Running totals of one pass. `launching_s` is what the host needs for the operators that it
    launches itself, `launched_s` what the device needs for them."""

    compute_s: float = 0.0
    tensor_s: float = 0.0
    context_s: float = 0.0
    expert_s: float = 0.0
    exchange_s: float = 0.0
    exchange_multiprocessors: int = 0
    hidden_s: float = 0.0
    slowness: float = 1.0
    blocking: bool = False
    launching_s: float = 0.0
    launched_s: float = 0.0

    def compute(
        self, workload: Workload, operator: Operator, cost: OperatorTime, *, backward: bool
    ) -> None:
        seconds = cost.backward_s if backward else cost.forward_s
        self.compute_s += seconds
        if launched(workload, operator):
            launching_s = launch_s(workload, operator, cost, backward=backward)
            self.launching_s += self.slowness * launching_s
            self.launched_s += seconds

    def communicate(
        self,
        workload: Workload,
        operator: Collective,
        group: ProcessGroup,
        cover_s: float,
        overlap_cost: float,
        wait_s: float,
    ) -> None:
        duration_s = collective_s(operator, group)
        hidden_s = min(duration_s, cover_s)
        exposed_s = duration_s - hidden_s + overlap_cost * hidden_s
        self.hidden_s += hidden_s
        if operator.axis == "tensor":
            exposed_s += wait_s
        if launched(workload, operator):
            self.launching_s += self.slowness * collective_launch_s(workload, operator)
            self.launched_s += exposed_s
        if operator.axis == "tensor":
            self.tensor_s += exposed_s
        elif operator.axis == "context":
            self.context_s += exposed_s
        else:
            self.expert_s += exposed_s
            if operator.axis == "expert":
                self.exchange_s += exposed_s
                self.exchange_multiprocessors = operator.multiprocessors

    @classmethod
    def joined(cls, parts: Sequence[_Tally]) -> _Tally:
        """Of passes through parts that follow each other."""
        return cls(
            compute_s=sum([part.compute_s for part in parts]),
            tensor_s=sum([part.tensor_s for part in parts]),
            context_s=sum([part.context_s for part in parts]),
            expert_s=sum([part.expert_s for part in parts]),
            exchange_s=sum([part.exchange_s for part in parts]),
            exchange_multiprocessors=max([part.exchange_multiprocessors for part in parts]),
            hidden_s=sum([part.hidden_s for part in parts]),
            slowness=parts[0].slowness,
            blocking=parts[0].blocking,
            launching_s=sum([part.launching_s for part in parts]),
            launched_s=sum([part.launched_s for part in parts]),
        )

    @property
    def host_bound_s(self) -> float:
        """Seconds by which launching outlasts the launched work; all of the launching where the
        host waits for every kernel."""
        if self.blocking:
            return self.launching_s
        return max(self.launching_s - self.launched_s, 0.0)

    @property
    def total_s(self) -> float:
        """Exposed seconds, including the host's."""
        return self.compute_s + self.host_bound_s + self.tensor_s + self.context_s + self.expert_s

    def finish(self) -> PassTime:
        return PassTime(
            compute_s=self.compute_s + self.host_bound_s,
            tensor_s=self.tensor_s,
            context_s=self.context_s,
            expert_s=self.expert_s,
        )


def collective_s(operator: Collective, group: ProcessGroup) -> float:
    """Seconds of a layer's collective on an otherwise idle device."""
    if operator.operation == "ring_exchange":
        return operator.hops * send_s(group, operator.buffer_bytes)
    if operator.operation == "all_to_all":
        travelling_bytes = operator.buffer_bytes * _travelling_share(operator, group)
        shares = operator.network_efficiency
        share = None if shares is None else shares.of(group.network_kind).value
        return all_to_all_s(group, travelling_bytes, network_efficiency=share)
    return COLLECTIVES[operator.operation](group, operator.buffer_bytes)


def _travelling_share(operator: Collective, group: ProcessGroup) -> float:
    """Places that hold at least one of a token's `copies` experts, spread evenly over D of them,
    over the copies: D·(1 − (1 − 1/D)^copies) / copies. Places are domains, inside one domain
    devices; of them D are those that the token's groups of experts can reach."""
    places = group.size if group.inside else group.domains
    share = operator.group_top_k / operator.num_groups
    d = min(places, max(operator.group_top_k, places * share)) if share < 1 else places
    return d * (1 - (1 - 1 / d) ** operator.copies) / operator.copies


@dataclass(slots=True, kw_only=True)
class LayerTally:
    """Running totals of a layer or of a part of one. `spared_s` is what full recomputation need not
    redo."""

    forward: _Tally
    backward: _Tally
    selective_s: float = 0.0
    weight_gradient_s: float = 0.0
    spared_s: float = 0.0

    @classmethod
    def joined(cls, parts: Sequence[LayerTally]) -> LayerTally:
        """Of a layer whose parts follow each other."""
        return cls(
            forward=_Tally.joined([part.forward for part in parts]),
            backward=_Tally.joined([part.backward for part in parts]),
            selective_s=sum([part.selective_s for part in parts]),
            weight_gradient_s=sum([part.weight_gradient_s for part in parts]),
            spared_s=sum([part.spared_s for part in parts]),
        )

    def finish(self, workload: Workload, device: Device) -> LayerTime:
        """The seconds of a whole layer. The tally is spent."""
        forward, backward, software = self.forward, self.backward, workload.software
        full_s = forward.total_s - self.spared_s
        alone = (forward.finish(), backward.finish())
        if "expert" in software.overlap:
            _pair(forward, backward, software.expert.overlapped_share.value, device)
        return LayerTime(
            forward_alone=alone[0],
            backward_alone=alone[1],
            forward=forward.finish(),
            backward=backward.finish(),
            weight_gradient_s=self.weight_gradient_s,
            selective_s=self.selective_s,
            full_s=max(full_s, 0.0),
            hidden_s=forward.hidden_s + backward.hidden_s,
            host_bound_s=forward.host_bound_s + backward.host_bound_s,
            forward_host_bound_s=forward.host_bound_s,
        )


def layer_time(
    workload: Workload,
    operators: Sequence[Operator],
    device: Device,
    topology: Topology,
    *,
    costs: Sequence[OperatorTime] | None = None,
    effects: Sequence[Selective] | None = None,
) -> LayerTime:
    """Price a layer's operators on `device`, communicating in the default rank order's groups.
    `costs`, their seconds there, and `effects`, what selective recomputation does to them, are
    worked out unless they are known already."""
    costs = costs or [operator_time(operator, workload, device) for operator in operators]
    effects = effects or selective(workload, operators)
    tally = tally_layer(workload, operators, device, topology, costs, effects)
    return tally.finish(workload, device)


def tally_layer(
    workload: Workload,
    operators: Sequence[Operator],
    device: Device,
    topology: Topology,
    costs: Sequence[OperatorTime],
    effects: Sequence[Selective],
) -> LayerTally:
    """Add up a layer's operators, or those of a part of one. Parts of one layer may be added up
    apart where `separable` says so."""
    groups = Groups.of(topology, workload, device)
    software = workload.software
    forward, backward = (
        _Tally(slowness=device.host_slowness, blocking=software.launch_blocking) for _ in range(2)
    )
    overlap_cost = device.links.overlap_cost
    waited = software.tensor_collective_wait
    wait_s = 0.0 if waited is None or workload.shard.tensor == 1 else waited.value
    selective_s = 0.0
    exchanged: dict[int, float] = {}
    for index, (operator, cost, effect) in enumerate(zip(operators, costs, effects, strict=True)):
        if isinstance(operator, Collective):
            group = _group_of(groups, operator)
            cover = _cover(operators, costs, index, software)
            if operator.in_forward:
                cover_s = cover.forward_s
                before_s = forward.total_s
                forward.communicate(workload, operator, group, cover_s, overlap_cost, wait_s)
                exchanged[index] = forward.total_s - before_s
            if operator.in_backward:
                cover_s = cover.weight_gradient_s
                backward.communicate(workload, operator, group, cover_s, overlap_cost, wait_s)
            continue
        forward.compute(workload, operator, cost, backward=False)
        backward.compute(workload, operator, cost, backward=True)
        selective_s += effect.redone_share * cost.forward_s
    spared_s = 0.0
    if software.recompute.early_stop:
        last = _last_product(operators)
        spared_s = sum(cost.forward_s for cost in costs[last:])
        spared_s += sum(one for index, one in exchanged.items() if index > last)
    return LayerTally(
        forward=forward,
        backward=backward,
        selective_s=selective_s,
        weight_gradient_s=sum(cost.weight_gradient_s for cost in costs),
        spared_s=spared_s,
    )


def separable(software: SoftwareProfile) -> bool:
    """Whether the parts of a layer can be priced one by one: not where full recomputation stops at
    the layer's last product, or selective recomputation counts through all of its products."""
    recompute = software.recompute
    return not recompute.early_stop and EVERY_SECOND_MATMUL not in recompute.selective_modules


def _last_product(operators: Sequence[Operator]) -> int:
    """Index of the last product with weights; behind it nothing is kept for the backward pass
    (torch/utils/checkpoint.py, early stop of the variant that is not reentrant)."""
    products = [
        index
        for index, operator in enumerate(operators)
        if isinstance(operator, GroupedMatmul) or (isinstance(operator, Matmul) and operator.weight)
    ]
    return max(products, default=len(operators))


def _pair(forward: _Tally, backward: _Tally, most: float, device: Device) -> None:
    """The forward pass of one microbatch at the same time as the backward pass of another: at most
    the share `most` of exchanges runs behind computation, and takes multiprocessors from it
    (Megatron-LM `--overlap-moe-expert-parallel-comm`, `combined_1f1b.py`). A pair takes the longer
    of both."""
    exchange_s = forward.exchange_s + backward.exchange_s
    if not exchange_s:
        return
    passes = (forward, backward)
    cover_s = sum(tally.compute_s for tally in passes)
    taken = forward.exchange_multiprocessors / device.multiprocessors
    hidden_s = min(most * exchange_s, cover_s / (1 - taken))
    for tally in passes:
        hidden = hidden_s * tally.exchange_s / exchange_s
        slowed = hidden_s * taken * tally.compute_s / cover_s
        tally.hidden_s += hidden
        tally.expert_s -= hidden
        tally.compute_s += slowed
        tally.launched_s = max(tally.launched_s + slowed - hidden, 0.0)


def _group_of(groups: Groups, operator: Collective) -> ProcessGroup:
    if operator.operation == "ring_exchange":
        return groups.context_ring
    group: ProcessGroup = getattr(groups, operator.axis)
    return group


def _cover(
    operators: Sequence[Operator],
    costs: Sequence[OperatorTime],
    index: int,
    software: SoftwareProfile,
) -> OperatorTime:
    """Compute that runs at the same time as the collective at `index`.

    Either what the framework always pairs it with, or, with the tensor overlap on, the matmul it
    feeds or drains, pipelined in as many chunks as the group has ranks: all but one are covered.
    """
    collective = operators[index]
    assert isinstance(collective, Collective)
    if collective.runs_with == "weight_gradient":
        return costs[_neighbour(operators, index, -1)]
    if collective.runs_with == "attention":
        attention = [
            cost
            for operator, cost in zip(operators, costs, strict=True)
            if operator.module == "core_attn"
        ]
        return OperatorTime(
            forward_s=sum(cost.forward_s for cost in attention),
            weight_gradient_s=sum(cost.input_gradient_s for cost in attention),
        )
    overlapped = "tensor" in software.overlap and collective.axis == "tensor"
    if not overlapped or collective.operation == "all_reduce":
        return OperatorTime()
    feeds = collective.in_forward and collective.operation == "all_gather"
    neighbour = _neighbour(operators, index, 1 if feeds else -1)
    return costs[neighbour] if neighbour >= 0 else OperatorTime()


def _neighbour(operators: Sequence[Operator], index: int, direction: int) -> int:
    """Index of the nearest weight matmul in `direction`, or −1."""
    index += direction
    while 0 <= index < len(operators):
        operator = operators[index]
        if isinstance(operator, Matmul) and operator.weight:
            return index
        index += direction
    return -1
