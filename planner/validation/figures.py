"""Measured figures as the quantities an estimate predicts: seconds and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.layers import layer_kinds, layer_operators
from planner.workload.operators import FusedAttention, GroupedMatmul, Matmul
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from planner.plan import Estimate, Plan
    from planner.specs.runs.file import MeasuredInput
    from planner.training.scenario import Scenario

GIB = 2**30
TERA = 1e12
MILLI = 1e-3


def measured_step_s(
    measured: MeasuredInput, scenario: Scenario, plan: Plan, estimate: Estimate
) -> float | None:
    """Seconds of a step, from the first figure stated: the time itself, tokens or FLOP/s of a
    device. None when the run states none of them."""
    if measured.step_s is not None:
        return measured.step_s
    devices = estimate.devices
    if measured.tokens_per_s_per_device is not None:
        return estimate.tokens_per_step / (measured.tokens_per_s_per_device * devices)
    if measured.model_tflops_per_device is not None:
        rate = measured.model_tflops_per_device * TERA * devices
        return estimate.model_flops_per_step / rate
    if measured.hardware_tflops_per_device is not None:
        flops = estimate.model_flops_per_step + recomputed_flops_per_step(scenario, plan)
        return flops / (measured.hardware_tflops_per_device * TERA * devices)
    return None


def recomputed_flops_per_step(scenario: Scenario, plan: Plan) -> float:
    """FLOPs of a step that repeat the forward pass: of the fully recomputed layers, or of the
    recomputed modules of every layer (Narayanan et al. 2021, equation 3 and appendix: the head is
    never recomputed)."""
    granularity = plan.recompute.granularity
    if granularity == "none":
        return 0.0
    workload = scenario.workload(Shard())
    kinds = layer_kinds(scenario.model)
    modules = scenario.job.software.recompute.selective_modules
    per_kind = {
        kind: sum(
            operator.flops
            for operator in layer_operators(workload, kind)
            if isinstance(operator, Matmul | GroupedMatmul | FusedAttention)
            and (granularity == "full" or operator.module in modules)
        )
        for kind in set(kinds)
    }
    tokens = scenario.job.global_batch_size * scenario.job.seq_length
    return sum(per_kind[kinds[layer]] for layer in _recomputed(plan)) * tokens / workload.tokens


def _recomputed(plan: Plan) -> list[int]:
    """Layers that are recomputed; under full recomputation the first of every chunk."""
    layers: list[int] = []
    for stage, count in zip(plan.stages, plan.recompute.layers_per_stage, strict=True):
        per_chunk = -(-count // plan.virtual_stages)
        for start, end in stage.chunks:
            full = plan.recompute.granularity == "full"
            layers += range(start, min(start + per_chunk, end) if full else end)
    return layers


def measured_bytes(gib: float | None) -> float | None:
    return None if gib is None else gib * GIB


def peak_allocated_bytes(measured: MeasuredInput) -> float | None:
    """Live tensors of the fullest rank, which the largest figure of the stages is too."""
    if measured.peak_allocated_gib is not None:
        return measured.peak_allocated_gib * GIB
    stages = measured.peak_allocated_gib_per_stage
    return None if stages is None else max(stages) * GIB
