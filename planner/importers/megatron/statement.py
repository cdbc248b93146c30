"""A Megatron-LM launch script as a statement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.importers.megatron.bridge import bridge_launch
from planner.importers.megatron.hosts import hosts_of
from planner.importers.megatron.refusals import flag_problems
from planner.importers.megatron.script import launch_in
from planner.importers.megatron.software import switched
from planner.importers.statement import Decision, Settled, Statement
from planner.specs.files.source import SourceFile
from planner.specs.model.build import build_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.importers.megatron.launch import Launch
    from planner.importers.source import Source
    from planner.specs.model.spec import ModelSpec

COMMAND = "a Megatron-LM command"
OVERRIDES = "overrides of Megatron-Bridge"
"""The kinds of the statements."""
_OF_BRIDGE = "megatron-core-perf"
"""What its recipes run."""

_MUST_AGREE = (
    "num_layers",
    "hidden_size",
    "num_attention_heads",
    "num_query_groups",
    "head_dim",
    "gated_mlp",
    "tie_embeddings",
    "mtp_num_layers",
)
_PART_OF_MIXTURES = ("num_experts", "top_k", "ffn_hidden_size", "shared_expert_ffn_hidden_size")
_MAY_DIFFER = (
    "vocab_size",
    "norm",
    "activation",
    "position_embedding",
    "qkv_bias",
    "linear_bias",
    "qk_norm",
    "attention_window",
    "dropout",
)


def script_statement(
    source: Source,
    given: ModelSpec | None,
    *,
    variables: Mapping[str, str],
    command: int | None,
    vocabulary: int | None,
) -> Statement:
    """Raises: InputError at what is missing, wrong, or differs from the model `given`."""
    launch = launch_in(
        source,
        given=variables,
        command=command,
        vocabulary=vocabulary,
        usual_vocabulary=None if given is None else given.vocab_size,
    )
    return _statement(launch, source, given, COMMAND)


def overrides_statement(
    source: Source, given: ModelSpec | None, *, vocabulary: int | None
) -> Statement:
    """Overrides of Megatron-Bridge. Raises: as `script_statement`, and for overrides that leave the
    model's sizes to a recipe."""
    launch = bridge_launch(source, vocabulary=vocabulary)
    return _statement(replace(launch, software=_OF_BRIDGE), source, given, OVERRIDES)


def _statement(launch: Launch, source: Source, given: ModelSpec | None, kind: str) -> Statement:
    if launch.other_work is not None:
        raise launch.error(
            f"{launch.other_work}, which no step of training prices",
            "",
            hint=f"`planner import model {source.path}` reads the model's sizes",
        )
    model = build_model(launch.document(), name=source.stem)
    if given is not None:
        problems = list(_contradictions(launch, model, given))
        if problems:
            raise InputError.of(problems)
        _note_differences(launch, model, given)
        model = replace(model, name=given.name, training=given.training)
    decisions = {axis: value for axis, (value,) in launch.decisions().items() if axis != "data"}
    workload = {
        name: value
        for name, value in launch.training.items()
        if name != "software" and value is not None
    }
    return Statement(
        kind=kind,
        path=source.path,
        sha256=source.sha256,
        model=replace(model, source=SourceFile(path=source.path, sha256=source.sha256)),
        software=launch.software,
        switch=lambda profile, _: switched(launch, profile),
        workload=workload,
        decisions=decisions,
        devices=launch.devices,
        node_devices=launch.node_devices,
        stage_layers=launch.stage_layers,
        recompute_layers=launch.recompute_layers,
        settle=lambda *known: _settled(launch, *known),
        problems=tuple(flag_problems(launch)),
        notes=launch.notes,
        hosts=hosts_of(source),
        place=launch.place,
    )


def _settled(
    launch: Launch,
    decided: Mapping[str, Decision],
    stated: Mapping[str, int | str],
    devices: int,
) -> Settled:
    """Without a global batch size, one microbatch of every replica makes a step (arguments.py), or
    `--gas` of them (Megatron-LM 1.1.5 with 3D parallelism, in DeepSpeedExamples)."""
    used = launch.tensor * launch.pipeline * launch.context
    micro = int(decided.get("micro_batch_size", 1))
    if launch.micro_batch_size is None:
        launch.notes.assumed.append(f"micro-batch size {micro} (the command states none)")
    workload = dict(stated)
    if "global_batch_size" not in stated and devices % used == 0:
        turns = launch.flags.integer("--gas") or 1
        workload["global_batch_size"] = micro * turns * (devices // used)
        each = "a microbatch" if turns == 1 else f"{turns} microbatches (--gas)"
        launch.notes.assumed.append(
            f"global batch size {workload['global_batch_size']}: {each} of every replica"
        )
    decisions = dict(decided)
    shard_over = launch.shard_over(devices)
    if shard_over is not None:
        decisions["shard_over"] = shard_over
    return Settled(decisions=decisions, workload=workload)


def _contradictions(launch: Launch, model: ModelSpec, given: ModelSpec) -> Iterator[InputError]:
    fields = [*_MUST_AGREE, *(["ffn_hidden_size"] if "dense" in given.layer_kinds else [])]
    if all(one.num_query_groups == one.num_attention_heads for one in (model, given)):
        fields.remove("num_query_groups")
    for field in fields:
        ours, theirs = getattr(model, field), getattr(given, field)
        if ours != theirs:
            yield _differs(launch, field, ours, given, theirs)
    if (model.moe is None) != (given.moe is None):
        yield _differs(launch, "num_experts", model.moe and model.moe.num_experts, given, None)
    elif model.moe is not None and given.moe is not None:
        for field in _PART_OF_MIXTURES:
            ours, theirs = getattr(model.moe, field), getattr(given.moe, field)
            if ours != theirs:
                yield _differs(launch, field, ours, given, theirs)
    if model.mla != given.mla:
        yield _differs(launch, "mla", model.mla, given, given.mla)


def _differs(
    launch: Launch, field: str, ours: object, given: ModelSpec, theirs: object
) -> InputError:
    return launch.error(
        f"{field} {_shown(ours)} here, {_shown(theirs)} in model {given.name}",
        field,
        hint="leave out --model to take the command's own, or correct one of them",
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)


def _note_differences(launch: Launch, model: ModelSpec, given: ModelSpec) -> None:
    differing = [
        f"{field} {_shown(getattr(model, field))} (model {given.name}: "
        f"{_shown(getattr(given, field))})"
        for field in _MAY_DIFFER
        if getattr(model, field) != getattr(given, field)
    ]
    if differing:
        launch.notes.assumed.append(f"the command counts: {', '.join(differing)}")
