"""DeepSpeed: its JSON (edaa7221, August 2026), and what has to stand in the training code.

A pipeline is code, not JSON: `PipelineModule(num_stages, topology, partition_method)`, whose
`type:` partition deals out equal numbers of transformer layers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from planner.exporters.errors import Inexpressible
from planner.exporters.job import needs_framework
from planner.workload.formats import STATE_BYTES, gradient_bytes, reduced_gradient_bytes

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

TARGET = "DeepSpeed"

STAGES = {"none": 0, "optimizer": 1, "optimizer+gradients": 2, "full": 3}
"""The ZeRO stage of each data sharding."""
_SCHEDULES = ("1f1b",)
_ORDER = "tp-cp-ep-dp-pp"
NVME_PATH = "/local_nvme"
"""Where drives of a node are mounted; the name that DeepSpeed's own examples have."""
_OPTIMIZERS = {"sgd": "MuSGD", "lion": "Lion", "muon": "Muon"}

Json = dict[str, Any]


def as_json(job: ExportJob) -> str:
    """Raises: Inexpressible, naming the field."""
    needs_framework(job, TARGET, "deepspeed", "megatron-lm")
    _refuse(job)
    plan, degrees = job.plan, job.plan.degrees
    document: Json = {
        "train_batch_size": job.job.global_batch_size,
        "train_micro_batch_size_per_gpu": plan.micro_batch_size,
        "gradient_accumulation_steps": plan.num_microbatches,
        **_precision(job),
        **_optimizer(job),
        "zero_optimization": _zero(job),
        **_checkpoints(job),
    }
    if degrees.context > 1:
        reduced = reduced_gradient_bytes(job.software, job.job.precision)
        document |= {
            "sequence_parallel_size": degrees.context,
            "data_parallel_size": degrees.data,
            "seq_parallel_communication_data_type": _type(job.job.precision, reduced),
        }
    if degrees.tensor > 1 and degrees.pipeline == 1:
        document["tensor_parallel"] = {"autotp_size": degrees.tensor}
    if degrees.expert > 1:
        document["expert_parallel"] = {"enabled": True, "autoep_size": degrees.expert}
    if degrees.pipeline > 1:
        interval = int(plan.recompute.granularity == "full")
        document["pipeline"] = {
            "stages": degrees.pipeline,
            "partition": "type:transformer",
            "activation_checkpoint_interval": interval,
        }
    return json.dumps(document, indent=2) + "\n"


def code_notes(job: ExportJob) -> tuple[str, ...]:
    """What the JSON cannot hold and the training code must do."""
    degrees = job.plan.degrees
    if degrees.pipeline == 1:
        notes = []
        if job.plan.optimizer_offload and job.software.offload.stride is not None:
            notes.append(
                "a stride of the update needs the branch deep-optimizer-states of "
                "DataStates/DeepSpeed"
            )
        if degrees.context > 1:
            notes.append(
                "divided sequences are code: every attention is a "
                "deepspeed.sequence.layer.DistributedAttention, and a rank gets its part of a batch"
            )
        if job.plan.recompute.granularity != "none":
            notes.append(
                "recomputation is code: model.gradient_checkpointing_enable(), or "
                "deepspeed.checkpointing.checkpoint around every layer"
            )
        return tuple(notes)
    return (
        "the pipeline is code: PipelineModule(..., topology=PipeModelDataParallelTopology("
        f"num_pp={degrees.pipeline}, num_mp={degrees.tensor}, num_dp={degrees.data}), "
        'partition_method="type:transformer")',
    )


def _refuse(job: ExportJob) -> None:
    plan, degrees = job.plan, job.plan.degrees
    pipelined = degrees.pipeline > 1
    if plan.virtual_stages > 1:
        raise _cannot("virtual_stages", "its pipeline engine runs one chunk per stage")
    if pipelined and plan.schedule not in _SCHEDULES:
        engine = f"its pipeline engine runs {', '.join(_SCHEDULES)}"
        raise _cannot("schedule", f"{engine}, not {plan.schedule}")
    if len({stage.num_layers for stage in plan.stages}) > 1:
        layers = [stage.num_layers for stage in plan.stages]
        raise _cannot("stages", f"no partition method takes a list of layers such as {layers}")
    if plan.sequence_parallel:
        raise _cannot(
            "sequence_parallel", "it is Megatron-LM's, part of tensor parallelism in the model code"
        )
    if degrees.context > 1:
        _refuse_context(job)
    if pipelined and STAGES[plan.data_sharding] > 1:
        raise _cannot("data_sharding", f"{plan.data_sharding} and a pipeline exclude each other")
    if degrees.tensor > 1 and plan.data_sharding == "full":
        raise _cannot("data_sharding", "full sharding and tensor parallelism exclude each other")
    if degrees.expert_tensor > 1 and degrees.expert_tensor != degrees.tensor:
        raise _cannot("degrees.expert_tensor", "experts are split as the rest of the model is")
    if degrees.expert > 1 and pipelined:
        raise _cannot("degrees.expert", "expert parallelism and a pipeline exclude each other")
    if plan.placement.order != _ORDER:
        raise _cannot("placement.order", "the grid is pipe, data, model, the last varying fastest")
    _refuse_recompute(job)


