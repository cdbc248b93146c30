"""Seconds of one layer on one device, for one microbatch: the operators priced.

The forward pass runs each operator once. The backward pass runs each matmul twice (input gradient,
weight gradient). A collective is exposed in full unless it overlaps compute; then the part that
outlasts the compute is exposed, plus `overlap_cost` times the hidden part, by which it slows the
compute. A pass cannot be shorter than the host's launches of its kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.training.layer.groups import group_of
from planner.training.layer.operators import OperatorTime, operator_time
from planner.training.layer.tally import LayerTally, LayerTime, PassTally
from planner.workload.expert_exchange import DISPATCH, SHARED_EXPERTS
from planner.workload.expert_parts import is_first, is_shared
from planner.workload.operators import Collective, GroupedMatmul, Matmul
from planner.workload.recompute import EVERY_SECOND_MATMUL, selective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.hardware.device import Device
    from planner.hardware.links import Topology
    from planner.specs.software import SoftwareProfile
    from planner.workload.operators import Operator
    from planner.workload.recompute import Selective
    from planner.workload.workload import Workload


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
    software = workload.software
    forward, backward = (
        PassTally(slowness=device.host_slowness, blocking=software.launch_blocking)
        for _ in range(2)
    )
    links = device.links
    waited = software.tensor_collective_wait
    wait_s = 0.0 if waited is None or workload.shard.tensor == 1 else waited.value
    selective_s = 0.0
    behind_products = "tensor" in software.overlaps(workload.precision)
    exchanged: dict[int, float] = {}
    for index, (operator, cost, effect) in enumerate(zip(operators, costs, effects, strict=True)):
        if isinstance(operator, Collective):
            group = group_of(operator, topology, workload, device)
            cover = OperatorTime()
            if software.tensor_overlap_of_sums or not _of_sums(operators, index):
                cover = _cover(operators, costs, index, behind_products=behind_products)
            if operator.in_forward:
                cover_s = cover.forward_s
                before_s = forward.communication_s
                forward.communicate(workload, operator, group, cover_s, links, wait_s)
                exchanged[index] = forward.communication_s - before_s
                selective_s += effect.redone_share * exchanged[index]
            if operator.in_backward:
                cover_s = cover.weight_gradient_s
                backward.communicate(workload, operator, group, cover_s, links, wait_s)
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


def tally_exchanges(
    workload: Workload, exchanges: Sequence[Collective], device: Device, topology: Topology
) -> LayerTally:
    """Add up what carries tokens to their experts and back."""
    return tally_layer(
        workload,
        exchanges,
        device,
        topology,
        [OperatorTime()] * len(exchanges),
        selective(workload, exchanges),
    )


def separable(software: SoftwareProfile) -> bool:
    """Whether the parts of a layer can be priced one by one: not where full recomputation stops at
    the layer's last product, selective recomputation counts through all of its products, or shared
    experts run beside exchanges."""
    recompute = software.recompute
    return (
        not recompute.early_stop
        and EVERY_SECOND_MATMUL not in recompute.selective_modules
        and "shared_expert" not in software.overlap
    )


def _last_product(operators: Sequence[Operator]) -> int:
    """Index of the last product with weights; behind it nothing is kept for the backward pass
    (torch/utils/checkpoint.py, early stop of the variant that is not reentrant)."""
    products = [
        index
        for index, operator in enumerate(operators)
        if isinstance(operator, GroupedMatmul) or (isinstance(operator, Matmul) and operator.weight)
    ]
    return max(products, default=len(operators))


def _cover(
    operators: Sequence[Operator],
    costs: Sequence[OperatorTime],
    index: int,
    *,
    behind_products: bool,
) -> OperatorTime:
    """Compute that runs at the same time as the collective at `index`.

    Either what the framework always pairs it with, or, where tensor collectives run
    `behind_products`, the matmul it feeds or drains, pipelined in as many chunks as the group has
    ranks: all but one are covered.
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
    if collective.runs_with == SHARED_EXPERTS:
        return _beside_exchange(operators, costs, collective)
    pipelined = collective.axis == "tensor" and collective.operation != "all_reduce"
    if not (behind_products and pipelined):
        return OperatorTime()
    feeds = collective.in_forward and collective.operation == "all_gather"
    neighbour = _neighbour(operators, index, 1 if feeds else -1)
    return costs[neighbour] if neighbour >= 0 else OperatorTime()


def _of_sums(operators: Sequence[Operator], index: int) -> bool:
    """Whether a tensor collective of the backward pass follows a layer whose inputs were gathered:
    it gathers them again for the weight gradients, or scatters the sum of the input gradients of
    several matrices."""
    collective = operators[index]
    assert isinstance(collective, Collective)
    if collective.axis != "tensor" or collective.in_forward:
        return False
    product = operators[_neighbour(operators, index, -1)]
    if not isinstance(product, Matmul):
        return False
    column = collective.name.startswith(f"{product.name}_")
    gathers = collective.operation == "all_gather" and collective.name.endswith("_regather")
    scatters = collective.operation == "reduce_scatter" and len(product.matrices) > 1
    return column and (gathers or scatters)


def _beside_exchange(
    operators: Sequence[Operator], costs: Sequence[OperatorTime], exchange: Collective
) -> OperatorTime:
    """The shared experts' first product and activation run while tokens travel to their experts,
    the rest while they come back (Megatron-LM `shared_experts.py`, `linear_fc1_forward_and_act`,
    `linear_fc2_forward`)."""
    dispatch = exchange.name.startswith(DISPATCH)
    beside = [
        cost
        for operator, cost in zip(operators, costs, strict=True)
        if is_shared(operator) and is_first(operator) == dispatch
    ]
    return OperatorTime(
        forward_s=sum(cost.forward_s for cost in beside),
        weight_gradient_s=sum(cost.backward_s for cost in beside),
    )


def _neighbour(operators: Sequence[Operator], index: int, direction: int) -> int:
    """Index of the nearest weight matmul in `direction`, or −1."""
    index += direction
    while 0 <= index < len(operators):
        operator = operators[index]
        if isinstance(operator, Matmul) and operator.weight:
            return index
        index += direction
    return -1
