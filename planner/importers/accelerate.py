"""An Accelerate configuration file as a statement: degrees and sharding of FSDP.

Keys as in huggingface/accelerate 16cb6eb8 (July 2026): `commands/launch.py`,
`utils/dataclasses.py` (FullyShardedDataParallelPlugin), `parallelism_config.py`. Model and batch
are arguments of the training program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from planner.importers.notes import Notes, listed
from planner.importers.statement import Decision, Settled, Statement
from planner.importers.values import Values, decided_at

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.specs.files.document import Location
    from planner.specs.model.spec import ModelSpec

KIND = "an Accelerate configuration"

_FSDP, _PARALLEL = "fsdp_config", "parallelism_config"
_PRECISIONS = {"no": "fp32", "fp16": "fp16", "bf16": "bf16", "fp8": "fp8"}
_FULL, _GRADIENTS = "full", "optimizer+gradients"
_STRATEGIES = {
    "FULL_SHARD": (_FULL, False),
    "SHARD_GRAD_OP": (_GRADIENTS, False),
    "NO_SHARD": ("none", False),
    "HYBRID_SHARD": (_FULL, True),
    "HYBRID_SHARD_ZERO2": (_GRADIENTS, True),
}
"""`fsdp_sharding_strategy` of FSDP's first version, by name or by number from 1: what replicas
share, and whether within nodes alone."""
_NUMBERED = {str(number): name for number, name in enumerate(_STRATEGIES, start=1)}
_OTHERS = {
    "DEEPSPEED": "read the file that its deepspeed_config_file names",
    "MEGATRON_LM": "write its settings as flags of Megatron-LM",
    "MULTI_GPU": "its replicas share nothing: choose a --software and give the degrees",
}
_PLACES: dict[str, Location] = {
    "tensor": (_PARALLEL, "parallelism_config_tp_size"),
    "context": (_PARALLEL, "parallelism_config_cp_size"),
    "shard_over": (_PARALLEL, "parallelism_config_dp_replicate_size"),
    "data_sharding": (_FSDP, "fsdp_reshard_after_forward"),
    "weight_offload": (_FSDP, "fsdp_offload_params"),
    "optimizer_offload": (_FSDP, "fsdp_offload_params"),
    "recompute": (_FSDP, "fsdp_activation_checkpointing"),
    "precision": ("mixed_precision",),
    "devices": ("num_processes",),
}


def looks_like_accelerate(source: Source) -> bool:
    return "distributed_type:" in source.text and (
        "compute_environment:" in source.text or "fsdp_config:" in source.text
    )


def accelerate_statement(source: Source, given: ModelSpec | None) -> Statement:
    """Raises: InputError at the key that is wrong, without a model, and for a configuration that
    trains by another framework."""
    document = source.yaml()
    read = Values(document)
    kind = read.at("distributed_type")
    if kind != "FSDP":
        hint = _OTHERS.get(str(kind).upper())
        raise document.error(
            f"{KIND} of type {str(kind)[:40]} is not read; FSDP is",
            ("distributed_type",),
            hint=hint,
        )
    if given is None:
        raise document.error(f"{KIND} does not say which model", hint="give --model")
    notes = Notes()
    devices = read.whole("num_processes")
    machines = read.whole("num_machines") or 1
    decisions = {
        "schedule": "1f1b",
        "virtual_stages": 1,
        "sequence_parallel": False,
        **_degrees(read),
        **_sharding(read, devices, machines),
    }
    if read.flag(_FSDP, "fsdp_activation_checkpointing"):
        decisions["recompute"] = "full"
    if read.flag(_FSDP, "fsdp_offload_params"):
        decisions |= {"weight_offload": True, "optimizer_offload": 1.0}
    notes.read.append(f"{KIND} of FSDP {_version(read)}")
    if read.automatic:
        notes.left_out.append(f'"auto": {listed(read.automatic)}')
    return Statement(
        kind=KIND,
        path=source.path,
        sha256=source.sha256,
        model=given,
        software="accelerate-fsdp2",
        switch=lambda profile, precision: profile,
        workload=_precision(read),
        decisions=decisions,
        devices=devices,
        settle=lambda decided, workload, count: _settled(notes, decided, workload, count),
        notes=notes,
        place=lambda name: decided_at(document, _PLACES.get(name, ())),
    )


def _version(read: Values) -> int:
    return read.whole(_FSDP, "fsdp_version", most=2) or 1


def _precision(read: Values) -> dict[str, int | str]:
    stated = read.at("mixed_precision")
    if stated is False:  # YAML's own reading of no
        return {"precision": "fp32"}
    found = read.word(_PRECISIONS, "mixed_precision")
    return {} if found is None else {"precision": found}


def _degrees(read: Values) -> dict[str, Decision]:
    if (read.whole(_PARALLEL, "parallelism_config_sp_size") or 1) > 1:
        at = (_PARALLEL, "parallelism_config_sp_size")
        raise read.error(
            "sequences divided by DeepSpeed belong to its configuration", at, "sp_size"
        )
    names = {"tensor": "parallelism_config_tp_size", "context": "parallelism_config_cp_size"}
    sizes = {axis: read.whole(_PARALLEL, name) for axis, name in names.items()}
    return {axis: 1 if size is None else size for axis, size in sizes.items()}


def _sharding(read: Values, devices: int | None, machines: int) -> dict[str, Decision]:
    """What replicas share, and among how many of them."""
    sharding, in_nodes = _strategy(read)
    if sharding == "none":
        at = (_FSDP, "fsdp_sharding_strategy")
        raise read.error("replicas that share nothing are not planned with FSDP", at, "NO_SHARD")
    if in_nodes:
        shared = None if devices is None or machines == 1 else devices // machines
        return {"data_sharding": sharding, **({} if shared is None else {"shard_over": shared})}
    copies = read.whole(_PARALLEL, "parallelism_config_dp_replicate_size") or 1
    shards = read.whole(_PARALLEL, "parallelism_config_dp_shard_size") or 1
    context = read.whole(_PARALLEL, "parallelism_config_cp_size") or 1
    group: dict[str, Decision] = {"shard_over": shards * context} if copies > 1 else {}
    return {"data_sharding": sharding, **group}


def _strategy(read: Values) -> tuple[str, bool]:
    """What replicas share, and whether within nodes alone; in the second version whether weights
    are gathered again says the first."""
    for key in ("fsdp_reshard_after_forward", "fsdp_sharding_strategy"):
        stated = read.at(_FSDP, key)
        if isinstance(stated, bool):
            return (_FULL if stated else _GRADIENTS), False
        if stated is not None:
            name = _NUMBERED.get(str(stated), str(stated))
            if name not in _STRATEGIES:
                names = ", ".join(_STRATEGIES)
                raise read.error(f"expected one of {names}", (_FSDP, key), stated)
            return _STRATEGIES[name]
    return _FULL, False


def _settled(
    notes: Notes,
    decided: Mapping[str, Decision],
    workload: Mapping[str, int | str],
    devices: int,
) -> Settled:
    """Recomputation and batches, which the training program decides where the user says nothing."""
    decisions = dict(decided)
    if "recompute" not in decisions:
        decisions["recompute"] = "none"
        notes.assumed.append("recompute none (--recompute full where the program asks for it)")
    if "micro_batch_size" not in decisions:
        decisions["micro_batch_size"] = 1
        notes.assumed.append("micro-batch size 1 (nothing states it)")
    replicas = devices // (int(decisions["tensor"]) * int(decisions["context"]))
    batch = int(decisions["micro_batch_size"]) * replicas
    if "global_batch_size" not in workload and batch:
        workload = {**workload, "global_batch_size": batch}
        notes.assumed.append(f"global batch size {batch}: one microbatch for every replica")
    return Settled(decisions=decisions, workload=workload)
