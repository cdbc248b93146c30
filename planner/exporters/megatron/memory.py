"""Recomputation, sharding over the replicas, number formats and gradients as flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.megatron.flags import Flags, cannot, switches, values
from planner.plan import recomputed_per_chunk
from planner.training.search.layouts.default import layers_of_chunks

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

WHOLE = 0.001
"""Shares of activations are thousandths."""
_FSDP = {"optimizer+gradients": "optim_grads", "full": "optim_grads_params"}
_QUANTIZED = {
    "fp8": {"fp8_format": "hybrid", "fp8_recipe": "tensorwise"},
    "mxfp8": {"fp8_format": "e4m3", "fp8_recipe": "mxfp8"},
    "nvfp4": {"fp4_format": "e2m1", "fp4_recipe": "nvfp4"},
}
_MODULES = (
    "core_attn",
    "layernorm",
    "mlp",
    "moe",
    "moe_act",
    "shared_experts",
    "mla_up_proj",
)


def recompute_flags(job: ExportJob) -> Flags:
    """Raises: Inexpressible where stages recompute what one number per chunk cannot say."""
    recompute = job.plan.recompute
    if recompute.granularity == "none":
        return {}
    if recompute.granularity == "selective":
        return {
            **values(recompute_granularity="selective"),
            "--recompute-modules": _modules(job),
        }
    count = recomputed_per_chunk(job.plan.stages, recompute.layers_per_stage)
    if not count:
        raise cannot(
            "recompute.layers_per_stage",
            f"{list(recompute.layers_per_stage)} is not the first n layers of every chunk, for "
            "any n of 1 or more",
        )
    method = "uniform" if count >= max(layers_of_chunks(job.plan)) else "block"
    return values(
        recompute_granularity="full",
        recompute_method=method,
        recompute_num_layers=1 if method == "uniform" else count,
    )


def _modules(job: ExportJob) -> tuple[str, ...]:
    """Those of the profile that the model has."""
    listed = job.software.recompute.selective_modules
    for module in listed:
        if module not in _MODULES:
            raise cannot("software.recompute.selective_modules", f"{module} is not one of its own")
    moe, mla = job.model.moe, job.model.mla
    absent = set()
    if moe is None or not job.software.expert.grouped_matmul:
        absent.add("moe_act")
    if moe is None:
        absent.add("moe")
    if moe is None or not moe.shared_expert_ffn_hidden_size:
        absent.add("shared_experts")
    if mla is None:
        absent.add("mla_up_proj")
    found = tuple(module for module in listed if module not in absent)
    if not found:
        raise cannot(
            "recompute.granularity",
            f"selective recomputation of {', '.join(listed)}, none of which the model has",
        )
    return found


def sharding_flags(job: ExportJob) -> Flags:
    sharding = job.plan.data_sharding
    if sharding == "none":
        return {}
    flags = switches(use_distributed_optimizer=True)
    instances = optimizer_instances(job)
    if sharding == "optimizer":
        return flags | values(num_distributed_optimizer_instances=instances)
    if instances is not None:
        raise cannot("shard_over", f"with data_sharding {sharding} all replicas share")
    return {
        **flags,
        **switches(
            use_megatron_fsdp=True,
            init_model_with_meta_device=sharding == "full"
            and not job.software.full_sharding.starts_whole,
        ),
        **values(data_parallel_sharding_strategy=_FSDP[sharding], ckpt_format="fsdp_dtensor"),
    }


def optimizer_instances(job: ExportJob) -> int | None:
    """Copies of the sharded optimizer; None for one. Raises: Inexpressible where the replicas do
    not divide."""
    size, degrees = job.plan.shard_over, job.plan.degrees
    replicas = degrees.data * degrees.context
    if size is None or size >= replicas:
        return None
    copies, rest = divmod(replicas, size)
    if rest or (job.model.moe and degrees.expert_data % copies):
        raise cannot(
            "shard_over",
            f"{replicas} replicas ({degrees.expert_data} of the experts) are no equal groups of "
            f"{size}",
        )
    return copies


def precision_flags(job: ExportJob) -> Flags:
    precision, software = job.job.precision, job.software
    if precision == "tf32":
        raise cannot("job.precision", "the program, not a flag, switches TF32 on")
    flags = switches(bf16=precision not in ("fp32", "fp16"), fp16=precision == "fp16")
    if precision in _QUANTIZED:
        if software.fp8.attention:
            raise cannot("software.fp8.attention", "attention itself has no flag for 8 bits")
        flags |= values(**_QUANTIZED[precision])
        sharded = job.plan.data_sharding != "none"
        gather = software.fp8.parameter_gather and sharded
        flags |= switches(
            fp8_param_gather=gather and precision != "nvfp4",
            fp4_param_gather=gather and precision == "nvfp4",
            reuse_grad_buf_for_mxfp8_param_ag=gather and precision == "mxfp8",
            fp8_output_proj=precision in software.fp8.output_layer,
        )
    return {**flags, **_gradients(job), **_optimizer(job)}


def _gradients(job: ExportJob) -> Flags:
    """Gradients are kept and reduced in one type: fp32, or the 16 bits of the weights."""
    software, precision = job.software, job.job.precision
    kept, travelling = software.gradient_dtype, software.gradient_reduce_dtype
    if precision == "fp32":
        return {}
    if precision == "fp16" and software.fp16_gradients:
        return {}
    if (kept == "fp32") != (travelling == "fp32"):
        raise cannot(
            "software.gradient_reduce_dtype",
            f"gradients are kept in {kept} and reduced in {travelling}; Megatron-LM has one type "
            "for both",
        )
    if kept == "fp32":
        return switches(accumulate_allreduce_grads_in_fp32=True)
    return switches(grad_reduce_in_bf16=precision != "fp16")


def _offload(job: ExportJob) -> Flags:
    """Raises: Inexpressible for weights on the host, which no flag puts there with a sharded
    optimizer."""
    share = job.plan.optimizer_offload
    if job.plan.weight_offload:
        raise cannot("weight_offload", "weights stay on the device")
    if not share:
        return _offloaded_activations(job)
    return {
        **_offloaded_activations(job),
        **switches(
            optimizer_cpu_offload=True,
            overlap_cpu_optimizer_d2h_h2d=job.software.offload.overlap,
        ),
        **values(optimizer_offload_fraction=share),
    }


def _offloaded_activations(job: ExportJob) -> Flags:
    """Raises: Inexpressible where the share of the activations of no named module is not that of
    whole layers."""
    modules, share = job.software.offload.modules, job.plan.activation_offload
    if modules and share:
        return {
            **switches(fine_grained_activation_offloading=True),
            "--offload-modules": modules,
            **values(activation_offload_fraction=share if share < 1 else None),
        }
    layers = share * job.model.num_layers
    if abs(layers - round(layers)) > WHOLE * job.model.num_layers:
        raise cannot("activation_offload", f"{layers:.1f} layers are not whole layers")
    if not layers:
        return {}
    return {
        **switches(cpu_offloading=True),
        **values(cpu_offloading_num_layers=round(layers)),
    }


def _optimizer(job: ExportJob) -> Flags:
    software = job.software
    flags = values(optimizer=job.job.optimizer)
    if not software.master_weights and job.job.precision != "fp32":
        raise cannot("software.master_weights", "the optimizer keeps 32-bit weights")
    flags |= _offload(job)
    states = software.optimizer_state_dtype
    second = software.second_moment_dtype or states
    master = software.master_weight_dtype
    offloaded = bool(job.plan.optimizer_offload)
    if states == second == master == "fp32" and not offloaded:
        return flags
    if job.plan.data_sharding == "none":
        raise cannot("software.optimizer_state_dtype", f"{states} states need a sharded optimizer")
    if master == "fp32" and job.job.precision != "fp32" and not offloaded:
        raise cannot(
            "software.master_weight_dtype",
            "with moments in fewer bits, remainders of the weights are kept, or fp16",
        )
    return {
        **flags,
        **switches(use_precision_aware_optimizer=True),
        **values(exp_avg_dtype=states, exp_avg_sq_dtype=second),
        **(values(main_params_dtype="fp16") if master == "fp16" else {}),
        **(values(main_grads_dtype="bf16") if software.gradient_dtype == "bf16" else {}),
    }
