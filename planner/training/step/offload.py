"""Seconds that offloading adds: what goes between devices and the memory of their hosts.

Per device, x is the share of its P parameters whose optimizer is on the host. Gradients go down,
the processors update, weights come back:

    down = x P g / link,  update = max(x P D / rate, x P (g + 2 s) / memory),  up = x P w / link

with g, w bytes of a gradient and a weight, s those of the states in fp32, D devices of a node and
the processors' rate in parameters a second. Without overlap the three follow each other; with it
they run bucket by bucket, and the longest counts, and a bucket of the others (Megatron-LM
`--overlap-cpu-optimizer-d2h-h2d`, `optimizer/cpu_offloading/hybrid_optimizer.py`).

With a stride k, the states of one of k sub-groups go to the device while the processors update the
others, are updated there and come back; their gradients wait on the device (Maurya et al. 2024,
Deep Optimizer States, section 4; DataStates/DeepSpeed, branch deep-optimizer-states, `stage3.py`,
`step`):

    down and up = (1 - 1/k) of those above,  update = (1 - 1/k) x P D / rate,
    staged = max(x P s / (k link), 2 x P s / (k staging rate))

and the longest counts, and one sub-group of the others.

States on the drives of a node are read and written beside the update, and gradients in fp32 are
written there in the backward pass and read again (DeepSpeed `runtime/swap_tensor/`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULLY
from planner.training.memory.activations import movable_of_layers
from planner.training.memory.in_flight import microbatch_bytes
from planner.training.memory.sharding import optimizer_shares, reduced_every_microbatch
from planner.workload.formats import (
    STATE_BYTES,
    bucket_bytes,
    gradient_bytes,
    moments,
    sharded_weight_bytes,
    weight_bytes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def host_update_s(
    scenario: Scenario, batch: Batch, dense: NDArray[np.int64], expert: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Seconds, [N, p], between the last gradient and the weights of the next step, of stages with
    so many parameters on a device. Gradients that left in the passes do not go down again."""
    software, job, host = scenario.job.software, scenario.job, scenario.host
    moved = batch.host_share[:, None] * optimizer_shares(software, batch, dense, expert)
    gradient = gradient_bytes(software, job.precision)
    states = STATE_BYTES["fp32"] * (1 + moments(software, job.optimizer))
    staged = moved / (software.offload.stride or np.inf)
    by_host = moved - staged
    update = np.maximum(
        by_host * host.devices / software.offload.update_rate.value,
        by_host * (gradient + 2 * states) / host.memory_bytes_per_s,
    )
    if software.offload.to == "nvme":
        streamed = 2 * states + STATE_BYTES["fp32"]
        update = np.maximum(update, moved * streamed / host.nvme_bytes_per_s)
    left = software.offload.gradients & reduced_every_microbatch(software, batch)
    down = np.where(left[:, None], 0.0, by_host * gradient / host.link_bytes_per_s)
    there = (batch.host_weights & (batch.data_sharding == FULLY))[:, None]
    up = np.where(there, 0.0, by_host * weight_bytes(job.precision) / host.link_bytes_per_s)
    if software.offload.stride is not None:
        there_and_back = np.maximum(
            staged * states / host.link_bytes_per_s,
            2 * staged * states / software.offload.staging_rate.value,
        )
        parts = (down, update, up, there_and_back)
        longest = np.maximum.reduce(parts)
        groups = np.maximum(moved / software.offload.sub_group.value, 1.0)
        return np.asarray(longest + (sum(parts) - longest) / groups)
    if not software.offload.overlap:
        return np.asarray(down + update + up)
    buckets = np.maximum(moved * gradient / bucket_bytes(software, job.precision), 1.0)
    longest = np.maximum(np.maximum(down, update), up)
    return np.asarray(longest + (down + update + up - longest) / buckets)


def gradients_down_s(
    scenario: Scenario,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
    backward_s: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Exposed seconds, [N, p], in which the gradients of one microbatch go to the host beside a
    backward pass of `backward_s`, or at the rate of a framework that waits for them."""
    software, job = scenario.job.software, scenario.job
    left = software.offload.gradients & reduced_every_microbatch(software, batch)
    moved = (batch.host_share * left)[:, None] * optimizer_shares(software, batch, dense, expert)
    stride = software.offload.stride
    moved = moved if stride is None else moved * (1 - 1 / stride)
    offload = software.offload
    rate = offload.gradient_rate if stride is None else offload.strided_gradient_rate
    to_drives_s = moved * 0.0
    if software.offload.to == "nvme":
        to_drives_s = moved * STATE_BYTES["fp32"] / scenario.host.nvme_bytes_per_s
    if rate is not None:
        return np.asarray(np.maximum(moved / rate.value, to_drives_s))
    link_s = moved * gradient_bytes(software, job.precision) / scenario.host.link_bytes_per_s
    return np.asarray(np.maximum(np.maximum(link_s, to_drives_s) - backward_s, 0.0))


def activations_s(
    scenario: Scenario, table: CostTable, batch: Batch, cover_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Exposed seconds, [N, p, v], in which what one microbatch leaves in a chunk goes to the host,
    or comes back, beside a pass of `cover_s` (Yuan et al. 2024, ATC, section 4)."""
    movable = np.einsum("pvk,nk->npv", batch.pass_counts, movable_of_layers(table, batch))
    full = batch.fully_recomputed > 0
    if full.any():
        kept, _ = microbatch_bytes(table, batch)
        losses = table.logits_bytes[batch.row, -1][:, None, None] * (batch.load.counts[..., -1] > 0)
        movable = np.where(full[:, None, None], np.maximum(kept - losses, 0), movable)
    moved = batch.host_activations[:, None, None] * movable
    return np.asarray(np.maximum(moved / scenario.host.link_bytes_per_s - cover_s, 0.0))


def weights_up_s(
    scenario: Scenario, batch: Batch, dense: NDArray[np.int64], expert: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Seconds, [N, p], in which a device gets its share of a stage's weights from the host once."""
    there = (batch.host_weights & (batch.data_sharding == FULLY))[:, None]
    shares = optimizer_shares(scenario.job.software, batch, dense, expert)
    size, _ = sharded_weight_bytes(scenario.job.software, scenario.job.precision)
    return np.asarray(there * shares * size / scenario.host.link_bytes_per_s)
