"""Reading a plan back from its document."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from planner.errors import InputError
from planner.plan import (
    AXES,
    DATA_SHARDINGS,
    DISPATCHERS,
    GRANULARITIES,
    PRECISIONS,
    Degrees,
    Placement,
    Plan,
    Recompute,
    Stage,
)
from planner.plan_document.inputs import RecordedFile, RecordedInputs, RecordedJob
from planner.plan_document.nodes import Node, found, parse_file, split_rank
from planner.plan_document.schema import SCHEMA_ID, SERVING_SCHEMAS
from planner.plan_document.schema_parts import ONLY_WHERE_CHOSEN, SHARED_OR_OFFLOADED
from planner.schedule.registry import SCHEDULES
from planner.specs.job import OPTIMIZERS
from planner.specs.ranges import LONGEST_SEQUENCE
from planner.specs.settings import OFFLOADED, RECOMPUTED, Settings
from planner.specs.units import MOST_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

DECISIONS = (
    "degrees",
    "micro_batch_size",
    "num_microbatches",
    "schedule",
    "virtual_stages",
    "sequence_parallel",
    "data_sharding",
    "recompute",
    "stages",
    "placement",
    *ONLY_WHERE_CHOSEN,
)
"""The keys of what a plan decides."""

RANKED = ("rank", *DECISIONS, "tied_with_best", "worst_step_s", "proofs", "why", "estimate")
"""The keys of a ranked plan."""
SUGGESTED = ("reason", "description", *DECISIONS, "estimate")
"""The keys of a near miss or of a change that would fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """One plan of a document, with what it was made from. `place` names it in messages."""

    path: str
    rank: int
    plan: Plan
    inputs: RecordedInputs

    @property
    def place(self) -> str:
        return f"{self.path}#{self.rank}"


def read_plan(reference: str) -> ReadPlan:
    """The plan `FILE#rank` points at (rank 1 without one).

    Raises InputError for a file that cannot be read, is not a plan document, or lacks the rank,
    and for a plan whose parts contradict one another; the message says where."""
    path, rank = split_rank(reference)
    root = parse_file(path)
    plans = _plans(root)
    if rank > len(plans):
        noun = "plan" if len(plans) == 1 else "plans"
        root["plans"].fail(f"rank {rank} is asked for, but the document holds {len(plans)} {noun}")
    return ReadPlan(
        path=str(path),
        rank=rank,
        plan=read_decisions(plans[rank - 1]),
        inputs=read_inputs(root["inputs"]),
    )


def read_plans(path: Path) -> tuple[ReadPlan, ...]:
    """Every plan of a document, in its order. Raises InputError as `read_plan` does."""
    root = parse_file(path)
    plans, inputs = _plans(root), read_inputs(root["inputs"])
    return tuple(
        ReadPlan(path=str(path), rank=rank, plan=read_decisions(node), inputs=inputs)
        for rank, node in enumerate(plans, start=1)
    )


def check_schema(root: Node) -> None:
    """Raises InputError for a document that is no plan document."""
    named = root.get("schema")
    if named is None:
        root.fail(
            'is no plan document: "schema" is missing',
            hint="`planner search --output FILE` writes one; `planner import model` reads a "
            "model's config.json",
        )
    schema = named.text()
    if schema.startswith(SERVING_SCHEMAS):
        root["schema"].fail(
            "holds serving plans, and plans of training are needed here",
            hint="planner estimate, check and export read serving plans: --plan FILE#1",
        )
    if schema != SCHEMA_ID:
        root["schema"].fail(f'"{SCHEMA_ID}" is needed, found {found(schema)}')


def _plans(root: Node) -> tuple[Node, ...]:
    check_schema(root)
    plans = root["plans"].items()
    if not plans:
        root["plans"].fail("the document holds no plan: nothing fitted when it was written")
    return plans


