"""Running totals of a layer's passes, from operators and collectives to exposed seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from planner.hardware.collectives import (
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    reduce_scatter_s,
    send_s,
)
from planner.training.layer.host import collective_launch_s, launch_s, launched
from planner.training.layer.overlap import overlap_cost
from planner.training.layer.pieces import hidden_by_pieces_s

if TYPE_CHECKING:
    from planner.hardware.device import Device, LinkConstants
    from planner.hardware.links import ProcessGroup
    from planner.training.layer.operators import OperatorTime
    from planner.workload.operators import Collective, Operator
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

    @property
    def passes_s(self) -> tuple[float, ...]:
        """Forward, backward, both of unpaired passes, and what full recomputation redoes."""
        passes = self.forward, self.backward, self.forward_alone, self.backward_alone
        return (*(one.total_s for one in passes), self.full_s)


@dataclass(slots=True)
class PassTally:
    """Running totals of one pass. `experts_s` is the part of `compute_s` between dispatch and
    combination, `launching_s` what the host needs for the operators that it launches itself,
    `launched_s` what the device needs for them."""

    compute_s: float = 0.0
    experts_s: float = 0.0
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
        if operator.expert:
            self.experts_s += seconds
        if launched(workload, operator):
            self.launching_s += launch_s(
                workload, operator, cost, backward=backward, slowness=self.slowness
            )
            self.launched_s += seconds

    def communicate(
        self,
        workload: Workload,
        operator: Collective,
        group: ProcessGroup,
        cover_s: float,
        links: LinkConstants,
        wait_s: float,
    ) -> None:
        duration_s = collective_s(operator, group)
        hidden_s = min(duration_s, cover_s)
        cost = overlap_cost(links, group, sends=operator.operation == "ring_exchange")
        exposed_s = duration_s - hidden_s + cost * hidden_s
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

    def __add__(self, other: PassTally) -> PassTally:
        """Of a pass through two parts of a layer that follow each other."""
        return PassTally(
            self.compute_s + other.compute_s,
            self.experts_s + other.experts_s,
            self.tensor_s + other.tensor_s,
            self.context_s + other.context_s,
            self.expert_s + other.expert_s,
            self.exchange_s + other.exchange_s,
            max(self.exchange_multiprocessors, other.exchange_multiprocessors),
            self.hidden_s + other.hidden_s,
            self.slowness,
            self.blocking,
            self.launching_s + other.launching_s,
            self.launched_s + other.launched_s,
        )

    @property
    def host_bound_s(self) -> float:
        """Seconds by which launching outlasts the launched work; all of the launching where the
        host waits for every kernel."""
        if self.blocking:
            return self.launching_s
        return max(self.launching_s - self.launched_s, 0.0)

    @property
    def communication_s(self) -> float:
        """Exposed seconds of collectives."""
        return self.tensor_s + self.context_s + self.expert_s

    @property
    def total_s(self) -> float:
        """Exposed seconds, including the host's."""
        seconds = self.compute_s + self.host_bound_s
        return seconds + self.tensor_s + self.context_s + self.expert_s

    def finish(self) -> PassTime:
        return PassTime(
            compute_s=self.compute_s + self.host_bound_s,
            tensor_s=self.tensor_s,
            context_s=self.context_s,
            expert_s=self.expert_s,
        )


def collective_s(operator: Collective, group: ProcessGroup) -> float:
    """Seconds of a layer's collective on an otherwise idle device, of all its pieces one after the
    other."""
    if operator.pieces > 1:
        piece_bytes = ceil(operator.buffer_bytes / operator.pieces)
        piece = replace(operator, pieces=1, buffer_bytes=piece_bytes)
        return operator.pieces * collective_s(piece, group)
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

    forward: PassTally
    backward: PassTally
    selective_s: float = 0.0
    weight_gradient_s: float = 0.0
    spared_s: float = 0.0

    def __add__(self, other: LayerTally) -> LayerTally:
        """Of two parts of a layer that follow each other."""
        return LayerTally(
            forward=self.forward + other.forward,
            backward=self.backward + other.backward,
            selective_s=self.selective_s + other.selective_s,
            weight_gradient_s=self.weight_gradient_s + other.weight_gradient_s,
            spared_s=self.spared_s + other.spared_s,
        )

    def finish(self, workload: Workload, device: Device) -> LayerTime:
        """The seconds of a whole layer."""
        forward, backward, software = self.forward, self.backward, workload.software
        if workload.shard.dispatch_pieces > 1:
            forward, backward = replace(forward), replace(backward)
            for tally in (forward, backward):
                _overlap_pieces(tally, workload, device)
        full_s = forward.total_s - self.spared_s
        alone = (forward.finish(), backward.finish())
        if workload.shard.expert_overlap:
            forward, backward = replace(forward), replace(backward)
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


def _overlap_pieces(tally: PassTally, workload: Workload, device: Device) -> None:
    """The exchange of one piece of the tokens beside the products of another; as `_pair`, at most a
    share of exchanges, which takes multiprocessors from the products."""
    exchange_s, pieces = tally.exchange_s, workload.shard.dispatch_pieces
    most = workload.software.expert.overlapped_share.value
    hidden_s = min(
        most * exchange_s, float(hidden_by_pieces_s(exchange_s, tally.experts_s, pieces))
    )
    slowed_s = hidden_s * tally.exchange_multiprocessors / device.multiprocessors
    _hide(tally, hidden_s, slowed_s)


def _hide(tally: PassTally, hidden_s: float, slowed_s: float) -> None:
    """Exchanges run for so long behind computation, which takes longer for it."""
    tally.hidden_s += hidden_s
    tally.expert_s -= hidden_s
    tally.compute_s += slowed_s
    tally.launched_s = max(tally.launched_s + slowed_s - hidden_s, 0.0)


def _pair(forward: PassTally, backward: PassTally, most: float, device: Device) -> None:
    """The forward pass of one microbatch at the same time as the backward pass of another: at most
    the share `most` of exchanges runs behind computation, and takes multiprocessors from it. A
    phase takes the longer of both (Megatron-LM `--overlap-moe-expert-parallel-comm`,
    `model_chunk_schedule_plan.py`, TransformerLayerSchedulePlan.run)."""
    there_s, back_s = forward.exchange_s / 2, backward.exchange_s / 2
    exchange_s = forward.exchange_s + backward.exchange_s
    if not exchange_s:
        return
    passes = (forward, backward)
    cover_s = sum(tally.compute_s for tally in passes)
    taken = forward.exchange_multiprocessors / device.multiprocessors
    phases = (
        (back_s, forward.compute_s - forward.experts_s),
        (there_s + back_s, forward.experts_s + backward.experts_s),
        (there_s, backward.compute_s - backward.experts_s),
    )
    hidden_s = sum(min(most * sent_s, behind_s / (1 - taken)) for sent_s, behind_s in phases)
    for tally in passes:
        hidden = hidden_s * tally.exchange_s / exchange_s
        slowed = hidden_s * taken * tally.compute_s / cover_s
        _hide(tally, hidden, slowed)
