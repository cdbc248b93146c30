"""A configuration file of torchtitan as a statement: its model, degrees, sharding and batch.

Sections of its TOML as in pytorch/torchtitan of 2025, `torchtitan/config/job_config.py`: later
configurations are Python. Older files have degrees under [training] and [experimental].
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.importers.notes import Notes
from planner.importers.statement import Decision, Settled, Statement
from planner.importers.torchtitan import flavor_model
from planner.importers.torchtitan_software import SECTIONS, precision_of, switched
from planner.importers.values import Values, decided_at
from planner.specs.files.document import document_of
from planner.specs.files.toml_file import parse_toml
from planner.specs.model.build import build_model

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.specs.files.document import Document, Location
    from planner.specs.model.spec import ModelSpec

KIND = "a torchtitan configuration"
SOFTWARE, OF_OLD_FILES = "torchtitan", "torchtitan-2024-12"

_DEGREES = {
    "tensor": "tensor_parallel_degree",
    "pipeline": "pipeline_parallel_degree",
    "context": "context_parallel_degree",
}
_SCHEDULES = {
    "1f1b": "1f1b",
    "gpipe": "gpipe",
    "interleaved1f1b": "interleaved",
    "loopedbfs": "looped-bfs",
    "zbvzerobubble": "zb-v",
    "dualpipev": "dualpipe-v",
}
_PLACES: dict[str, tuple[str, ...]] = {
    **{axis: ("parallelism", name) for axis, name in _DEGREES.items()},
    "expert": ("parallelism", "expert_parallel_degree"),
    "expert_tensor": ("parallelism", "expert_tensor_parallel_degree"),
    "shard_over": ("parallelism", "data_parallel_replicate_degree"),
    "data_sharding": ("parallelism", "fsdp_reshard_after_forward"),
    "schedule": ("parallelism", "pipeline_parallel_schedule"),
    "virtual_stages": ("parallelism", "pipeline_parallel_layers_per_stage"),
    "recompute": ("activation_checkpoint", "mode"),
    "micro_batch_size": ("training", "local_batch_size"),
    "global_batch_size": ("training", "global_batch_size"),
    "seq_length": ("training", "seq_len"),
    "precision": ("training", "mixed_precision_param"),
}
_MARK = re.compile(r"^\[(?:parallelism|activation_checkpoint|experimental)\]", re.MULTILINE)


def looks_like_toml(source: Source) -> bool:
    """Whether a file is a configuration of torchtitan, by its name and its sections."""
    return source.path.lower().endswith(".toml") and _MARK.search(source.text) is not None


def toml_model(source: Source) -> tuple[dict[str, Any], Notes]:
    """The model that a configuration names, with its batch. Raises: InputError at its flavor, for
    one whose sizes are not known."""
    read = Values(parse_toml(source.text, source.path))
    model, notes = _flavor(read)
    model["training"] = {**_workload(read), "software": _software(read)}
    return model, notes


def toml_statement(source: Source, given: ModelSpec | None) -> Statement:
    """Raises: InputError at the key that is wrong, and for what is not planned."""
    document = parse_toml(source.text, source.path)
    read = Values(document)
    notes = Notes()
    if given is None:
        found, notes = _flavor(read)
        given = build_model(document_of(found, source.path), name=source.stem)
    degrees = {axis: _degree(read, name) for axis, name in _DEGREES.items()}
    decisions: dict[str, Decision] = {
        **degrees,
        **(_experts(read, degrees["tensor"]) if given.moe is not None else {}),
        "sequence_parallel": degrees["tensor"] > 1,
        "recompute": _recompute(read, notes),
        **_pipeline(read, degrees["pipeline"], given.num_layers),
    }
    if read.flag("training", "enable_cpu_offload"):
        decisions |= {"weight_offload": True, "optimizer_offload": 1.0}
    notes.read.append(f"{KIND}: {len(decisions)} decisions")
    return Statement(
        kind=KIND,
        path=source.path,
        sha256=source.sha256,
        model=given,
        software=_software(read),
        switch=lambda profile, precision: switched(read, profile),
        workload=_workload(read),
        decisions=decisions,
        devices=_devices(read, degrees),
        settle=lambda decided, workload, count: _settled(read, decided, workload, count),
        notes=notes,
        place=lambda name: decided_at(document, _known(document, name)),
    )


def _software(read: Values) -> str:
    """Configurations of 2024 have no section of parallelism; degrees stand under two others."""
    old = any(
        read.at(section, name) is not None
        for section in ("experimental", "training")
        for name in (*_DEGREES.values(), "data_parallel_shard_degree")
    )
    return OF_OLD_FILES if old and read.at("parallelism") is None else SOFTWARE


def _known(document: Document, name: str) -> Location:
    """The place of a decision, in the section that has it."""
    section, key = _PLACES.get(name, ("", ""))
    found = ((one, key) for one in (section, *SECTIONS) if (one, key) in document.marks)
    return next(found, (section,))


def _flavor(read: Values) -> tuple[dict[str, Any], Notes]:
    name, flavor = read.at("model", "name"), read.at("model", "flavor")
    if name is None or flavor is None:
        key = "flavor" if name is not None else "name"
        raise read.file.error(f"{key} is missing", ("model",))
    try:
        model, notes, _ = flavor_model(f"{name} {flavor}")
    except InputError as error:
        said = error.message if error.hint is None else f"{error.message}; {error.hint}"
        raise read.file.error(f"{said}; or give --model", ("model", "flavor")) from error
    return model, notes


def _workload(read: Values) -> dict[str, int | str]:
    found: dict[str, int | str] = {"precision": precision_of(read)}
    batch = read.at("training", "global_batch_size")
    if isinstance(batch, int) and batch > 0:
        found["global_batch_size"] = batch
    length = read.whole("training", "seq_len")
    if length is not None:
        found["seq_length"] = length
    return found


def _degree(read: Values, name: str) -> int:
    return next((one for one in (read.whole(s, name) for s in SECTIONS) if one is not None), 1)


def _replicas(read: Values) -> tuple[int, int | None]:
    """Copies of the weights, and ranks that share one; None where that is left open (-1)."""
    copies, shards = 1, None
    for section in SECTIONS:
        copies = read.whole(section, "data_parallel_replicate_degree") or copies
        stated = read.at(section, "data_parallel_shard_degree")
        if isinstance(stated, int) and stated > 0:
            shards = stated
    return copies, shards


def _devices(read: Values, degrees: Mapping[str, int]) -> int | None:
    copies, shards = _replicas(read)
    used = degrees["tensor"] * degrees["pipeline"] * degrees["context"]
    return None if shards is None else copies * shards * used


def _experts(read: Values, tensor: int) -> dict[str, Decision]:
    """Without an expert degree tensor ranks divide the experts, with one they do as stated."""
    expert = _degree(read, "expert_parallel_degree")
    stated = read.whole("parallelism", "expert_tensor_parallel_degree")
    return {"expert": expert, "expert_tensor": (stated or 1) if expert > 1 else tensor}


def _recompute(read: Values, notes: Notes) -> str:
    """By operator, or all of it; every n-th layer is not planned."""
    at = ("activation_checkpoint", "mode")
    mode = read.word({one: one for one in ("none", "selective", "full")}, *at)
    if mode is None:
        notes.assumed.append("recompute selective (the file states no activation_checkpoint mode)")
        return "selective"
    option = read.at("activation_checkpoint", "selective_ac_option")
    if mode == "selective" and option not in (None, "op"):
        raise read.error(
            "whole layers, every n-th, are not planned; op is",
            ("activation_checkpoint", "selective_ac_option"),
            option,
        )
    return mode


def _pipeline(read: Values, pipeline: int, layers: int) -> dict[str, Decision]:
    local = read.whole("training", "local_batch_size") or read.whole("training", "batch_size") or 1
    if pipeline == 1:
        return {"micro_batch_size": local, "schedule": "1f1b", "virtual_stages": 1}
    section = "parallelism" if read.at("parallelism") is not None else "experimental"
    name = str(read.at(section, "pipeline_parallel_schedule") or "1F1B")
    schedule = _SCHEDULES.get(name.lower())
    if schedule is None:
        at = (section, "pipeline_parallel_schedule")
        raise read.error("expected a schedule of torch.distributed.pipelining", at, name)
    several = schedule not in ("1f1b", "gpipe")
    each = read.whole(section, "pipeline_parallel_layers_per_stage")
    chunks = -(-layers // each) // pipeline if each is not None else 2 if several else 1
    return {
        "micro_batch_size": read.whole(section, "pipeline_parallel_microbatch_size") or 1,
        "schedule": schedule,
        "virtual_stages": max(chunks, 1),
    }


def _settled(
    read: Values,
    decided: Mapping[str, Decision],
    workload: Mapping[str, int | str],
    devices: int,
) -> Settled:
    """Sharding, and the batch that is left out, once the number of devices is known."""
    decisions, job = dict(decided), dict(workload)
    used = int(decisions["tensor"]) * int(decisions["pipeline"]) * int(decisions["context"])
    replicas = devices // used
    copies, shards = _replicas(read)
    each = replicas // copies if shards is None else shards
    again = read.at("parallelism", "fsdp_reshard_after_forward") or "default"
    if each * int(decisions["context"]) <= 1:
        decisions["data_sharding"] = "none"
    elif again == "always" or (again == "default" and decisions["pipeline"] == 1):
        decisions["data_sharding"] = "full"
    else:
        decisions["data_sharding"] = "optimizer+gradients"
    if copies > 1 and decisions["data_sharding"] != "none":
        decisions["shard_over"] = each * int(decisions["context"])
    if "global_batch_size" not in job and replicas:
        local = read.whole("training", "local_batch_size") or read.whole("training", "batch_size")
        job["global_batch_size"] = (local or 1) * replicas
    return Settled(decisions=decisions, workload=job)
