"""A DeepSpeed configuration as a statement: batch, ZeRO, number formats, and a few degrees.

Keys as in DeepSpeed edaa7221 (August 2026): `runtime/config.py`, `runtime/engine.py`,
`runtime/zero/config.py`. "auto" leaves a value to the program that reads the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.importers.deepspeed.batch import Completion
from planner.importers.deepspeed.left_out import left_out
from planner.importers.deepspeed.refusals import setting_problems
from planner.importers.deepspeed.software import switched
from planner.importers.notes import Notes
from planner.importers.shell.text import Origin
from planner.importers.statement import Decision, Statement
from planner.importers.values import Values
from planner.specs.files.json_file import parse_json
from planner.specs.software_words import MOST_STRIDE

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.specs.files.document import Location
    from planner.specs.files.json_file import JsonFile
    from planner.specs.model.spec import ModelSpec

SETTINGS = "a DeepSpeed configuration"
"""What a configuration is called."""
_MARKS = ('"zero_optimization"', '"train_micro_batch_size_per_gpu"', '"train_batch_size"')
_SHARDINGS = ("none", "optimizer", "optimizer+gradients", "full")
_TYPES = {"fp32": "fp32", "fp16": "fp16", "bf16": "bf16", "bfp16": "bf16"}
_TYPE_NAMES = {
    **_TYPES,
    **dict.fromkeys(("float32", "float", "torch.float32"), "fp32"),
    **dict.fromkeys(("float16", "half", "torch.float16"), "fp16"),
    **dict.fromkeys(("bfloat16", "torch.bfloat16"), "bf16"),
}
"""What `runtime/config.py` (DtypeEnum) takes for a type of data."""
_OPTIMIZERS = {"adam": "adam", "adamw": "adam", "fusedadam": "adam", "cpuadam": "adam",
               "muadam": "adam", "muadamw": "adam", "sgd": "sgd", "musgd": "sgd",
               "lion": "lion", "fusedlion": "lion", "cpulion": "lion", "muon": "muon",
               "adafactor": "adafactor"}  # fmt: skip
_DEVICES = {"none": "none", "cpu": "cpu", "nvme": "nvme"}
_PLACES: dict[str, Location] = {
    "micro_batch_size": ("train_micro_batch_size_per_gpu",),
    "global_batch_size": ("train_batch_size",),
    "data": ("train_batch_size",),
    "data_sharding": ("zero_optimization", "stage"),
    "shard_over": ("zero_optimization", "zero_hpz_partition_size"),
    "activation_offload": ("activation_checkpointing", "cpu_checkpointing"),
    "optimizer_offload": ("zero_optimization", "offload_optimizer"),
    "weight_offload": ("zero_optimization", "offload_param"),
    "pipeline": ("pipeline", "stages"),
    "tensor": ("tensor_parallel", "autotp_size"),
    "expert": ("expert_parallel", "autoep_size"),
    "context": ("sequence_parallel_size",),
    "recompute": ("pipeline", "activation_checkpoint_interval"),
}


def looks_like_deepspeed(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def deepspeed_statement(source: Source, given: ModelSpec | None) -> Statement:
    """Raises: InputError at the key that is wrong, and without a model."""
    file = parse_json(source.text, source.path)
    file.mapping(file.tree)
    if not looks_like_deepspeed(source.text):
        raise file.error(
            "is JSON, but neither a plan document nor a DeepSpeed configuration: it has no "
            "zero_optimization, train_batch_size or train_micro_batch_size_per_gpu"
        )
    if given is None:
        raise file.error("a DeepSpeed configuration does not say which model", hint="give --model")
    return _Reader(file, source.sha256).statement(given)


class _Reader:
    """Reads a configuration key by key, keeping notes."""

    def __init__(self, file: JsonFile, sha256: str) -> None:
        self._file = file
        self._sha256 = sha256
        self._notes = Notes()
        self._read = Values(file)

    def statement(self, model: ModelSpec) -> Statement:
        batch = self._read.whole("train_batch_size")
        micro = self._read.whole("train_micro_batch_size_per_gpu")
        precision = self._precision()
        sharding = _SHARDINGS[self._read.whole("zero_optimization", "stage", least=0, most=3) or 0]
        decisions: dict[str, Decision] = {
            "schedule": "1f1b",
            "virtual_stages": 1,
            "sequence_parallel": False,
            "data_sharding": sharding,
            **self._degrees(),
        }
        group = self._group(sharding)
        if group is not None:
            decisions["shard_over"] = group[1]
        decisions |= self._offload(sharding)
        workload: dict[str, int | str] = {**self._optimizer()}
        if precision is not None:
            workload["precision"] = precision
        if batch is not None:
            workload["global_batch_size"] = batch
        if micro is not None:
            decisions["micro_batch_size"] = micro
        changes = self._changes(sharding)
        changes["group"] = None if group is None else group[0]
        completion = Completion(
            steps=self._read.whole("gradient_accumulation_steps"),
            replicas=self._read.whole("data_parallel_size"),
            notes=self._notes,
            checkpoints_on_host=bool(
                self._read.flag("activation_checkpointing", "cpu_checkpointing")
            ),
        )
        self._notes.left_out += left_out(self._file.tree, self._read.automatic)
        return Statement(
            kind=SETTINGS,
            path=self._file.path,
            sha256=self._sha256,
            model=model,
            software="deepspeed",
            switch=lambda profile, chosen: switched(profile, changes, sharding, chosen),
            workload=workload,
            decisions=decisions,
            devices=None,
            settle=completion.settled,
            problems=tuple(setting_problems(self._file.tree)),
            notes=self._notes,
            place=self._place,
        )

    def _place(self, name: str) -> Origin:
        """Of a decision by its name, or of a key by its path."""
        place = self._file.place(_PLACES.get(name) or tuple(name.split(".")))
        path = self._file.path
        return Origin(path, place.line, place.column) if place else Origin(path, 1, 1)

    def _precision(self) -> str | None:
        """None where "auto" leaves it open."""
        on = [
            name
            for name, key in (("fp16", "fp16"), ("bf16", "bf16"), ("bf16", "bfloat16"))
            if self._read.flag(key, "enabled")
        ]
        if len(set(on)) > 1:
            raise self._read.file.error("fp16 and bf16 are both enabled", ("bf16", "enabled"))
        if on:
            return on[0]
        if any(name.endswith(".enabled") for name in self._read.automatic):
            return None
        self._notes.assumed.append("precision fp32 (neither fp16 nor bf16 is enabled)")
        return "fp32"

    def _degrees(self) -> dict[str, Decision]:
        found: dict[str, Decision] = {}
        for axis in ("pipeline", "tensor", "context", "expert"):
            size = self._read.whole(*map(str, _PLACES[axis]), most=100_000)
            if size is not None:
                found[axis] = size
        interval = self._read.whole("pipeline", "activation_checkpoint_interval", least=0)
        if interval is not None:
            found["recompute"] = "full" if interval else "none"
        if interval is not None and interval > 1:
            self._notes.left_out.append(
                f"pipeline.activation_checkpoint_interval {interval}: one input is kept for each "
                "layer here"
            )
        return found

    def _group(self, sharding: str) -> tuple[str, int] | None:
        """What a part of the replicas holds a copy of, and how many they are: hpZ or MiCS."""
        zero = "zero_optimization"
        of_weights = self._read.whole(zero, "zero_hpz_partition_size")
        of_states = self._read.whole(zero, "mics_shard_size", least=-1)
        if sharding != "full":
            return None
        if of_states is not None and of_states > 1:
            return "states", of_states
        if of_weights is not None and of_weights > 1:
            return "weights", of_weights
        return None

    def _offload(self, sharding: str) -> dict[str, Decision]:
        """A share of the optimizer, and whether weights are on the host. `ratio` counts in stage 3
        (`runtime/zero/offload_config.py`), the older switches are on or off. Weights on NVMe are
        planned for in host memory."""
        optimizer = self._offloaded("offload_optimizer", "cpu_offload")
        weights = self._offloaded("offload_param", "cpu_offload_param")
        ratio = (
            self._read.at("zero_optimization", "offload_optimizer", "ratio") if optimizer else None
        )
        share = 1.0 if optimizer else 0.0
        if ratio is not None and sharding == "full":
            if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
                place = ("zero_optimization", "offload_optimizer", "ratio")
                raise self._read.error("expected a share from 0 to 1", place, ratio)
            share = round(float(ratio), 3)
        return {
            **({"optimizer_offload": share} if optimizer else {}),
            **({"weight_offload": True} if weights else {}),
        }

    def _interleaved(self) -> dict[str, Any]:
        """Sub-groups that the device updates (DataStates/DeepSpeed, branch deep-optimizer-states,
        `runtime/zero/offload_config.py`, which takes 0 and 1 for false and true)."""
        place = ("zero_optimization", "offload_optimizer")
        if not isinstance(self._read.at(*place), dict):
            return {}
        on = self._read.at(*place, "prefetch_optimizer")
        if on not in (None, 0, 1):
            raise self._read.error("expected true or false", (*place, "prefetch_optimizer"), on)
        if not on:
            return {}
        stride = self._read.whole(*place, "prefetch_optimizer_gap", least=2, most=MOST_STRIDE)
        if stride is None:
            raise self._read.error(
                "expected prefetch_optimizer_gap beside it", (*place, "prefetch_optimizer"), on
            )
        elements = self._read.whole("zero_optimization", "sub_group_size")
        return {"stride": stride, "sub_group": elements}

    def _offloaded(self, key: str, older: str) -> bool:
        zero = "zero_optimization"
        if isinstance(self._read.at(zero, key), dict):
            device = self._read.word(_DEVICES, zero, key, "device")
            if device == "nvme" and key == "offload_param":
                self._notes.left_out.append(
                    f"zero_optimization.{key}.device nvme: it is planned for in host memory"
                )
            return device not in (None, "none")
        return bool(self._read.flag(zero, older))

    def _optimizer(self) -> dict[str, str]:
        kind = self._read.at("optimizer", "type")
        if kind is None:
            return {"optimizer": "adam"}
        if not isinstance(kind, str):
            raise self._read.error("expected a name", ("optimizer", "type"), kind)
        known = _OPTIMIZERS.get(kind.lower())
        if known is None:
            self._notes.left_out.append(f"optimizer {kind[:40]}: memory is that of adam")
        return {"optimizer": known or "adam"}

    def _changes(self, sharding: str) -> dict[str, Any]:
        """Fields of the software profile; types of gradients only where they are stated."""
        zero = "zero_optimization"
        overlap = self._read.flag(zero, "overlap_comm")
        if overlap is None:
            overlap = sharding == "full"
        changes: dict[str, Any] = {
            **self._states(),
            "offload_to": self._read.word(_DEVICES, zero, "offload_optimizer", "device")
            if isinstance(self._read.at(zero, "offload_optimizer"), dict)
            else None,
            **self._interleaved(),
            "gradient_dtype": self._read.word(_TYPE_NAMES, "data_types", "grad_accum_dtype"),
            "gradient_reduce_dtype": self._reduced_as(),
            "overlap": _overlap(sharding) if overlap else (),
        }
        elements = self._read.at(zero, "reduce_bucket_size")
        if elements is not None:
            if isinstance(elements, bool) or not isinstance(elements, int | float):
                raise self._read.error("expected a number", (zero, "reduce_bucket_size"), elements)
            if not 1 <= elements <= 10**12:
                raise self._read.error("expected elements", (zero, "reduce_bucket_size"), elements)
            changes["bucket_elements"] = int(elements)
        return changes

    def _reduced_as(self) -> str | None:
        """The type in which gradients travel: fp32 where ranks divide sequences, unless another is
        stated for them (`runtime/engine.py`, _configure_distributed_model)."""
        if (self._read.whole("sequence_parallel_size") or 1) > 1:
            return self._read.word(_TYPES, "seq_parallel_communication_data_type") or "fp32"
        return self._read.word(_TYPES, "communication_data_type")

    def _states(self) -> dict[str, Any]:
        """No master weights where weights and gradients stay in 16 bits, and then moments may, too
        (`runtime/base_optimizer.py`)."""
        bf16 = "bf16" if isinstance(self._read.at("bf16"), dict) else "bfloat16"
        without = self._read.flag(bf16, "bf16_master_weights_and_grads")
        if without and self._read.flag(bf16, "bf16_optimizer_states"):
            return {"master_weights": False, "optimizer_state_dtype": "bf16"}
        if without or self._read.flag("fp16", "fp16_master_weights_and_grads"):
            return {"master_weights": False}
        return {}


def _overlap(sharding: str) -> tuple[str, ...]:
    """What `overlap_comm` puts beside computation: reductions, and in stage 3 gathers too
    (`runtime/zero/parameter_offload.py`, `__allgather_stream`)."""
    return ("gradient_reduce", "parameter_gather") if sharding == "full" else ("gradient_reduce",)