def read_inputs(node: Node) -> RecordedInputs:
    """What the plans of a document were made from. Raises InputError with the place."""
    job = node["job"]
    tokens = job.get("tokens")
    return RecordedInputs(
        cluster=read_file_record(node["cluster"]),
        model=read_file_record(node["model"]),
        job=RecordedJob(
            devices=job["devices"].count(at_least=1),
            global_batch_size=job["global_batch_size"].count(at_least=1),
            seq_length=job["seq_length"].count(at_least=1, at_most=LONGEST_SEQUENCE),
            precision=job["precision"].text(PRECISIONS),
            optimizer=job["optimizer"].text(OPTIMIZERS),
            software=job["software"].name(),
            software_sha256=job["software_sha256"].optional_text(),
            headroom=job["headroom"].number(at_least=0, below=1),
            expert_imbalance=job["expert_imbalance"].number(at_least=1),
            software_path=_path(job, "software_path"),
            settings=_settings(job.get("settings")),
            tokens=None if tokens is None else tokens.count(at_least=1, at_most=MOST_TOKENS),
        ),
        assumptions=tuple(item.text() for item in node["assumptions"].items()),
    )


def _settings(node: Node | None) -> dict[str, Any] | None:
    if node is None:
        return None
    node.only([one.name for one in fields(Settings)])
    values = {
        name: [one.text() for one in value.items()]
        if isinstance(value.value, list)
        else value.value
        for name, value in node.fields().items()
    }
    try:
        return Settings.of(values).stated or None
    except InputError as error:
        node.fail(error.message)


def read_file_record(node: Node) -> RecordedFile:
    """The record of one input file. Raises InputError with the place."""
    return RecordedFile(
        name=node["name"].name(),
        sha256=node["sha256"].optional_text(),
        path=_path(node, "path"),
    )


def _path(node: Node, key: str) -> str | None:
    found = node.get(key)
    return None if found is None else found.text()


def read_decisions(node: Node, keys: Sequence[str] = RANKED) -> Plan:
    """The decisions of one entry of a document, which has these keys. Raises InputError with the
    place, for parts that contradict one another too."""
    node.only(keys)
    degrees = _degrees(node["degrees"])
    _check_lengths(node, degrees.pipeline)
    shard_over, share, weights, activations = (node.get(name) for name in SHARED_OR_OFFLOADED)
    plan = Plan(
        degrees=degrees,
        micro_batch_size=node["micro_batch_size"].count(at_least=1),
        num_microbatches=node["num_microbatches"].count(at_least=1),
        schedule=node["schedule"].text(),
        virtual_stages=node["virtual_stages"].count(at_least=1),
        sequence_parallel=node["sequence_parallel"].flag(),
        data_sharding=node["data_sharding"].text(DATA_SHARDINGS),
        recompute=_recompute(node["recompute"]),
        stages=tuple(_stage(stage) for stage in node["stages"].items()),
        placement=_placement(node["placement"]),
        dispatcher=_optional(node, "dispatcher", lambda value: value.text(DISPATCHERS)),
        expert_overlap=_optional(node, "expert_overlap", Node.flag) or False,
        shard_over=None if shard_over is None else shard_over.count(at_least=1),
        optimizer_offload=0.0 if share is None else share.share(),
        weight_offload=weights is not None and weights.flag(),
        activation_offload=0.0 if activations is None else activations.share(),
        recompute_modules=_modules(node.get("recompute_modules"), RECOMPUTED),
        offload_modules=_modules(node.get("offload_modules"), OFFLOADED),
    )
    _check_shape(node, plan)
    _check_modules(node, plan)
    return plan


def _check_modules(node: Node, plan: Plan) -> None:
    """Modules are named where plans treat any."""
    if plan.recompute_modules and plan.recompute.granularity != "selective":
        node["recompute_modules"].fail(
            f'recomputation is "{plan.recompute.granularity}", and modules need "selective"'
        )
    if plan.offload_modules and not plan.activation_offload:
        node["offload_modules"].fail("no activations are offloaded: activation_offload is missing")


