"""NeMo AutoModel: a recipe in YAML (36044ad3, August 2026) that trains on made-up tokens.

`nemo_automodel/components/distributed/` (config.py, mesh_utils.py, pipelining/config.py),
`components/models/common/utils.py` (BackendConfig), `examples/llm_benchmark/`. The model is one
that is published on the Hub, found by its sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.exporters.errors import Inexpressible
from planner.exporters.job import needs_framework
from planner.exporters.torch_pipelining import module_names
from planner.importers.published.sizes import published_like
from planner.training.search.layouts.default import layers_of_chunks

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

TARGET = "NeMo AutoModel"
FILE = "automodel.yaml"

_SCHEDULES = {"1f1b": "1f1b", "interleaved": "interleaved1f1b", "gpipe": "gpipe"}
_DISPATCHERS = {"deepep": "deepep", "hybridep": "hybridep", "allgather": "torch"}
_ORDER = "tp-cp-ep-dp-pp"
_SAMPLES = 100_000

Tree = dict[str, Any]


def as_recipe(job: ExportJob) -> str:
    """Raises: Inexpressible, naming the field."""
    needs_framework(job, TARGET, "automodel")
    _refuse(job)
    plan = job.plan
    piped = plan.degrees.pipeline > 1
    recipe: Tree = {
        "recipe": "TrainFinetuneRecipeForNextTokenPrediction",
        "step_scheduler": {
            "global_batch_size": job.job.global_batch_size,
            "local_batch_size": plan.micro_batch_size * (plan.num_microbatches if piped else 1),
        },
        "distributed": _distributed(job),
        "dist_env": {"backend": "nccl"},
        "model": _model(job),
        "loss_fn": {
            "_target_": "nemo_automodel.components.loss.masked_ce.MaskedCrossEntropy",
            "fp32_upcast": False,
        },
        "dataset": {
            "_target_": "nemo_automodel.components.datasets.llm.mock_iterable_dataset."
            "MockIterableDataset",
            "seq_len": job.job.seq_length,
            "num_samples": _SAMPLES,
        },
        "dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": None},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.0001},
        "checkpoint": {"enabled": False},
    }
    import yaml

    title = f"# {TARGET}, {job.title}.\n"
    return title + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


def recipe_notes(job: ExportJob) -> tuple[str, ...]:
    """What the recipe leaves to the user."""
    return ("the recipe trains on made-up tokens: put your own in place of its dataset",)


def _refuse(job: ExportJob) -> None:
    plan, degrees, model = job.plan, job.plan.degrees, job.model
    if plan.placement.order != _ORDER:
        raise _cannot("placement.order", f"{plan.placement.order} is not {_ORDER}")
    if job.job.precision != "bf16":
        raise _cannot("job.precision", f"its recipes train in bf16, not {job.job.precision}")
    if job.job.optimizer != "adam":
        raise _cannot("job.optimizer", f"its recipes train with adam, not {job.job.optimizer}")
    if job.software.master_weights:
        raise _cannot("software.master_weights", "its benchmark recipes store all in 16 bits")
    if model.mtp_num_layers and degrees.pipeline * degrees.context > 1:
        raise _cannot("model.mtp_num_layers", "prediction layers exclude a pipeline and context")
    if plan.data_sharding not in ("full", "optimizer+gradients"):
        raise _cannot("data_sharding", "FSDP2 shards optimizer, gradients and weights")
    if model.moe is not None and degrees.tensor > 1:
        raise _cannot("degrees.tensor", "experts are not split by tensor parallelism")
    if plan.activation_offload:
        raise _cannot("activation_offload", "activations stay on the device")
    if degrees.pipeline > 1 and plan.schedule not in _SCHEDULES:
        raise _cannot("schedule", f"{plan.schedule} is not one of {', '.join(_SCHEDULES)}")
    if plan.recompute.granularity == "selective":
        raise _cannot("recompute.granularity", "its recipes recompute whole layers")
    if job.recomputes_some:
        raise _cannot("recompute.layers_per_stage", "all layers are recomputed or none")


def _distributed(job: ExportJob) -> Tree:
    plan, degrees = job.plan, job.plan.degrees
    copies = plan.sharding_groups
    if copies > 1 and (degrees.data % copies or copies >= degrees.data):
        raise _cannot("shard_over", f"{copies} copies do not fit into data {degrees.data}")
    tree: Tree = {
        "strategy": "fsdp2",
        "tp_size": degrees.tensor,
        "cp_size": degrees.context,
        "pp_size": degrees.pipeline,
        "ep_size": degrees.expert,
        "dp_replicate_size": copies,
        "sequence_parallel": plan.sequence_parallel,
        "activation_checkpointing": plan.recompute.granularity == "full",
        "reshard_after_forward": plan.data_sharding == "full",
    }
    if plan.weight_offload:
        tree["offload_policy"] = {"_target_": "torch.distributed.fsdp.CPUOffloadPolicy"}
    if degrees.expert > 1:
        tree["moe"] = {"reshard_after_forward": plan.data_sharding == "full"}
    if degrees.pipeline > 1:
        tree["pipeline"] = {
            "pp_schedule": _SCHEDULES[plan.schedule],
            "pp_microbatch_size": plan.micro_batch_size,
            "module_fqns_per_model_part": _parts(layers_of_chunks(plan)),
        }
    return tree


def _parts(layers: tuple[int, ...]) -> list[list[str]]:
    """Module names of every chunk in virtual-stage order."""
    parts = module_names(
        layers, layer="model.layers.{}", first="model.embed_tokens", last=("model.norm", "lm_head")
    )
    return [[*part, "model.rotary_emb"] for part in parts]


def _model(job: ExportJob) -> Tree:
    name = published_like(job.model)
    if name is None:
        raise _cannot("model", f"{job.model.name} has the sizes of no published model known here")
    backend: Tree = {"attn": "te", "linear": "te", "rms_norm": "te", "rope_fusion": True}
    if job.model.moe is not None:
        backend |= {"experts": "gmm", "dispatcher": _dispatcher(job)}
    return {
        "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_config",
        "config": {
            "_target_": "transformers.AutoConfig.from_pretrained",
            "pretrained_model_name_or_path": name,
        },
        "torch_dtype": "bfloat16",
        "backend": {
            "_target_": "nemo_automodel.components.models.common.BackendConfig",
            **backend,
            "enable_fsdp_optimizations": True,
        },
    }


def _dispatcher(job: ExportJob) -> str:
    dispatcher = job.plan.dispatcher or job.software.expert.sends_by
    if dispatcher not in _DISPATCHERS:
        raise _cannot("dispatcher", f"{dispatcher} is not one of {', '.join(_DISPATCHERS)}")
    return _DISPATCHERS[dispatcher]


def _cannot(field: str, reason: str) -> Inexpressible:
    return Inexpressible(TARGET, field, reason)
