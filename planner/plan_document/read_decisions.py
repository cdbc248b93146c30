"""Reading what a plan decides, and whether its parts agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from planner.plan import (
    AXES,
    DATA_SHARDINGS,
    DISPATCHERS,
    GRANULARITIES,
    Degrees,
    Placement,
    Plan,
    Recompute,
    Stage,
)
from planner.plan_document.nodes import Node
from planner.plan_document.schema_parts import ONLY_WHERE_CHOSEN, SHARED_OR_OFFLOADED
from planner.schedule.registry import SCHEDULES
from planner.specs.settings_values import OFFLOADED, RECOMPUTED

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
        dispatch_pieces=_optional(node, "dispatch_pieces", _pieces) or 1,
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


def _pieces(node: Node) -> int:
    return node.count(at_least=1)


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
