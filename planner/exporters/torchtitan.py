"""torchtitan: a configuration function that sets one of its recipes to the plan.

Names of commit b5bcd76c (August 2026), where a run is a function that returns a `Trainer.Config`
and batches are counted in tokens: `torchtitan/config/`, `torchtitan/models/*/config_registry.py`,
`torchtitan/distributed/activation_checkpoint.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planner.exporters import torch_pipelining
from planner.exporters.errors import Inexpressible
from planner.exporters.job import needs_framework
from planner.exporters.quoting import docstring
from planner.exporters.torch_pipelining import module_names
from planner.importers.torchtitan import FLAVORS
from planner.training.search.layouts.default import layers_of_chunks

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from planner.specs.model.spec import ModelSpec

TARGET = "torchtitan"
VERSION = "b5bcd76c"

_RECIPES = {
    ("llama3", "8B"): "llama3_8b",
    ("llama3", "70B"): "llama3_70b",
    ("llama3", "405B"): "llama3_405b",
    ("qwen3", "0.6B"): "qwen3_0_6b",
    ("qwen3", "1.7B"): "qwen3_1_7b",
    ("qwen3", "14B"): "qwen3_14b",
    ("qwen3", "32B"): "qwen3_32b",
    ("qwen3", "30B-A3B"): "qwen3_30b_a3b",
    ("deepseek_v3", "16B"): "deepseek_v3_16b",
    ("deepseek_v3", "671B"): "deepseek_v3_671b",
}
_SCHEDULES = {
    "1f1b": "1F1B",
    "1f1b-ahead": "1F1B",
    "interleaved": "Interleaved1F1B",
    "gpipe": "GPipe",
    "looped-bfs": "LoopedBFS",
    "zb-v": "ZBVZeroBubble",
    "dualpipe-v": "DualPipeV",
}
_CHECKPOINTING = {"none": "None", "selective": "SelectiveAC.Config()", "full": "FullAC.Config()"}
_ORDER = "tp-cp-ep-dp-pp"
_DTYPES = {"bf16": "bfloat16", "fp32": "float32"}

Assignments = dict[str, str]
"""Fields of the configuration and the Python text of their values."""


def as_recipe(job: ExportJob) -> str:
    """A module with one configuration function. Raises: Inexpressible, naming the field."""
    needs_framework(job, TARGET, "torchtitan")
    family, recipe = _base(job.model)
    planned = config_name(job)
    assignments = {
        **_parallelism(job),
        **_pipeline(job),
        **_training(job),
        **_memory(job),
        **_offload(job),
        **_compilation(job),
    }
    lines = [f"    config.{field} = {value}" for field, value in assignments.items()]
    checkpointing = _CHECKPOINTING[job.plan.recompute.granularity].partition(".")[0]
    imports = [f"from torchtitan.models.{family}.config_registry import {recipe}"]
    if checkpointing != "None":
        imports.insert(
            0, f"from torchtitan.distributed.activation_checkpoint import {checkpointing}"
        )
    return (
        "\n".join(
            [
                f'"""{TARGET} ({VERSION}), {docstring(job.title)}.',
                "",
                f"Run it with --config {planned} from a registry that holds it, such as",
                f"torchtitan/models/{family}/config_registry.py (--module {family}).",
                '"""',
                "",
                *imports,
                "from torchtitan.trainer import Trainer",
                "",
                "",
                f"def {planned}() -> Trainer.Config:",
                f"    config = {recipe}()",
                *lines,
                "    return config",
            ]
        )
        + "\n"
    )


def config_name(job: ExportJob) -> str:
    """The name of the configuration function. Raises: Inexpressible."""
    return f"{_base(job.model)[1]}_planned"


def order_notes(job: ExportJob) -> tuple[str, ...]:
    """Where the order of passes comes from, when it is none that torch has a name for."""
    if job.ahead is None:
        return ()
    return (
        f"its pipeline runs the order in {torch_pipelining.FILE}: write that beside it with "
        f"--format {torch_pipelining.TARGET}",
    )


