"""Reading a plan back from its document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planner.plan import Plan
from planner.plan_document.inputs import RecordedInputs
from planner.plan_document.nodes import Node, found, parse_file, split_rank
from planner.plan_document.read_decisions import read_decisions
from planner.plan_document.read_inputs import read_inputs
from planner.plan_document.schema import SCHEMA_ID, SERVING_SCHEMAS


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
