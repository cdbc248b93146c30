"""Seconds of updates that make the momentum of a weight orthogonal (Muon).

A weight of a × b elements, a ≤ b, goes through iterations of three products: X Xᵀ of a × a × b,
its square of a × a × a, and the product of both with X, a × b × a (Jordan et al. 2024; Megatron-LM
`core/optimizer/emerging_optimizers.py`, `newton_schulz_tp`). Tensor ranks gather their parts and
work on the whole weight each (`--muon-tp-mode duplicated`, its default).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.kernels import matmul_s
from planner.training.memory.sharding import optimizer_shares
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.scenario import Scenario


def orthogonal_s(
    scenario: Scenario, batch: Batch, dense: NDArray[np.int64], expert: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[N, p], for so many parameters of layers on a device of every stage, dense and of experts.
    The weights that it owns are taken to have the shape of the MLP's."""
    software, model = scenario.job.software, scenario.model
    nothing = np.zeros_like(expert)
    widths = (
        (dense, nothing, batch.tensor, model.ffn_hidden_size),
        (nothing, expert, batch.expert_tensor, model.moe.ffn_hidden_size if model.moe else 0),
    )
    seconds = np.zeros(dense.shape)
    for of_layers, of_experts, ranks, width in widths:
        if width:
            owned = optimizer_shares(software, batch, of_layers, of_experts)
            each_s = _parameter_s(scenario, *sorted((model.hidden_size, width)))
            seconds = seconds + ranks[:, None] * owned * each_s
    return seconds


def _parameter_s(scenario: Scenario, rows: int, columns: int) -> float:
    """Seconds for each element of a weight of so many `rows` and, no fewer, `columns`."""
    iterations = scenario.job.software.optimizers.of(scenario.job.optimizer).iterations
    count = 0 if iterations is None else iterations.value
    precision = scenario.workload(Shard()).base_precision
    devices = scenario.candidate_devices
    counts = min if len(devices) > len(scenario.device_types) else max
    once_s = counts(
        matmul_s(device, m=rows, n=rows, k=columns, precision=precision)
        + matmul_s(device, m=rows, n=rows, k=rows, precision=precision)
        + matmul_s(device, m=rows, n=columns, k=rows, precision=precision)
        for device in devices
    )
    return count * once_s / (rows * columns)
