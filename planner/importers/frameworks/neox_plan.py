"""A configuration of GPT-NeoX as a statement: degrees, ZeRO, recomputation and batch.

Keys and defaults as in EleutherAI/gpt-neox, `megatron/neox_arguments/` (2024 on): DeepSpeed's
engine under a fork of Megatron-LM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from planner.importers.frameworks import neox
from planner.importers.notes import Notes
from planner.importers.statement import Decision, Settled, Statement
from planner.importers.values import Values, decided_at
from planner.specs.files.document import document_of
from planner.specs.model.build import build_model

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.specs.files.document import Location
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile

KIND = "a GPT-NeoX configuration"
SOFTWARE = "megatron-deepspeed-2022"

_SHARDING = ("none", "optimizer")
_KEYS = {
    "tensor": "model_parallel_size",
    "pipeline": "pipe_parallel_size",
    "micro_batch_size": "train_micro_batch_size_per_gpu",
    "global_batch_size": "train_batch_size",
    "recompute": "checkpoint_activations",
    "data_sharding": "zero_optimization",
    "seq_length": "seq_length",
    "precision": "precision",
}


_MARK = re.compile(r"^[ {]*[\"']?(?:pipe|model)[-_]parallel[-_]size[\"']?[ \t]*:", re.MULTILINE)


def looks_like_neox(source: Source) -> bool:
    """Whether a file of YAML is a configuration of GPT-NeoX, as far as its first keys say so."""
    named = source.path.lower().endswith((".yml", ".yaml"))
    return named and "trainer:" not in source.text and _MARK.search(source.text) is not None


def neox_statement(source: Source, given: ModelSpec | None, vocabulary: int | None) -> Statement:
    """Raises: InputError at what is wrong, and for a way of training that is not planned."""
    document = source.yaml()
    read = _Keys(document.tree, Values(document))
    notes = Notes()
    found, read_notes = neox.model(document, vocabulary)
    if given is None:
        notes = read_notes
        given = build_model(document_of(found, source.path), name=source.stem)
    _refuse(read)
    workload = {"precision": "fp32", **found["training"]}
    decisions: dict[str, Decision] = {
        "tensor": read.whole("model_parallel_size") or 1,
        "pipeline": read.whole("pipe_parallel_size") or 1,
        "context": 1,
        "schedule": "1f1b",
        "virtual_stages": 1,
        "sequence_parallel": False,
        "micro_batch_size": read.whole("train_micro_batch_size_per_gpu") or 1,
        "recompute": "full" if read.flag("checkpoint_activations") else "none",
        "data_sharding": _sharding(read, str(workload["precision"])),
    }
    flash = "flash" in str(read.at("attention_config"))
    notes.read.append(f"{KIND}: {len(decisions)} decisions")
    return Statement(
        kind=KIND,
        path=source.path,
        sha256=source.sha256,
        model=given,
        software=SOFTWARE,
        switch=lambda profile, precision: _switched(profile, flash=flash),
        workload=workload,
        decisions=decisions,
        devices=None,
        settle=lambda decided, stated, count: _settled(read, decided, stated, count),
        notes=notes,
        place=lambda name: decided_at(document, read.place(_KEYS.get(name, name))),
    )


class _Keys:
    """Values by their names with underscores, which a file may write with dashes."""

    def __init__(self, tree: Mapping[str, object], values: Values) -> None:
        self._names = {key.replace("-", "_"): key for key in tree}
        self.values = values

    def place(self, key: str) -> Location:
        return (self._names.get(key, key),)

    def at(self, key: str, *inner: str) -> object:
        found: object = self.values.at(self._names.get(key, key), *inner)
        return found

    def whole(self, key: str, *inner: str) -> int | None:
        return self.values.whole(self._names.get(key, key), *inner, least=0)

    def flag(self, key: str) -> bool:
        return bool(self.values.flag(self._names.get(key, key)))


def _refuse(read: _Keys) -> None:
    """Raises: InputError for what the profile does not have."""
    for key, what in (
        ("sequence_parallel", "sequence parallelism is not planned for GPT-NeoX"),
        ("use_mup", "models of widths by muP are not planned"),
    ):
        if read.flag(key):
            raise read.values.file.error(what, read.place(key))
    for key in ("cpu_offload", "offload_optimizer", "offload_param"):
        if read.at("zero_optimization", key):
            at = (*read.place("zero_optimization"), key)
            raise read.values.file.error("offloading is not planned for GPT-NeoX", at)


def _sharding(read: _Keys, precision: str) -> str:
    """DeepSpeed's optimizer of bf16 shards its states without ZeRO, too (`bf16_optimizer.py`)."""
    stage = read.whole("zero_optimization", "stage") or 0
    if stage >= len(_SHARDING):
        at = (*read.place("zero_optimization"), "stage")
        raise read.values.file.error(f"stage {stage} is not planned for GPT-NeoX; 0 and 1 are", at)
    return "optimizer" if precision == "bf16" else _SHARDING[stage]


def _switched(profile: SoftwareProfile, *, flash: bool) -> SoftwareProfile:
    return profile.model_copy(update={"attention": "flash"}) if flash else profile


def _settled(
    read: _Keys,
    decided: Mapping[str, Decision],
    workload: Mapping[str, int | str],
    devices: int,
) -> Settled:
    """Without a global batch size it is that of the microbatches of a step."""
    job = dict(workload)
    replicas = devices // (int(decided["tensor"]) * int(decided["pipeline"]))
    if "global_batch_size" not in job and replicas:
        turns = read.whole("gradient_accumulation_steps") or 1
        job["global_batch_size"] = int(decided["micro_batch_size"]) * turns * replicas
    return Settled(decisions=dict(decided), workload=job)
