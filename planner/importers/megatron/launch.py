"""A whole training command: the model, and every decision of a plan that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from planner.errors import InputError
from planner.importers.megatron.decisions import (
    activation_offload,
    attention,
    data_sharding,
    dispatcher,
    offload_modules,
    optimizer_offload,
    overlap,
    precision,
    recompute,
    reduces_in_bf16,
)
from planner.importers.megatron.fields import DEEPSPEED_EXPERT, FIRST_OF, FLAG_OF
from planner.importers.megatron.flags import Flags
from planner.importers.megatron.layout import stage_layout
from planner.importers.megatron.mixture import is_deepspeed
from planner.importers.megatron.model import model_of
from planner.importers.notes import Notes
from planner.importers.shell.text import Origin
from planner.specs.files.document import Document, Mark, document_of
from planner.specs.files.text_file import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a training command decides. Degrees, schedule, recompute and sharding use the names of a
    plan; None where the command leaves the decision to the software profile.

    `model` has the keys of a model file, `training` those of its `training:` block. `expert_tensor`
    is Megatron-LM's default, the tensor degree, for models with experts; Megatron-DeepSpeed divides
    experts only on request. `recompute_layers` counts the layers of each chunk; None means all.
    `places` has the file, line and column of every flag by its name, and `of` says by which flag a
    field was decided; `flags` are those themselves. `files`: paths of the files that were read for
    them beside that of `path`. `node_devices`: devices of a node, where the launch states them.
    `other_work`: what the command does, where it does not train.
    """

    path: str
    script: str
    origin: Origin
    model: Mapping[str, Any]
    training: Mapping[str, Any]
    devices: int | None
    tensor: int
    pipeline: int
    context: int
    expert: int
    expert_tensor: int
    micro_batch_size: int | None
    global_batch_size: int | None
    seq_length: int | None
    precision: str
    virtual_stages: int
    schedule: str
    stage_layers: tuple[int, ...] | None
    recompute: str
    recompute_layers: int | None
    recompute_modules: tuple[str, ...]
    offload_modules: tuple[str, ...]
    sequence_parallel: bool
    data_sharding: str
    optimizer_shards: int
    optimizer_offload: float
    activation_offload: float
    overlap: tuple[str, ...]
    attention: str | None
    gradient_reduce_dtype: str | None
    allocator: str | None
    rank_order: str
    software: str
    notes: Notes = field(compare=False)
    flags: Flags = field(compare=False)
    places: Mapping[str, Origin] = field(compare=False)
    of: Mapping[str, str] = field(compare=False)
    files: tuple[str, ...] = field(default=(), compare=False)
    node_devices: int | None = field(default=None, compare=False)
    other_work: str | None = field(default=None, compare=False)

    @property
    def data(self) -> int | None:
        """Replicas, where the number of devices is known."""
        used = self.tensor * self.pipeline * self.context
        return None if self.devices is None else self.devices // used

    def shard_over(self, devices: int) -> int | None:
        """Ranks that share one sharded optimizer; None for all of them, and where the instances do
        not divide the replicas."""
        each, rest = divmod(devices, self.tensor * self.pipeline * self.optimizer_shards)
        return each if self.optimizer_shards > 1 and each and not rest else None

    def place(self, name: str) -> Origin:
        """The place where a field was decided: that of its flag, or that of the command."""
        return self.places.get(self.of.get(name, name), self.origin)

    def document(self) -> Document:
        """The model as a document in which every entry has the place of its flag."""
        document = document_of(self.model, self.path)
        inner = [(key, field) for key in ("moe", "mla") for field in self.model.get(key, ())]
        for location in ((), *((key,) for key in self.model), *inner):
            origin = self.place(location[-1]) if location else self.origin
            place = Place(origin.line, origin.column)
            document.marks[location] = Mark(origin.path, place, location)
        return document

    def error(self, message: str, name: str, *, hint: str | None = None) -> InputError:
        """An error at the flag that decided a field."""
        place = self.place(name)
        return InputError(message, path=place.path, line=place.line, column=place.column, hint=hint)

    def decisions(self) -> dict[str, tuple[int | float | str | bool, ...]]:
        """One value for each axis of the search space that the command decides; the keys are those
        of `planner.training.search.space.restrictions.Restrictions`."""
        decided: dict[str, int | float | str | bool | None] = {
            "tensor": self.tensor,
            "pipeline": self.pipeline,
            "data": self.data,
            "context": self.context,
            "expert": self.expert,
            "expert_tensor": self.expert_tensor,
            "micro_batch_size": self.micro_batch_size,
            "virtual_stages": self.virtual_stages,
            "schedule": self.schedule,
            "recompute": self.recompute,
            "sequence_parallel": self.sequence_parallel,
            "data_sharding": self.data_sharding,
            **self._of_experts(),
            "optimizer_offload": self.optimizer_offload or None,
            "activation_offload": self.activation_offload or None,
        }
        return {axis: (value,) for axis, value in decided.items() if value is not None}

    def _of_experts(self) -> dict[str, str | bool]:
        """Nothing where nothing is dispatched, as far as Megatron-LM looks at it."""
        overlap = {"expert_overlap": True} if "expert" in self.overlap else {}
        if "moe" not in self.model or self.expert == 1 or is_deepspeed(self.flags):
            return {**overlap}
        return {"dispatcher": dispatcher(self.flags), "expert_overlap": "expert" in self.overlap}


