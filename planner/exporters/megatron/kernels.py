"""Kernels, fusions, overlap and CUDA graphs as flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.megatron.flags import Flags, cannot, switches, values

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from planner.plan import Degrees


def kernel_flags(job: ExportJob) -> Flags:
    """Dropout is stated either way: left out, Megatron-LM takes 0.1."""
    software = job.software
    rate = "0.1" if software.drops_out(job.model.dropout) else "0.0"
    return {
        **values(
            attention_backend=_attention_backend(job),
            hidden_dropout=rate,
            attention_dropout=rate,
        ),
        **_fusions(job),
        **_experts(job),
    }


def _attention_backend(job: ExportJob) -> str:
    """`fused` is cuDNN's fused attention, which has latent attention and sinks."""
    if job.software.attention == "flash":
        return "fused" if job.model.mla or job.model.attention_sinks else "flash"
    return "unfused"


def _fusions(job: ExportJob) -> Flags:
    fused, model = job.software.fused, job.model
    flags = switches(
        no_masked_softmax_fusion=not fused.softmax,
        no_bias_swiglu_fusion=model.gated_mlp and not fused.bias_activation,
        no_bias_gelu_fusion=not model.gated_mlp
        and (not fused.bias_activation or (model.activation != "gelu" and model.linear_bias)),
        no_bias_dropout_fusion=not fused.bias_dropout_add,
        no_rope_fusion=model.position_embedding == "rope" and not fused.rotary,
        no_gradient_accumulation_fusion=not fused.gradient_accumulation,
        cross_entropy_loss_fusion=fused.cross_entropy,
    )
    if fused.cross_entropy:
        flags |= values(cross_entropy_fusion_impl="native" if fused.fused_loss_copies else "te")
    return flags


FLEXIBLE = ("deepep", "hybridep", "ncclep")
"""Dispatchers behind `--moe-token-dispatcher-type flex`."""


def _experts(job: ExportJob) -> Flags:
    """Dispatchers with kernels of their own need a group of ranks and fp32 routing. Exchanges
    beside another microbatch have neither graphs of experts nor shared experts beside them."""
    if job.model.moe is None:
        return {}
    expert, plan = job.software.expert, job.plan
    beside = "shared_expert" in job.software.overlap and not plan.expert_overlap
    flags = switches(
        moe_grouped_gemm=expert.grouped_matmul,
        moe_permute_fusion=expert.fused_permutation,
        overlap_moe_expert_parallel_comm=plan.expert_overlap,
        moe_shared_expert_overlap=beside
        and bool(job.model.moe.shared_expert_ffn_hidden_size)
        and (plan.dispatcher or expert.sends_by) != "allgather",
    )
    if expert.capacity_factor is not None:
        flags |= values(moe_expert_capacity_factor=expert.capacity_factor)
        flags |= switches(moe_pad_expert_input_to_capacity=expert.padded)
    dispatcher = job.plan.dispatcher or expert.sends_by
    if job.plan.dispatcher in FLEXIBLE:
        return flags | values(
            moe_token_dispatcher_type="flex",
            moe_flex_dispatcher_backend=dispatcher,
            moe_router_dtype="fp32",
        )
    router = values(moe_router_dtype="fp32") if expert.fp32_probabilities else {}
    sent = values(
        moe_token_dispatcher_type="alltoall" if dispatcher in FLEXIBLE else dispatcher,
    )
    return {**flags, **sent, **router}


def overlap_flags(job: ExportJob) -> Flags:
    """What the profile overlaps and the plan has; pipeline sends go with the schedule."""
    overlap, plan = job.software.overlaps(job.job.precision), job.plan
    tensor = "tensor" in overlap and plan.degrees.tensor > 1
    if tensor and not plan.sequence_parallel:
        raise cannot(
            "software.overlap", "tensor communication is overlapped under sequence parallelism only"
        )
    gather = "parameter_gather" in overlap and plan.data_sharding != "none"
    reduce = "gradient_reduce" in overlap
    if gather and not reduce:
        raise cannot(
            "software.overlap", "parameter_gather is overlapped together with gradient_reduce only"
        )
    return switches(tp_comm_overlap=tensor, overlap_grad_reduce=reduce, overlap_param_gather=gather)


def graph_flags(job: ExportJob) -> Flags:
    """Layers are captured whole; of a mixture, what does not depend on the routing. Full
    recomputation needs the whole step in one graph, which dropless routing cannot be in."""
    if not job.software.cuda_graphs:
        return {}
    mixture = job.model.moe is not None
    if job.plan.recompute.granularity != "full":
        dense = "dense" in job.model.layer_kinds
        modules = ("attn", *(("mlp",) if dense else ()))
        if mixture and not _mixture_is_redone(job):
            modules += ("moe_router", "moe_preprocess")
        return {
            **values(cuda_graph_impl="transformer_engine"),
            "--cuda-graph-modules": modules,
            **switches(te_rng_tracker=True),
        }
    if mixture:
        raise cannot(
            "software.cuda_graphs", "a mixture with full recomputation runs without CUDA graphs"
        )
    return {
        **values(cuda_graph_impl="full_iteration"),
        **switches(te_rng_tracker=True, no_check_for_nan_in_loss_and_grad=True),
    }


def _mixture_is_redone(job: ExportJob) -> bool:
    """A mixture recomputed as a whole keeps its routing out of graphs (`transformer_config.py`)."""
    recompute = job.plan.recompute.granularity
    return recompute == "selective" and "moe" in job.software.recompute.selective_modules


def environment_of(
    degrees: Degrees, data_sharding: str, *, expert_overlap: bool = False
) -> dict[str, str]:
    """Variables that Megatron-LM checks: one connection per device for tensor and context
    parallelism (on devices before Blackwell), more than one for FSDP and for exchanges of experts
    beside another microbatch (`moe/README.md`), which are worth more than that."""
    if data_sharding in ("optimizer+gradients", "full") or expert_overlap:
        return {"CUDA_DEVICE_MAX_CONNECTIONS": "8"}
    if degrees.tensor > 1 or degrees.context > 1:
        return {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}
    return {}
