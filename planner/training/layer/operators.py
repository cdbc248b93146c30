"""Seconds of one operator on one device, forward and backward, and what launching it costs the
host."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from planner.hardware.kernels import attention_s, grouped_matmul_s, matmul_s, memory_bound_s
from planner.workload.formats import gradient_bytes
from planner.workload.operators import (
    FusedAttention,
    GroupedMatmul,
    Matmul,
    Operator,
    Pointwise,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.hardware.device import Device
    from planner.workload.workload import Workload


class OperatorTime(NamedTuple):
    forward_s: float = 0.0
    input_gradient_s: float = 0.0
    weight_gradient_s: float = 0.0
    forward_kernels: int = 0
    backward_kernels: int = 0
    """What an eager host launches."""

    @property
    def backward_s(self) -> float:
        return self.input_gradient_s + self.weight_gradient_s


def operator_time(operator: Operator, workload: Workload, device: Device) -> OperatorTime:
    if operator.pieces > 1:
        return _in_pieces(operator, workload, device)
    match operator:
        case Matmul():
            return _matmul(operator, workload, device)
        case GroupedMatmul():
            return _grouped_matmul(operator, workload, device)
        case FusedAttention():
            return _attention(operator, workload, device)
        case Pointwise():
            return OperatorTime(
                forward_s=memory_bound_s(device, operator.forward_bytes, operator.forward_kernels),
                input_gradient_s=memory_bound_s(
                    device, operator.backward_bytes, operator.backward_kernels
                ),
                forward_kernels=_or(operator.forward_launches, operator.forward_kernels),
                backward_kernels=_or(operator.backward_launches, operator.backward_kernels),
            )
        case _:
            return OperatorTime()


def _in_pieces(operator: Operator, workload: Workload, device: Device) -> OperatorTime:
    """A piece as often as there are pieces: fewer rows a product, each of which reads the weights
    and adds to their gradients."""
    pieces = operator.pieces
    piece: Operator = replace(operator, pieces=1)
    if isinstance(piece, GroupedMatmul | Matmul):
        piece = replace(piece, m=max(ceil(piece.m / pieces), 1))
    elif isinstance(piece, Pointwise):
        piece = replace(
            piece,
            forward_bytes=piece.forward_bytes / pieces,
            backward_bytes=piece.backward_bytes / pieces,
        )
    cost = operator_time(piece, workload, device)
    return OperatorTime(
        forward_s=pieces * cost.forward_s,
        input_gradient_s=pieces * cost.input_gradient_s,
        weight_gradient_s=pieces * cost.weight_gradient_s,
        forward_kernels=pieces * cost.forward_kernels,
        backward_kernels=pieces * cost.backward_kernels,
    )


def _or(launches: int | None, kernels: int) -> int:
    return kernels if launches is None else launches


def _matmul(operator: Matmul, workload: Workload, device: Device) -> OperatorTime:
    m, n, k, batch = operator.m, operator.n, operator.k, operator.batch
    precision = workload.precision if operator.quantized else workload.base_precision
    forward_s = matmul_s(device, m=m, n=n, k=k, batch=batch, precision=precision)
    input_gradient_s = matmul_s(
        device, m=m, n=k, k=n, batch=batch, precision=precision, backward=True
    )
    weight_gradient_s = matmul_s(
        device,
        m=n,
        n=k,
        k=m,
        batch=batch,
        precision=precision,
        gradient=True,
        backward=True,
        output_bytes=workload.weight_gradient_bytes if operator.weight else workload.element_bytes,
    )
    extra_s, extra_kernels = _weight_traffic(operator.parameters, workload, device)
    quantized = operator.quantized
    cast_s, cast_kernels = _cast(m * k, quantized, workload, device, operator.input_shards)
    gradient_cast_s, _ = _cast(m * n, quantized, workload, device, operator.gradient_shards)
    if operator.weight:
        weight_cast_s, weight_kernels = _weight_cast(k * n, quantized, workload, device)
        cast_s, cast_kernels = cast_s + weight_cast_s, cast_kernels + weight_kernels
    return OperatorTime(
        forward_s=forward_s + cast_s,
        input_gradient_s=input_gradient_s + gradient_cast_s,
        weight_gradient_s=weight_gradient_s + extra_s,
        forward_kernels=1 + cast_kernels,
        backward_kernels=2 + extra_kernels + cast_kernels,
    )


def _grouped_matmul(operator: GroupedMatmul, workload: Workload, device: Device) -> OperatorTime:
    rows = max(operator.m // operator.groups, 1)
    groups, n, k, precision = operator.groups, operator.n, operator.k, workload.precision
    extra_s, extra_kernels = _weight_traffic(operator.parameters, workload, device)
    cast_s, cast_kernels = _cast(operator.m * k, not operator.input_quantized, workload, device)
    gradient_cast_s, _ = _cast(operator.m * n, not operator.gradient_quantized, workload, device)
    return OperatorTime(
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


def _cast(
    elements: int, quantized: bool, workload: Workload, device: Device, shards: int = 1
) -> tuple[float, int]:
    """Quantising one operand: read it, write it in both orientations, or in one where products with
    one scale for each tensor take either (TransformerEngine `is_non_tn_fp8_gemm_supported`). One
    scale for the whole tensor has to be found first, unless that of an earlier step is used; the
    scale of a block is found on the way. Of an operand that is gathered afterwards each rank
    quantises one of `shards` parts; with one scale for each tensor the other orientation is made of
    what was gathered."""
    if not (quantized and workload.quantized):
        return 0.0, 0
    reads = 2 if workload.precision == "fp8" and workload.software.fp8.amax_pass else 1
    written = orientations(workload, device)
    transposed = 0
    if shards > 1 and workload.precision == "fp8":
        written, transposed = 1, written - 1
    size_bytes = elements * (reads * workload.element_bytes + written * workload.operand_bytes)
    size_bytes = size_bytes / shards + 2 * transposed * elements * workload.operand_bytes
    return memory_bound_s(device, size_bytes, reads), reads


def orientations(workload: Workload, device: Device) -> int:
    """In how many orientations a cast writes an operand."""
    return 1 if workload.precision == "fp8" and not device.fp8_transposes else 2


def _weight_cast(
    elements: int, quantized: bool, workload: Workload, device: Device
) -> tuple[float, int]:
    """Quantising weights for every microbatch, where quantised weights are not cached. Weights
    gathered in 8 bits lack only the other orientation."""
    fp8 = workload.software.fp8
    if fp8.weights_cached or not (quantized and workload.quantized):
        return 0.0, 0
    if workload.precision == "fp8" and fp8.parameter_gather:
        if orientations(workload, device) == 1:
            return 0.0, 0
        return memory_bound_s(device, 2 * elements * workload.operand_bytes, 1), 1
    return _cast(elements, quantized, workload, device)


def _attention(operator: FusedAttention, workload: Workload, device: Device) -> OperatorTime:
    calls = _attention_calls(operator, workload.context_ring)
    forward_s, backward_s = (
        _calls_s(operator, calls, workload, device, backward=backward) for backward in (False, True)
    )
    kernels = sum(times for _, _, times in calls)
    random_s = _attention_dropout_s(operator, device) if workload.dropout else 0.0
    return OperatorTime(
        forward_s=forward_s + random_s,
        input_gradient_s=backward_s + random_s,
        forward_kernels=kernels,
        backward_kernels=3 * kernels,
    )


def _calls_s(
    operator: FusedAttention,
    calls: Sequence[tuple[int, bool, int]],
    workload: Workload,
    device: Device,
    *,
    backward: bool,
) -> float:
    """Seconds of the kernel calls of one pass, one after the other."""
    total_s = 0.0
    for keys, causal, times in calls:
        call_s = attention_s(
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
            eight_bit=workload.quantized and workload.software.fp8.attention,
        )
        for _ in range(times):
            total_s += call_s
    return total_s


def _attention_calls(operator: FusedAttention, context: int) -> list[tuple[int, bool, int]]:
    """(keys, causal, times) of the kernel calls. A ring attends to its own part of the sequence,
    then to half of every part that comes by, all queries to half of the keys or half of them to all
    (TransformerEngine `AttnFuncWithCPAndKVP2P`; PyTorch `_templated_ring_attention`)."""
    if context == 1 or operator.window is not None:
        return [(operator.key_length, True, 1)]
    own = max(operator.key_length // context, 2)
    return [(own, True, 1), (own // 2, False, context - 1)]


def _attention_dropout_s(operator: FusedAttention, device: Device) -> float:
    """Seconds to make a random number for every score, which each pass repeats; 0 where the device
    file does not state the fp32 rate."""
    fp32_flop_per_s = device.peak_flop_per_s.get("fp32")
    if fp32_flop_per_s is None:
        return 0.0
    scores = operator.batch * operator.heads * operator.query_length * operator.scored_keys
    return device.attention.dropout_operations * scores / (fp32_flop_per_s / 2)