def _base(model: ModelSpec) -> tuple[str, str]:
    """The family and the recipe of the model, found by its sizes."""
    for (family, flavor), recipe in _RECIPES.items():
        sizes = FLAVORS.get(family, {}).get(flavor)
        if sizes is not None and _shape(sizes) == _own_shape(model):
            return family, recipe
    known = ", ".join(f"{family} {flavor}" for family, flavor in _RECIPES)
    raise Inexpressible(TARGET, "model", f"{model.name} has the sizes of none of {known}")


def _shape(sizes: dict[str, object]) -> tuple[object, ...]:
    moe = sizes.get("moe")
    experts = moe.get("num_experts") if isinstance(moe, dict) else None
    keys = ("num_layers", "hidden_size", "num_attention_heads", "vocab_size")
    return (*(sizes[key] for key in keys), experts)


def _own_shape(model: ModelSpec) -> tuple[object, ...]:
    return (
        model.num_layers,
        model.hidden_size,
        model.num_attention_heads,
        model.vocab_size,
        model.moe.num_experts if model.moe else None,
    )


def _offload(job: ExportJob) -> Assignments:
    if job.plan.activation_offload:
        raise _cannot("activation_offload", "activations stay on the device")
    return {"training.enable_cpu_offload": "True"} if job.plan.weight_offload else {}


