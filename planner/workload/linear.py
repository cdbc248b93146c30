"""Linear layers split over the tensor ranks, and the collectives that go with them.

Megatron-LM `core/tensor_parallel/layers.py`; Korthikanti et al. 2022, section 4.2.
Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.operators import Collective, Matmul

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def column_parallel(
    workload: Workload,
    name: str,
    module: str,
    outputs: int,
    *,
    bias: bool,
    inputs: int | None = None,
    matrices: tuple[int, ...] = (),
    quantized: bool = True,
) -> list[Operator]:
    """A linear layer whose outputs are split over the tensor ranks.

    Sequence parallelism gathers the input in the forward pass and again, during the input
    gradient, in the backward pass, and reduce-scatters the input gradient during the weight
    gradient; without it the input gradient is all-reduced there (Megatron-LM
    `LinearWithGradAccumulationAndAsyncCommunication`). `inputs` defaults to the hidden size. Not
    `quantized`: the layer runs in 16 bits, whatever the others do.
    """
    w, z = workload, workload.element_bytes
    width, eight_bit = inputs or w.model.hidden_size, quantized and w.gathers_quantized
    matmul = Matmul(
        name=name,
        module=module,
        saved_bytes=int((w.operand_bytes if quantized else z) * w.residual_tokens * width),
        parameters=outputs * (width + bias),
        m=w.tokens,
        n=outputs,
        k=width,
        quantized=quantized,
        matrices=matrices,
        input_shards=w.shard.tensor if eight_bit else 1,
    )
    if w.shard.tensor == 1:
        return [matmul]
    runs_with = "weight_gradient" if w.software.tensor_backward_overlap else ""
    whole = z * w.tokens * width
    if not w.shard.sequence_parallel:
        return [matmul, tensor_collective(f"{name}_reduce", "all_reduce", whole, False, runs_with)]
    gathered = int(w.operand_bytes * w.tokens * width) if eight_bit else whole
    return [
        *_scale(w, name, eight_bit, forward=True),
        tensor_collective(f"{name}_gather", "all_gather", gathered, True, None),
        matmul,
        tensor_collective(f"{name}_regather", "all_gather", gathered, False, runs_with),
        tensor_collective(f"{name}_scatter", "reduce_scatter", whole, False, runs_with),
    ]


def row_parallel(
    workload: Workload,
    name: str,
    module: str,
    inputs: int,
    *,
    bias: bool,
    saved_bytes: int | None = None,
) -> list[Operator]:
    """A linear layer whose inputs are split over the tensor ranks: its output is all-reduced, or
    reduce-scattered under sequence parallelism, whose backward pass gathers the gradient first: in
    both orientations where blocks have a scale each, since one cannot be made of the other
    (TransformerEngine `_all_gather_mxfp8`)."""
    w, z, h = workload, workload.element_bytes, workload.model.hidden_size
    kept = z * w.tokens * inputs if saved_bytes is None else saved_bytes
    matmul = Matmul(
        name=name,
        module=module,
        saved_bytes=kept,
        parameters=inputs * h + bias * h,
        m=w.tokens,
        n=h,
        k=inputs,
        gradient_shards=w.shard.tensor if w.gathers_quantized else 1,
    )
    if w.shard.tensor == 1:
        return [matmul]
    whole = gathered = z * w.tokens * h
    if w.gathers_quantized:
        orientations = 1 if w.precision == "fp8" else 2
        gathered = int(orientations * w.operand_bytes * w.tokens * h)
    if not w.shard.sequence_parallel:
        return [matmul, tensor_collective(f"{name}_reduce", "all_reduce", whole, True, None)]
    return [
        matmul,
        tensor_collective(f"{name}_scatter", "reduce_scatter", whole, True, None),
        *_scale(w, name, w.gathers_quantized, forward=False),
        tensor_collective(f"{name}_gather", "all_gather", gathered, False, None),
    ]


def _scale(workload: Workload, name: str, eight_bit: bool, *, forward: bool) -> list[Operator]:
    """Ranks agree on the largest element of a tensor whose parts they quantise, one fp32 number,
    unless the scale is that of an earlier step (TransformerEngine
    `set_quantizer_amax_reduction_group`; torchao `tensor_to_amax` of a distributed tensor)."""
    if not (eight_bit and workload.precision == "fp8" and workload.software.fp8.amax_pass):
        return []
    return [tensor_collective(f"{name}_amax", "all_reduce", 4, forward, None)]


def replicated_linear(
    workload: Workload,
    name: str,
    module: str,
    inputs: int,
    outputs: int,
    *,
    saves_input: bool,
    bias: bool = False,
) -> Matmul:
    w = workload
    return Matmul(
        name=name,
        module=module,
        saved_bytes=int(w.operand_bytes * w.residual_tokens * inputs) if saves_input else 0,
        parameters=outputs * (inputs + bias),
        m=w.residual_tokens,
        n=outputs,
        k=inputs,
    )


def tensor_collective(
    name: str, operation: str, buffer_bytes: int, forward: bool, runs_with: str | None
) -> Collective:
    """One tensor-parallel collective of the forward pass, or of the backward pass."""
    return Collective(
        name=name,
        module="tensor_parallel",
        operation=operation,
        axis="tensor",
        buffer_bytes=buffer_bytes,
        in_forward=forward,
        in_backward=not forward,
        runs_with=runs_with or "",
    )
