"""NeMo 2: a function that sets a recipe to the plan (NeMo 8cfedd72, September 2025, its last).

The strategy takes the degrees and the data-parallel settings, the model's config the rest, by the
names Megatron-Bridge has for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.bridge import Overrides, Setting, bridge_overrides
from planner.exporters.errors import Inexpressible
from planner.exporters.job import needs_framework
from planner.exporters.megatron.arguments import environment
from planner.exporters.quoting import docstring
from planner.wording.printable import quoted

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

TARGET = "NeMo 2"
VERSION = "8cfedd72"
_SQUARED_RELU = "squared_relu"

_STRATEGY = (
    "tensor_model_parallel_size",
    "pipeline_model_parallel_size",
    "virtual_pipeline_model_parallel_size",
    "pipeline_model_parallel_layout",
    "num_layers_in_first_pipeline_stage",
    "num_layers_in_last_pipeline_stage",
    "account_for_embedding_in_pipeline_split",
    "account_for_loss_in_pipeline_split",
    "context_parallel_size",
    "sequence_parallel",
    "expert_model_parallel_size",
    "expert_tensor_parallel_size",
    "use_te_rng_tracker",
)
_GROUPS = {
    "train": "recipe.data",
    "dataset": "recipe.data",
    "ddp": "recipe.trainer.strategy.ddp",
    "optimizer": "recipe.optim.config",
    "dist": "recipe.trainer.strategy",
    "checkpoint": "recipe.trainer.strategy",
    "plugin": "recipe.trainer.plugins",
    "trainer": "recipe.trainer",
    "strategy": "recipe.trainer.strategy",
}
_ELSEWHERE = (
    "model.seq_length",
    "model.should_pad_vocab",
    "model.cuda_graph_impl",
    "model.cuda_graph_modules",
    "model.moe_flex_dispatcher_backend",
    "model.overlap_moe_expert_parallel_comm",
    "rng.te_rng_tracker",
    "rerun_state_machine.check_for_nan_in_loss",
    "dist.use_megatron_fsdp",
    "ddp.use_megatron_fsdp",
    "checkpoint.ckpt_format",
)
_ELSEWHERE_GROUPS = ("comm_overlap", "mixed_precision")
"""What NeMo has other names for, see below, or takes from other fields."""


def as_recipe(job: ExportJob) -> str:
    """A module with one function, `apply_plan(recipe)`. Raises: Inexpressible."""
    needs_framework(job, TARGET, "megatron-lm")
    variables = [
        f"    os.environ[{quoted(name)}] = {quoted(value)}"
        for name, value in environment(job).items()
    ]
    settings = [f"    {_place(key)} = {_code(key, value)}" for key, value in _settings(job).items()]
    return (
        "\n".join(
            [
                f'"""{TARGET} ({VERSION}), {docstring(job.title)}."""',
                "",
                *(["import os", ""] if variables else []),
                "import torch.nn.functional as F",
                *(
                    ["from megatron.core.activations import squared_relu"]
                    if job.model.activation == _SQUARED_RELU
                    else []
                ),
                "from megatron.core.transformer.enums import AttnBackend",
                "",
                "",
                "def apply_plan(recipe):",
                '    """Set a NeMo 2 pre-training recipe to the plan and return it."""',
                *variables,
                *settings,
                "    return recipe",
            ]
        )
        + "\n"
    )


def _settings(job: ExportJob) -> Overrides:
    overrides = bridge_overrides(job)
    kept = {
        key: value
        for key, value in overrides.items()
        if key not in _ELSEWHERE and key.split(".")[0] not in _ELSEWHERE_GROUPS
    }
    return {
        **_size(job),
        **kept,
        **_communication(job, overrides),
        **_precision(job, overrides),
        **_graphs(job, overrides),
    }


def _size(job: ExportJob) -> Overrides:
    devices = job.devices_per_host
    if devices is None:
        raise Inexpressible(TARGET, "placement.hosts", "hosts with different numbers of devices")
    return {"trainer.num_nodes": len(job.hosts), "trainer.devices": devices}


def _communication(job: ExportJob, overrides: Overrides) -> Overrides:
    found: Overrides = {
        "model.tp_comm_overlap": bool(overrides.get("comm_overlap.tp_comm_overlap"))
    }
    if overrides["dist.use_megatron_fsdp"]:
        found["strategy.fsdp"] = "megatron"
    backend = overrides.get("model.moe_flex_dispatcher_backend")
    if backend in ("hybridep", "ncclep"):
        raise Inexpressible(TARGET, "dispatcher", f"{backend} came later")
    if job.plan.expert_overlap:
        raise Inexpressible(
            TARGET, "expert_overlap", "exchanges beside another microbatch came later"
        )
    if backend == "deepep":
        found["model.moe_enable_deepep"] = True
    return found


def _precision(job: ExportJob, overrides: Overrides) -> Overrides:
    """Fields of the precision plugin."""
    precision = job.job.precision
    if precision in ("fp32", "nvfp4"):
        raise Inexpressible(TARGET, "job.precision", f"its recipes have no {precision}")
    fields: Overrides = {
        "plugin.precision": "16-mixed" if precision == "fp16" else "bf16-mixed",
        "plugin.grad_reduce_in_fp32": overrides["ddp.grad_reduce_in_fp32"],
    }
    for name in ("fp8", "fp8_recipe", "fp8_param_gather", "first_last_layers_bf16"):
        if f"mixed_precision.{name}" in overrides:
            fields[f"plugin.{name}"] = overrides[f"mixed_precision.{name}"]
    return fields


def _graphs(job: ExportJob, overrides: Overrides) -> Overrides:
    """Graphs of whole layers, of attention or of the step, by their names of 2025."""
    implementation = overrides["model.cuda_graph_impl"]
    if implementation == "full_iteration":
        return {"model.enable_cuda_graph": True, "model.cuda_graph_scope": "full_iteration"}
    if implementation == "transformer_engine":
        scope = "attn" if job.model.moe else "full"
        return {"model.external_cuda_graph": True, "model.cuda_graph_scope": scope}
    return {}


def _place(key: str) -> str:
    group, _, name = key.partition(".")
    if group in _GROUPS:
        return f"{_GROUPS[group]}.{name}"
    if name in _STRATEGY:
        return f"recipe.trainer.strategy.{name}"
    return f"recipe.model.config.{name}"


def _code(key: str, value: Setting) -> str:
    if key == "model.activation_func":
        return _SQUARED_RELU if value == _SQUARED_RELU else f"F.{value}"
    if key == "model.attention_backend":
        return f"AttnBackend.{value}"
    return quoted(value) if isinstance(value, str) else repr(value)