def _parallelism(job: ExportJob) -> Assignments:
    plan, degrees = job.plan, job.plan.degrees
    if plan.placement.order != _ORDER:
        raise _cannot("placement.order", f"{plan.placement.order} is not {_ORDER}")
    if plan.data_sharding == "optimizer":
        raise _cannot("data_sharding", "optimizer states are sharded with gradients at least")
    sharded = plan.data_sharding != "none"
    if not sharded and degrees.context > 1:
        raise _cannot("data_sharding", "with context parallelism weights are sharded over it")
    copies = plan.sharding_groups if sharded else degrees.data
    if degrees.data % copies:
        raise _cannot(
            "shard_over", f"groups of {plan.shard_over} do not hold whole groups of context ranks"
        )
    reshard = "never"
    if plan.data_sharding == "full":
        reshard = "always" if degrees.pipeline == 1 else "default"
    return {
        "parallelism.data_parallel_replicate_degree": str(copies),
        "parallelism.data_parallel_shard_degree": str(degrees.data // copies),
        "parallelism.fsdp_reshard_after_forward": f'"{reshard}"',
        "parallelism.tensor_parallel_degree": str(degrees.tensor),
        "parallelism.enable_sequence_parallel": str(plan.sequence_parallel or degrees.tensor == 1),
        "parallelism.context_parallel_degree": str(degrees.context),
        **_experts(job),
    }


def _experts(job: ExportJob) -> Assignments:
    degrees = job.plan.degrees
    if job.model.moe is None:
        return {}
    alone = degrees.tensor if degrees.expert == 1 else 1
    if degrees.expert_tensor != alone:
        raise _cannot(
            "degrees.expert_tensor",
            f"with expert {degrees.expert} and tensor {degrees.tensor} it is {alone}, not "
            f"{degrees.expert_tensor}",
        )
    if degrees.expert > 1 and degrees.expert < degrees.tensor:
        raise _cannot("degrees.expert", f"{degrees.expert} is below tensor {degrees.tensor}")
    if degrees.expert > 1 and job.software.cuda_graphs:
        raise _cannot("software.cuda_graphs", "dispatchers of experts wait for the processor")
    return {"parallelism.expert_parallel_degree": str(degrees.expert)}


def _pipeline(job: ExportJob) -> Assignments:
    plan = job.plan
    if plan.degrees.pipeline > 1 and job.software.cuda_graphs:
        raise _cannot("software.cuda_graphs", "CUDA graphs and a pipeline exclude each other")
    if plan.degrees.pipeline == 1:
        return {"parallelism.pipeline_parallel_degree": "1"}
    if plan.schedule not in _SCHEDULES:
        raise _cannot("schedule", f"{plan.schedule} is not one of {', '.join(_SCHEDULES)}")
    from_file = {"parallelism.pipeline_parallel_schedule_csv": f'"{torch_pipelining.FILE}"'}
    return {
        "parallelism.pipeline_parallel_degree": str(plan.degrees.pipeline),
        "parallelism.pipeline_parallel_schedule": f'"{_SCHEDULES[plan.schedule]}"',
        **(from_file if job.ahead is not None else {}),
        "parallelism.num_pp_microbatches": str(plan.num_microbatches),
        "parallelism.module_fqns_per_model_part": _parts(layers_of_chunks(plan)),
    }


def _parts(layers: tuple[int, ...]) -> str:
    """Module names of every chunk in virtual-stage order, a line each."""
    parts = module_names(
        layers, layer="layers.{}", first="tok_embeddings", last=("norm", "lm_head")
    )
    lines = [f"        {json.dumps(part)}," for part in parts]
    return "\n".join(["[", *lines, "    ]"])


def _training(job: ExportJob) -> Assignments:
    precision, length = job.job.precision, job.job.seq_length
    if precision not in _DTYPES:
        raise _cannot("job.precision", f"{precision} is not one of {', '.join(_DTYPES)}")
    if job.software.gradient_reduce_dtype != "fp32":
        raise _cannot("software.gradient_reduce_dtype", "gradients are reduced in fp32")
    if job.model.mtp_num_layers:
        raise _cannot("model.mtp_num_layers", "its models have no prediction layers")
    if job.job.optimizer != "adam":
        raise _cannot("job.optimizer", f"its recipes train with adam, not {job.job.optimizer}")
    return {
        "training.max_context_length": str(length),
        "training.num_tokens_per_microbatch_per_dp_rank": str(job.plan.micro_batch_size * length),
        "training.num_tokens_per_train_step": str(job.job.global_batch_size * length),
        "training.mixed_precision_param": f'"{_DTYPES[precision]}"',
        "training.mixed_precision_reduce": '"float32"',
        **_states(job),
        "training.disable_cuda_graphs": str(not job.software.cuda_graphs),
    }


def _states(job: ExportJob) -> Assignments:
    """Moments in bf16 beside fp32 weights, or all in bf16 (docs/bf16_optimizer_states.md)."""
    software = job.software
    moments = {software.optimizer_state_dtype, software.second_moment_dtype} - {None}
    kept = (software.master_weights, software.gradient_dtype, moments)
    if kept == (True, "fp32", {"fp32"}):
        return {}
    if kept == (True, "fp32", {"bf16"}):
        return {"optimizer.implementation": '"fused_opt_states_bf16"'}
    if kept == (False, "bf16", {"bf16"}):
        return {"training.dtype": '"bfloat16"'}
    raise _cannot(
        "software.optimizer_state_dtype",
        "weights, gradients and moments are in bf16, or the moments alone, or none of them",
    )


def _memory(job: ExportJob) -> Assignments:
    plan = job.plan
    granularity = plan.recompute.granularity
    if job.recomputes_some:
        raise _cannot("recompute.layers_per_stage", "all layers are recomputed or none")
    if granularity == "selective":
        modules = job.software.recompute.selective_modules
        if modules != ("every_second_matmul",):
            raise _cannot(
                "software.recompute.selective_modules",
                f"it recomputes by operator, not {', '.join(modules)}",
            )
    return {"activation_checkpoint": _CHECKPOINTING[granularity]}


def _compilation(job: ExportJob) -> Assignments:
    software = job.software
    tensor = "tensor" in software.overlap and job.plan.degrees.tensor > 1
    if tensor and not software.compile:
        raise _cannot("software.overlap", "tensor communication is overlapped by the compiler only")
    enabled = {"compile.enable": str(software.compile)}
    return enabled | ({"compile.enable_async_tensor_parallel": "True"} if tensor else {})


def _cannot(field: str, reason: str) -> Inexpressible:
    return Inexpressible(TARGET, field, reason)
