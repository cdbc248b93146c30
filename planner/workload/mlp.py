"""The dense MLP, plain or gated. Letters as in `planner.workload.workload`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.linear import column_parallel, row_parallel
from planner.workload.pointwise import activation, residual_add

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def dense_mlp_operators(workload: Workload) -> list[Operator]:
    return [
        *mlp_operators(workload, workload.model.ffn_hidden_size, "mlp"),
        *residual_add(workload, "mlp_residual"),
    ]


def mlp_operators(workload: Workload, ffn_hidden_size: int, name: str) -> list[Operator]:
    w, model = workload, workload.model
    width = ffn_hidden_size // w.shard.tensor
    projections = 2 if model.gated_mlp else 1
    return [
        *column_parallel(
            w,
            f"{name}_up",
            "mlp",
            projections * width,
            bias=model.linear_bias,
            matrices=(width,) * projections,
        ),
        activation(w, f"{name}_activation", w.tokens, width),
        *row_parallel(
            w,
            f"{name}_down",
            "mlp",
            width,
            bias=model.linear_bias,
            saved_bytes=int(w.operand_bytes * w.tokens * width),
        ),
    ]
