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
) -> list[Operator]:
    """A linear layer whose outputs are split over the tensor ranks.

    Sequence parallelism gathers the input in the forward pass and again, during the input
    gradient, in the backward pass, and reduce-scatters the input gradient during the weight
    gradient; without it the input gradient is all-reduced there (Megatron-LM
    `LinearWithGradAccumulationAndAsyncCommunication`). `inputs` defaults to the hidden size.
    """
    w, z = workload, workload.element_bytes
    width = inputs or w.model.hidden_size
    matmul = Matmul(
        name=name,
        module=module,
        saved_bytes=int(w.operand_bytes * w.residual_tokens * width),
        parameters=outputs * (width + bias),
        m=w.tokens,
        n=outputs,
        k=width,
        matrices=matrices,
    )
    if w.shard.tensor == 1:
        return [matmul]
    runs_with = "weight_gradient" if w.software.tensor_backward_overlap else ""
    whole = z * w.tokens * width
    if not w.shard.sequence_parallel:
        return [matmul, tensor_collective(f"{name}_reduce", "all_reduce", whole, False, runs_with)]
    return [
        tensor_collective(f"{name}_gather", "all_gather", whole, True, None),
        matmul,
        tensor_collective(f"{name}_regather", "all_gather", whole, False, runs_with),
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
    reduce-scattered under sequence parallelism, whose backward pass gathers the gradient first."""
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
    )
    if w.shard.tensor == 1:
        return [matmul]
    whole = z * w.tokens * h
    if not w.shard.sequence_parallel:
        return [matmul, tensor_collective(f"{name}_reduce", "all_reduce", whole, True, None)]
    return [
        matmul,
        tensor_collective(f"{name}_scatter", "reduce_scatter", whole, True, None),
        tensor_collective(f"{name}_gather", "all_gather", whole, False, None),
    ]


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
