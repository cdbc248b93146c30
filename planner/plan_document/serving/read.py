"""Reading serving plans back from their document."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from planner.plan.serving import ROLES, ServingPlan, ServingPool
from planner.plan_document.nodes import MOST, found, parse_file, split_rank
from planner.plan_document.read_inputs import read_file_record
from planner.plan_document.serving.inputs import ServingInputs
from planner.plan_document.serving.kind import SERVING_SCHEMA_ID
from planner.serving.scenario import KV_BYTES, WEIGHT_BYTES
from planner.specs.files.document import document_of
from planner.specs.files.problems import validate
from planner.specs.serving_load import LoadFile, with_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.plan_document.nodes import Node

POOL = tuple(field.name for field in fields(ServingPool))
PLACEMENT = ("expert", "fullest", "in_order", "gap", "layers")
RANKED = ("rank", "pools", "estimate")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadServingPlan:
    """One serving plan of a document, with what it was made from. `place` names it in messages."""

    path: str
    rank: int
    plan: ServingPlan
    inputs: ServingInputs
    placements: Mapping[int, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    """Experts of every mixture layer as devices hold them, by expert degree."""

    @property
    def place(self) -> str:
        return f"{self.path}#{self.rank}"


def read_serving_plan(reference: str) -> ReadServingPlan:
    """The serving plan that `FILE#rank` points at (rank 1 without one).

    Raises: InputError for a file that cannot be read, is no document of serving plans, or lacks
    the rank; the message says where."""
    path, rank = split_rank(reference)
    root = parse_file(path)
    plans = _plans(root)
    if rank > len(plans):
        noun = "plan" if len(plans) == 1 else "plans"
        root["plans"].fail(f"rank {rank} is asked for, but the document holds {len(plans)} {noun}")
    inputs = _inputs(root["inputs"])
    node = plans[rank - 1]
    node.only(RANKED)
    pools = node["pools"].items()
    if not pools:
        node["pools"].fail("a plan has at least one pool")
    plan = ServingPlan(engine=inputs.engine.name, pools=tuple(_pool(one) for one in pools))
    roles = {pool.role for pool in plan.pools}
    if ("prefill" in roles) != ("decode" in roles):
        node["pools"].fail("prefill and decode pools come together")
    return ReadServingPlan(
        path=str(path), rank=rank, plan=plan, inputs=inputs, placements=_placements(root)
    )


def _placements(root: Node) -> dict[int, tuple[tuple[int, ...], ...]]:
    found: dict[int, tuple[tuple[int, ...], ...]] = {}
    stated = root.get("expert_placement")
    if stated is not None and root["inputs"]["load"].get("routing") is None:
        stated.fail("it goes with the routing of the load, which names none")
    for node in () if stated is None else stated.items():
        node.only(PLACEMENT)
        layers = node["layers"].items()
        if not layers:
            node["layers"].fail("a placement has at least one layer")
        each = layers[0].length()
        found[node["expert"].count(at_least=1)] = tuple(_layer(one, each) for one in layers)
    return found


def _layer(node: Node, experts: int) -> tuple[int, ...]:
    order = tuple(one.count() for one in node.items())
    if sorted(order) != list(range(experts)):
        node.fail(f"every expert from 0 to {experts - 1:,} is needed once")
    return order


def _plans(root: Node) -> tuple[Node, ...]:
    named = root.get("schema")
    if named is None:
        root.fail(
            'is no document of serving plans: "schema" is missing',
            hint="`planner search --serving LOAD.yaml --output FILE` writes one",
        )
    if named.text() != SERVING_SCHEMA_ID:
        named.fail(f'"{SERVING_SCHEMA_ID}" is needed, found {found(named.value)}')
    plans = root["plans"].items()
    if not plans:
        root["plans"].fail("the document holds no plan: none kept the limits of the load")
    return plans


def _inputs(node: Node) -> ServingInputs:
    load = node["load"]
    load.fields()
    name = f"{node.file.path}: inputs.load"
    document = document_of(load.value, name)
    file = with_files(validate(document, LoadFile), document, Path())
    return ServingInputs(
        cluster=read_file_record(node["cluster"]),
        model=read_file_record(node["model"]),
        engine=read_file_record(node["engine"]),
        load=file,
        assumptions=tuple(item.text() for item in node["assumptions"].items()),
    )


def _pool(node: Node) -> ServingPool:
    node.only(POOL)
    role, come = node["role"].text(ROLES), node.get("requests_per_s")
    return ServingPool(
        role=next(one for one in ROLES if one == role),
        group=node["group"].name(),
        device=node["device"].name(),
        replicas=node["replicas"].count(at_least=1),
        tensor=node["tensor"].count(at_least=1),
        pipeline=node["pipeline"].count(at_least=1),
        attention_data=node["attention_data"].count(at_least=1),
        expert=node["expert"].count(at_least=1),
        weights=node["weights"].text(tuple(WEIGHT_BYTES)),
        kv_format=node["kv_format"].text(tuple(KV_BYTES)),
        max_running=node["max_running"].count(at_least=1),
        max_step_tokens=node["max_step_tokens"].count(at_least=1),
        kv_tokens=node["kv_tokens"].count(at_most=MOST**2),
        memory_share=node["memory_share"].share(),
        clients=node["clients"].number(at_least=0),
        requests_per_s=None if come is None else come.number(at_least=0),
        hosts=tuple(host.host() for host in node["hosts"].items()),
    )
