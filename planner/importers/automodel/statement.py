"""A recipe of NeMo AutoModel as a statement: degrees, sharding, pipeline and batch.

Keys as in NVIDIA-NeMo/Automodel 36044ad3 (August 2026): `components/distributed/config.py`,
`components/distributed/pipelining/`, `examples/`; older recipes name the strategy by its class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from planner.importers.automodel.model import (
    AT,
    KIND,
    SOFTWARE,
    STEP,
    recipe_model,
    stated_workload,
)
from planner.importers.automodel.pipeline import pipeline_decisions, stated_stage_layers
from planner.importers.notes import Notes
from planner.importers.statement import Decision, Settled, Statement
from planner.importers.values import Values, decided_at
from planner.specs.files.document import document_of
from planner.specs.model.build import build_model

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.specs.files.document import Document, Location
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile

_DEGREES = {"tensor": "tp_size", "pipeline": "pp_size", "context": "cp_size", "expert": "ep_size"}
_DISPATCHERS = {"deepep": "deepep", "hybridep": "hybridep", "torch": "allgather"}
_TYPES = {"bfloat16": "bf16", "bf16": "bf16", "float32": "fp32", "fp32": "fp32"}
_MOMENTS = {**_TYPES, "float16": "fp16", "uint8": "fp8"}
_REFUSED = {
    "peft": "adapters, which alone are trained, are not planned",
    "teacher_model": "a teacher beside the model is not planned",
}
_PLACES: dict[str, Location] = {
    **{axis: (AT, name) for axis, name in _DEGREES.items()},
    "shard_over": (AT, "dp_replicate_size"),
    "data_sharding": (AT, "reshard_after_forward"),
    "recompute": (AT, "activation_checkpointing"),
    "sequence_parallel": (AT, "sequence_parallel"),
    "schedule": (AT, "pipeline", "pp_schedule"),
    "virtual_stages": (AT, "pipeline", "layers_per_stage"),
    "stage_layers": (AT, "pipeline", "module_fqns_per_model_part"),
    "micro_batch_size": (STEP, "local_batch_size"),
    "global_batch_size": (STEP, "global_batch_size"),
    "dispatcher": ("model", "backend", "dispatcher"),
    "precision": ("model", "torch_dtype"),
    "seq_length": ("dataset",),
    "devices": (AT, "dp_size"),
}


def recipe_statement(source: Source, given: ModelSpec | None) -> Statement:
    """Raises: InputError at the key that is wrong, and for a way of training that is not
    planned."""
    document = source.yaml()
    read = Values(document)
    _refuse(read)
    _stored(read)
    notes = Notes()
    if given is None:
        found, notes = recipe_model(document, None)
        given = build_model(document_of(found, source.path), name=source.stem)
    degrees: dict[str, int] = {
        axis: _size(read, name) or 1 for axis, name in _DEGREES.items() if axis != "expert"
    }
    expert = _size(read, "ep_size") if given.moe is not None else None
    layers = stated_stage_layers(read) if degrees["pipeline"] > 1 else None
    decisions: dict[str, Decision] = {
        **degrees,
        **({} if given.moe is None else {"expert": expert or 1, **_dispatcher(read)}),
        "sequence_parallel": bool(read.flag(AT, "sequence_parallel")) and degrees["tensor"] > 1,
        "recompute": _recompute(read),
        "data_sharding": _sharding(read, degrees["pipeline"], mixture=given.moe is not None),
        **pipeline_decisions(read, degrees["pipeline"], given.num_layers, layers),
    }
    if read.at(AT, "offload_policy") is not None:
        decisions |= {"weight_offload": True, "optimizer_offload": 1.0}
    copies = _size(read, "dp_replicate_size") or 1
    replicas = _size(read, "dp_size")
    notes.read.append(f"{KIND}: {len(decisions)} decisions")
    return Statement(
        kind=KIND,
        path=source.path,
        sha256=source.sha256,
        model=given,
        software=SOFTWARE,
        switch=lambda profile, precision: _switched(read, profile),
        workload=stated_workload(read),
        decisions=decisions,
        devices=None if replicas is None else replicas * math.prod(degrees.values()),
        stage_layers=layers,
        settle=lambda decided, workload, count: _settled(
            notes,
            decided,
            _with_length(document, given, workload),
            count,
            copies,
            read.whole(STEP, "local_batch_size") or 1,
        ),
        notes=notes,
        place=lambda name: decided_at(document, _PLACES.get(name, ())),
    )


def _size(read: Values, name: str) -> int | None:
    """A degree; "none" leaves it open."""
    return None if read.at(AT, name) == "none" else read.whole(AT, name)


def _with_length(
    document: Document, model: ModelSpec, workload: Mapping[str, int | str]
) -> Mapping[str, int | str]:
    """Raises: InputError where nothing says how long sequences are: the longest that the model
    takes is not that of its data."""
    if "seq_length" in workload or model.training.seq_length is not None:
        return workload
    raise document.error(
        "the recipe does not say how long sequences are", ("dataset",), hint="give --seq-length"
    )


def _refuse(read: Values) -> None:
    for key, why in _REFUSED.items():
        if read.at(key) is not None:
            raise read.file.error(why, (key,))
    strategy = read.at(AT, "strategy") or read.at(AT, "_target_") or "fsdp2"
    if "fsdp2" not in str(strategy).lower():
        raise read.error("only FSDP2 is read", (AT, "strategy"), strategy)
    if read.flag("fp8", "enabled") or read.at("model", "backend", "te_fp8") is not None:
        at = ("fp8",) if read.at("fp8") is not None else ("model", "backend", "te_fp8")
        raise read.file.error("training in 8 bits is not planned for AutoModel", at)


def _stored(read: Values) -> str:
    """The type in which weights are stored: bf16, as published weights are, unless stated. Layers
    run in bf16 either way (config.py, FSDP2Config.mp_policy)."""
    stated = read.at("model", "torch_dtype")
    name = str(stated or "bf16").removeprefix("torch.")
    if name not in _TYPES:
        raise read.error(f"expected one of {', '.join(_TYPES)}", ("model", "torch_dtype"), stated)
    return _TYPES[name]


def _recompute(read: Values) -> str:
    for at in ((AT, "activation_checkpointing"), ("parallelizer", "activation_checkpointing")):
        stated = read.at(*at)
        if stated is None:
            continue
        if stated in ("full", True, False):
            return "full" if stated else "none"
        raise read.error("expected true, false or full, which are planned", at, stated)
    return "none"


def _sharding(read: Values, pipeline: int, *, mixture: bool) -> str:
    """Weights stay gathered after the forward pass in pipelines and in mixtures, unless told
    otherwise (config.py, MoEParallelizerConfig; parallelizer.py)."""
    at = (AT, "moe", "reshard_after_forward") if mixture else (AT, "reshard_after_forward")
    stated = read.flag(*at)
    again = stated if stated is not None else not (mixture or pipeline > 1)
    return "full" if again else "optimizer+gradients"


def _dispatcher(read: Values) -> dict[str, Decision]:
    found = read.word(_DISPATCHERS, "model", "backend", "dispatcher")
    return {} if found is None else {"dispatcher": found}


def _switched(read: Values, profile: SoftwareProfile) -> SoftwareProfile:
    """As the weights are stored, whose type gradients and moments have, and as the optimizer is
    told: Transformer Engine's keeps master weights, or what bf16 weights lack of them, and moments
    of other types."""
    if _stored(read) == "fp32":
        wide = {"master_weights": True, "gradient_dtype": "fp32", "optimizer_state_dtype": "fp32"}
        return profile.model_copy(update=wide)
    if not read.flag("optimizer", "master_weights"):
        return profile
    remainders = read.flag("optimizer", "store_param_remainders")
    first, second = (
        _MOMENTS.get(str(read.at("optimizer", name) or "float32").removeprefix("torch."), "fp32")
        for name in ("exp_avg_dtype", "exp_avg_sq_dtype")
    )
    return profile.model_copy(
        update={
            "master_weights": True,
            "master_weight_dtype": "remainders" if remainders else "fp32",
            "optimizer_state_dtype": first,
            "second_moment_dtype": None if second == first else second,
        }
    )


def _settled(
    notes: Notes,
    decided: Mapping[str, Decision],
    workload: Mapping[str, int | str],
    devices: int,
    copies: int,
    local: int,
) -> Settled:
    """How many ranks share a copy of the weights, once the number of devices is known. A pipeline
    runs a local batch at a time, and is empty after it."""
    decisions = dict(decided)
    stages = int(decisions["pipeline"])
    ranks = devices // (int(decisions["tensor"]) * stages)
    if copies > 1 and ranks % copies == 0:
        decisions["shard_over"] = ranks // copies
    batch, replicas = int(workload.get("global_batch_size", 0)), ranks // int(decisions["context"])
    if stages > 1 and replicas and batch > local * replicas:
        notes.left_out.append(
            f"pipelines of {local} sequences (local_batch_size), one after the other: a step's "
            "microbatches are planned as one pipeline"
        )
    return Settled(decisions=decisions, workload=dict(workload))