def _refuse_context(job: ExportJob) -> None:
    """Sequences are divided by Ulysses, in a mesh of replicas and sequences alone."""
    degrees = job.plan.degrees
    if job.software.context_heads not in ("all", degrees.context):
        raise _cannot(
            "degrees.context", "its sequence parallelism exchanges heads, not keys and values"
        )
    if degrees.tensor > 1 or degrees.pipeline > 1:
        raise _cannot("degrees.context", "it excludes tensor parallelism and a pipeline")
    if degrees.expert > 1 and job.plan.data_sharding == "full":
        raise _cannot("degrees.context", "it excludes sharded experts in ZeRO-3")


def _overlaps(job: ExportJob) -> bool:
    """`overlap_comm`. Raises: Inexpressible where one of what stage 3 overlaps does not."""
    overlap = job.software.overlap
    reduced = "gradient_reduce" in overlap
    if job.plan.data_sharding == "full" and reduced != ("parameter_gather" in overlap):
        raise _cannot("software.overlap", "in ZeRO-3 reductions and gathers overlap both or not")
    return reduced


def _refuse_recompute(job: ExportJob) -> None:
    if job.plan.recompute.granularity == "selective":
        raise _cannot("recompute.granularity", "it recomputes whole layers only")
    if job.recomputes_some:
        raise _cannot("recompute.layers_per_stage", "all layers of a stage are recomputed or none")


def _precision(job: ExportJob) -> Json:
    precision, software = job.job.precision, job.software
    if precision not in ("fp32", "fp16", "bf16"):
        raise _cannot("job.precision", f"{precision} is not one of fp32, fp16, bf16")
    formats: Json = {}
    if precision != "fp32":
        formats = {precision: {"enabled": True, **_states(job)}}
    return {
        **formats,
        "data_types": {"grad_accum_dtype": _type(precision, gradient_bytes(software, precision))},
        "communication_data_type": _type(precision, reduced_gradient_bytes(software, precision)),
    }


def _states(job: ExportJob) -> Json:
    """Raises: Inexpressible for states that its own optimizers do not have."""
    precision, software = job.job.precision, job.software
    moments = {software.optimizer_state_dtype, software.second_moment_dtype or "fp32"} - {"fp32"}
    if software.master_weights:
        if moments or software.master_weight_dtype != "fp32":
            raise _cannot("software.optimizer_state_dtype", "the program makes such an optimizer")
        return {}
    key = f"{precision}_master_weights_and_grads"
    if not moments:
        return {key: True}
    if precision != "bf16" or software.second_moment_dtype or moments != {"bf16"}:
        raise _cannot("software.optimizer_state_dtype", "moments are in fp32, or bf16 beside bf16")
    return {key: True, "bf16_optimizer_states": True}


def _optimizer(job: ExportJob) -> Json:
    """Nothing for Adam, which the program makes or DeepSpeed takes."""
    name = job.job.optimizer
    if name == "adam":
        return {}
    if name not in _OPTIMIZERS:
        raise _cannot("job.optimizer", f"the program makes {name}")
    return {"optimizer": {"type": _OPTIMIZERS[name]}}


def _type(precision: str, size: int) -> str:
    if size == STATE_BYTES["fp32"]:
        return "fp32"
    return "fp16" if precision == "fp16" else "bf16"


def _zero(job: ExportJob) -> Json:
    software = job.software
    elements = software.bucket_bytes.value // STATE_BYTES[software.gradient_reduce_dtype]
    return {
        "stage": STAGES[job.plan.data_sharding],
        "overlap_comm": _overlaps(job),
        "contiguous_gradients": True,
        "reduce_bucket_size": elements,
        "allgather_bucket_size": elements,
        **_sub_group(job),
        **_group(job),
        **_offload(job),
    }


def _offload(job: ExportJob) -> Json:
    """`ratio` where a part of the optimizer stays on the device."""
    share = job.plan.optimizer_offload
    host: Json = {"device": "cpu", "pin_memory": True}
    states = host
    if job.software.offload.to == "nvme":
        states = {"device": "nvme", "nvme_path": NVME_PATH, "pin_memory": True}
    ratio: Json = {} if share == 1 else {"ratio": share}
    if job.software.offload.stride is not None:
        stride = job.software.offload.stride
        ratio |= {
            "prefetch_optimizer": True,
            "part_grads_async": True,
            "prefetch_optimizer_gap": stride,
        }
    return {
        **({"offload_optimizer": {**states, **ratio}} if share else {}),
        **({"offload_param": host} if job.plan.weight_offload else {}),
    }


def _sub_group(job: ExportJob) -> Json:
    """Where it decides what the device stages; DeepSpeed's own elsewhere."""
    offload = job.software.offload
    staged = job.plan.optimizer_offload and offload.stride is not None
    return {"sub_group_size": int(offload.sub_group.value)} if staged else {}


def _checkpoints(job: ExportJob) -> Json:
    """Recomputed layers' inputs, all of them or none, on the host."""
    share = job.plan.activation_offload
    if not share:
        return {}
    if share < 1:
        raise _cannot("activation_offload", "checkpoints are all on the host or none")
    return {"activation_checkpointing": {"cpu_checkpointing": True}}


def _group(job: ExportJob) -> Json:
    """hpZ, where groups hold a copy of the weights alone, and else MiCS."""
    size = job.plan.shard_over
    if size is None:
        return {}
    weights = job.software.data_sharding.groups_hold == "weights"
    return {"zero_hpz_partition_size" if weights else "mics_shard_size": size}


def _cannot(field: str, reason: str) -> Inexpressible:
    return Inexpressible(TARGET, field, reason)
