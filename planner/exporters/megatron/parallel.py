"""Degrees, batch, schedule and stage layout as flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.megatron.flags import Flags, cannot, switches, values
from planner.exporters.megatron.layout import layout_of
from planner.training.search.layouts.default import layers_of_chunks

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from planner.plan import Plan

_SCHEDULES = ("1f1b", "1f1b-balanced", "interleaved")
_DEFAULT_ORDER, _PIPELINE_BEFORE_DATA = "tp-cp-ep-dp-pp", "tp-cp-ep-pp-dp"
_FEWEST_STAGES_WITHOUT_OVERLAP = 3


def parallel_flags(job: ExportJob) -> Flags:
    """Raises: Inexpressible for what breaks a rule of Megatron-LM's that plans may break."""
    plan, degrees = job.plan, job.plan.degrees
    if job.model.moe and degrees.tensor > 1 and not plan.sequence_parallel:
        raise cannot("sequence_parallel", "experts with tensor parallelism train with it only")
    return {
        **values(
            tensor_model_parallel_size=degrees.tensor,
            pipeline_model_parallel_size=degrees.pipeline,
            context_parallel_size=degrees.context,
        ),
        **_context(job),
        **switches(sequence_parallel=plan.sequence_parallel),
        **_expert_degrees(job),
        **_rank_order(job),
        **_stages(job),
    }


def batch_flags(job: ExportJob) -> Flags:
    return values(
        micro_batch_size=job.plan.micro_batch_size,
        global_batch_size=job.job.global_batch_size,
        seq_length=job.job.seq_length,
    )


def _expert_degrees(job: ExportJob) -> Flags:
    degrees = job.plan.degrees
    if job.model.moe is None:
        return {}
    if job.model.linear_bias and degrees.expert_tensor > 1:
        raise cannot("degrees.expert_tensor", "experts with biases are not split by tensor")
    return values(
        expert_model_parallel_size=degrees.expert,
        expert_tensor_parallel_size=degrees.expert_tensor,
    )


def _rank_order(job: ExportJob) -> Flags:
    order, degrees = job.plan.placement.order, job.plan.degrees
    if order == _DEFAULT_ORDER:
        return {}
    if order != _PIPELINE_BEFORE_DATA:
        raise cannot(
            "placement.order", f"{order} is not {_DEFAULT_ORDER} or {_PIPELINE_BEFORE_DATA}"
        )
    experts = degrees.expert * degrees.expert_tensor if job.model.moe else degrees.tensor
    if degrees.pipeline > 1 and experts != degrees.tensor * degrees.context:
        raise cannot(
            "placement.order",
            f"with {order} and several stages, expert · expert-tensor (tensor, where there are no "
            "experts) must equal tensor · context",
        )
    if job.plan.data_sharding in ("optimizer+gradients", "full"):
        raise cannot("placement.order", f"{order} and Megatron-FSDP exclude each other")
    return switches(use_tp_pp_dp_mapping=True)


def _stages(job: ExportJob) -> Flags:
    """The layout is spelled out where chunks hold different numbers of layers."""
    plan = job.plan
    if plan.schedule not in _SCHEDULES:
        raise cannot("schedule", f"{plan.schedule} is not one of {', '.join(_SCHEDULES)}")
    flags: Flags = {}
    layers = layers_of_chunks(plan)
    if len(set(layers)) > 1:
        flags |= values(pipeline_model_parallel_layout=layout_of(layers, job.model.mtp_num_layers))
    elif plan.virtual_stages > 1:
        flags |= values(num_virtual_stages_per_pipeline_rank=plan.virtual_stages)
    return flags | _sends(plan, overlap="pipeline" in job.software.overlap)


def _sends(plan: Plan, *, overlap: bool) -> Flags:
    """Interleaved schedules overlap their sends unless told not to; 1F1B never does."""
    if plan.virtual_stages == 1 or overlap:
        return {}
    if plan.degrees.pipeline < _FEWEST_STAGES_WITHOUT_OVERLAP:
        raise cannot(
            "software.overlap",
            "an interleaved schedule on 2 stages runs with pipeline sends overlapped only",
            hint="plan with a profile that overlaps pipeline, or without virtual stages",
        )
    return switches(no_overlap_p2p_communication=True)


def _context(job: ExportJob) -> Flags:
    """How attention's parts travel among the context ranks."""
    context, heads = job.plan.degrees.context, job.software.context_heads
    if context == 1:
        return {}
    if heads in (None, 1):
        return values(cp_comm_type="p2p")
    if heads in ("all", context):
        return values(cp_comm_type="a2a")
    sizes = (str(heads), str(context // int(heads or 1)))
    return {**values(cp_comm_type="a2a+p2p"), "--hierarchical-context-parallel-sizes": sizes}