def launch_of(
    flags: Flags,
    notes: Notes,
    *,
    script: str,
    devices: int | None,
    vocabulary: int | None = None,
    usual_vocabulary: int | None = None,
) -> Launch:
    """MindSpeed-LLM's --moe-tp-extend-ep gives tensor ranks whole experts.

    Raises: InputError at a flag that Megatron-LM would refuse or that cannot be understood.
    """
    model = model_of(flags, notes, vocabulary=vocabulary, usual_vocabulary=usual_vocabulary)
    degree = {name: flags.integer(FLAG_OF[name], most=1_000_000) or 1 for name in _DEGREES}
    deepspeed = is_deepspeed(flags)
    if flags.given(DEEPSPEED_EXPERT):
        degree["expert"] = flags.integer(DEEPSPEED_EXPERT, most=1_000_000) or 1
    if extended := flags.given("--moe-tp-extend-ep") and "moe" in model:
        degree["expert"] *= degree["tensor"]
    layout = stage_layout(flags, layers=model["num_layers"], pipeline=degree["pipeline"])
    granularity, layers, modules = recompute(flags, notes)
    experts = "moe" in model and not extended
    if deepspeed:
        experts = experts and flags.given("--enable-expert-tensor-parallelism")
    stated = flags.integer(FLAG_OF["expert_tensor"], most=1_000_000)
    if stated is not None and "moe" not in model:
        notes.assumed.append(f"{FLAG_OF['expert_tensor']} has no effect in a dense model")
        stated = None
    decided = Launch(
        path=flags.path,
        script=script,
        origin=flags.origin,
        model=model,
        training={},
        devices=devices,
        expert_tensor=stated or (degree["tensor"] if experts else 1),
        micro_batch_size=flags.integer("--micro-batch-size"),
        global_batch_size=flags.integer("--global-batch-size"),
        seq_length=flags.integer("--seq-length"),
        precision=precision(flags, notes),
        virtual_stages=layout.virtual_stages,
        schedule="interleaved" if layout.virtual_stages > 1 else "1f1b",
        stage_layers=layout.stage_layers,
        recompute=granularity,
        recompute_layers=layers,
        recompute_modules=modules,
        offload_modules=offload_modules(flags),
        sequence_parallel=flags.given("--sequence-parallel") and degree["tensor"] > 1,
        data_sharding=data_sharding(flags, notes),
        optimizer_shards=flags.integer("--num-distributed-optimizer-instances") or 1,
        optimizer_offload=optimizer_offload(flags),
        activation_offload=activation_offload(flags, model["num_layers"]),
        overlap=overlap(flags, layout.virtual_stages),
        attention=attention(flags),
        gradient_reduce_dtype="bf16" if reduces_in_bf16(flags) else None,
        allocator=None,
        files=(),
        other_work=None,
        rank_order="tp-cp-ep-pp-dp" if flags.given("--use-tp-pp-dp-mapping") else "tp-cp-ep-dp-pp",
        software=_software(flags, mixture="moe" in model),
        notes=notes,
        flags=flags,
        places={},
        of={},
        **degree,
    )
    return _with_training(decided, flags, notes)


def _software(flags: Flags, *, mixture: bool) -> str:
    if mixture and is_deepspeed(flags):
        return "megatron-deepspeed-moe"
    return "megatron-deepspeed-2022" if flags.given("--deepspeed") else "megatron-core"


_DEGREES = ("tensor", "pipeline", "context", "expert")
_OPTIMIZERS = {name: name for name in ("adam", "sgd", "lion", "muon")} | {"dist_muon": "muon"}


def _with_training(launch: Launch, flags: Flags, notes: Notes) -> Launch:
    optimizer = flags.text("--optimizer") or "adam"
    if optimizer not in _OPTIMIZERS:
        notes.left_out.append(f"--optimizer {optimizer}: memory is that of adam")
    if flags.given("--rampup-batch-size"):
        notes.left_out.append("--rampup-batch-size: the full batch is planned for")
    ways = flags.words("--cp-comm-type") or ("p2p",)
    if len(set(ways)) > 1 or ways[0] == "all_gather":
        notes.left_out.append(
            f"--cp-comm-type {' '.join(ways)[:60]}: keys and values are sent around a ring"
        )
    training: dict[str, Any] = {
        "global_batch_size": launch.global_batch_size,
        "seq_length": launch.seq_length,
        "precision": launch.precision,
        "optimizer": _OPTIMIZERS.get(optimizer, "adam"),
        "software": launch.software,
    }
    of = {**FLAG_OF, **{name: _first_given(flags, names) for name, names in FIRST_OF.items()}}
    return replace(
        launch,
        training={key: value for key, value in training.items() if value is not None},
        places=flags.places(),
        of=of,
    )


def _first_given(flags: Flags, names: tuple[str, ...]) -> str:
    return next((name for name in names if flags.given(name)), names[0])
