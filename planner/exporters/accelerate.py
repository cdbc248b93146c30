"""Hugging Face Accelerate: its configuration file (16cb6eb8, July 2026) for FSDP2.

`src/accelerate/commands/config/`, `utils/dataclasses.py` (FullyShardedDataParallelPlugin),
`parallelism_config.py`. Batches, the loss and offloaded activations are arguments of the Trainer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.exporters.errors import Inexpressible
from planner.exporters.job import needs_framework

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

TARGET = "Accelerate"
FILE = "accelerate.yaml"

_ORDER = "tp-cp-ep-dp-pp"
_PRECISIONS = {"bf16": "bf16", "fp16": "fp16", "fp32": "no"}

Tree = dict[str, Any]


def as_config(job: ExportJob) -> str:
    """Raises: Inexpressible, naming the field."""
    import yaml

    title = f"# {TARGET}, {job.title}.\n"
    return title + yaml.safe_dump(_config(job), sort_keys=False, allow_unicode=True)


def as_environment(job: ExportJob) -> dict[str, str]:
    """The variables that `accelerate launch` sets from the file (utils/launch.py), for processes
    that another launcher starts. Raises: Inexpressible, naming the field."""
    config = _config(job)
    variables: dict[str, object] = {
        "ACCELERATE_MIXED_PRECISION": config["mixed_precision"],
        "ACCELERATE_USE_FSDP": True,
        "ACCELERATE_USE_PARALLELISM_CONFIG": True,
    }
    for part in ("fsdp_config", "parallelism_config"):
        variables |= {name.upper(): value for name, value in config[part].items()}
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in variables.items()
    }


def _config(job: ExportJob) -> Tree:
    needs_framework(job, TARGET, "accelerate")
    _refuse(job)
    plan, degrees = job.plan, job.plan.degrees
    copies = plan.sharding_groups
    return {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP",
        "mixed_precision": _PRECISIONS[job.job.precision],
        "num_machines": len(job.hosts),
        "num_processes": degrees.devices,
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": plan.data_sharding == "full",
            "fsdp_activation_checkpointing": plan.recompute.granularity == "full",
            "fsdp_offload_params": plan.weight_offload,
            "fsdp_cpu_ram_efficient_loading": True,
            "fsdp_state_dict_type": "SHARDED_STATE_DICT",
        },
        "parallelism_config": {
            "parallelism_config_dp_replicate_size": copies,
            "parallelism_config_dp_shard_size": degrees.data // copies,
            "parallelism_config_cp_size": degrees.context,
            "parallelism_config_tp_size": degrees.tensor,
        },
    }


def training_notes(job: ExportJob) -> tuple[str, ...]:
    """What the arguments of the Trainer have to say."""
    plan, chunks = job.plan, job.software.fused.loss_chunks
    said = [
        f"per_device_train_batch_size={plan.micro_batch_size}",
        f"gradient_accumulation_steps={plan.num_microbatches}",
        f"max_length={job.job.seq_length}",
    ]
    if plan.activation_offload:
        said.append("activation_offloading=True")
    if chunks is not None and chunks > 1:
        said.append('loss_type="chunked_nll"')
    if job.job.optimizer != "adam":
        said.append(f"optim of {job.job.optimizer}")
    return (f"the rest is said to the Trainer: {', '.join(said)}",)


def _refuse(job: ExportJob) -> None:
    plan, degrees = job.plan, job.plan.degrees
    if degrees.pipeline > 1:
        raise _cannot("degrees.pipeline", "it has no pipelines")
    if degrees.expert > 1:
        raise _cannot("degrees.expert", "it divides no experts")
    if job.job.precision not in _PRECISIONS:
        raise _cannot(
            "job.precision", f"{job.job.precision} is not one of {', '.join(_PRECISIONS)}"
        )
    if plan.placement.order != _ORDER:
        raise _cannot("placement.order", f"{plan.placement.order} is not {_ORDER}")
    if plan.data_sharding not in ("full", "optimizer+gradients"):
        raise _cannot("data_sharding", "FSDP2 shards optimizer, gradients and weights")
    copies = plan.sharding_groups
    if copies > 1 and (degrees.data % copies or copies >= degrees.data):
        raise _cannot("shard_over", f"{copies} copies do not fit into data {degrees.data}")
    if plan.activation_offload not in (0, 1):
        raise _cannot("activation_offload", "all that a layer saves is offloaded or nothing")
    if plan.recompute.granularity == "selective" or job.recomputes_some:
        raise _cannot("recompute", "all layers are recomputed or none")


def _cannot(field: str, reason: str) -> Inexpressible:
    return Inexpressible(TARGET, field, reason)