def _modules(node: Node | None, known: Sequence[str]) -> tuple[str, ...] | None:
    if node is None:
        return None
    named = tuple(item.text(known) for item in node.items())
    if not named or len(set(named)) < len(named):
        node.fail("names each module once, and one at least")
    return named


def _optional(node: Node, key: str, read: Callable[[Node], T]) -> T | None:
    """None where the key is missing."""
    found = node.get(key)
    return None if found is None else read(found)


def _degrees(node: Node) -> Degrees:
    node.only(AXES)
    sizes = {axis: node.get(axis) for axis in AXES}
    for axis in ("tensor", "pipeline", "data"):
        sizes[axis] = node[axis]
    return Degrees(
        **{axis: size.count(at_least=1) for axis, size in sizes.items() if size is not None}
    )


def _recompute(node: Node) -> Recompute:
    node.only(("granularity", "layers_per_stage"))
    return Recompute(
        granularity=node["granularity"].text(GRANULARITIES),
        layers_per_stage=tuple(item.count() for item in node["layers_per_stage"].items()),
    )


def _stage(node: Node) -> Stage:
    node.only(("index", "chunks", "embedding", "head"))
    return Stage(
        index=node["index"].count(),
        chunks=tuple(_chunk(chunk) for chunk in node["chunks"].items()),
        embedding=node["embedding"].flag(),
        head=node["head"].flag(),
    )


def _chunk(node: Node) -> tuple[int, int]:
    ends = node.items()
    if len(ends) != 2:
        node.wanted("a pair [first layer, one past the last]")
    start, end = (item.count() for item in ends)
    if end < start:
        node.fail(f"the range ends at {end}, before its start {start}")
    return start, end


def _placement(node: Node) -> Placement:
    node.only(("order", "hosts", "ranks"))
    return Placement(
        order=node["order"].text(),
        hosts=tuple(host.host() for host in node["hosts"].items()),
        ranks=node["ranks"].text(),
    )


def _check_lengths(node: Node, pipeline: int) -> None:
    """Before the lists of a plan are read through: one entry for every stage."""
    layers = node["recompute"]["layers_per_stage"]
    stages, entries = node["stages"].length(), layers.length()
    if stages != pipeline:
        node["stages"].fail(f"{stages} stages for a pipeline degree of {pipeline}")
    if entries != pipeline:
        layers.fail(f"{entries} entries for a pipeline degree of {pipeline}")


def _check_shape(node: Node, plan: Plan) -> None:
    """What the parts of a plan must agree on whatever the model and the cluster are."""
    layers = plan.recompute.layers_per_stage
    if plan.recompute.granularity != "full" and any(layers):
        node["recompute"].fail(
            f'layers are recomputed only when the granularity is "full", found '
            f'"{plan.recompute.granularity}"'
        )
    for position, stage in enumerate(node["stages"].items()):
        _check_stage(stage, plan, position, layers[position])
    covered = 0
    held = [chunk for stage in plan.stages for chunk in stage.chunks if chunk[0] < chunk[1]]
    if plan.schedule in SCHEDULES and SCHEDULES[plan.schedule].parameter_copies > 1:
        held = list(set(held))
    for start, end in sorted(held):
        if start != covered:
            problem = "is in two chunks" if start < covered else "is in no chunk"
            node["stages"].fail(f"layer {min(start, covered)} {problem}")
        covered = end


def _check_stage(node: Node, plan: Plan, position: int, recomputed: int) -> None:
    stage = plan.stages[position]
    if stage.index != position:
        node["index"].fail(f"stages are listed in order: {position} is needed, found {stage.index}")
    if len(stage.chunks) != plan.virtual_stages:
        node["chunks"].fail(f"{len(stage.chunks)} chunks for {plan.virtual_stages} virtual stages")
    if recomputed > stage.num_layers:
        node.fail(f"{recomputed} layers are recomputed but the stage has {stage.num_layers}")
