"""Reading a whole document back as the values it was written from: plans with what they cost, and
the search that found them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.plan import Proof, RankedPlan
from planner.plan_document.nodes import parse_text, read_file
from planner.plan_document.read import check_schema
from planner.plan_document.read_decisions import read_decisions
from planner.plan_document.read_estimate import read_estimate
from planner.plan_document.read_inputs import read_inputs
from planner.plan_document.read_search import read_search

if TYPE_CHECKING:
    from planner.plan_document.inputs import RecordedInputs
    from planner.plan_document.nodes import Node
    from planner.training.search.result import SearchResult

PROVEN = ("placement", "stage layout")
"""What a proof may be about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAnswer:
    """A plan document as values. `tree` is the document itself; `search` is None for one that
    `planner estimate` wrote."""

    path: str
    tree: dict[str, Any]
    inputs: RecordedInputs
    plans: tuple[RankedPlan, ...]
    search: SearchResult | None


def read_answer(path: Path) -> ReadAnswer:
    """The document in a file, or in a page of `planner report`, with or without plans. Figures that
    follow from others, such as the floating-point operations of a step, are those that give what
    the document states.

    Raises InputError with the place of what is missing, of another kind or unknown."""
    return parse_answer(read_file(path).text, path)


def parse_answer(text: str, path: Path) -> ReadAnswer:
    """The document of a text, which messages call `path`. Raises InputError as `read_answer`."""
    root = parse_text(text, path)
    check_schema(root)
    inputs = read_inputs(root["inputs"])
    plans = tuple(_ranked(node, rank) for rank, node in enumerate(root["plans"].items(), start=1))
    search = root.get("search")
    return ReadAnswer(
        path=str(path),
        tree=root.value,
        inputs=inputs,
        plans=plans,
        search=None if search is None else read_search(search, plans),
    )


def _ranked(node: Node, rank: int) -> RankedPlan:
    tied, worst, proofs = (node.get(key) for key in ("tied_with_best", "worst_step_s", "proofs"))
    plan = read_decisions(node)
    return RankedPlan(
        rank=rank,
        plan=plan,
        estimate=read_estimate(node["estimate"], plan),
        tied_with_best=None if tied is None else tied.flag(),
        proofs=() if proofs is None else tuple(_proof(one) for one in proofs.items()),
        worst_step_s=None if worst is None else worst.number(at_least=0),
    )


def _proof(node: Node) -> Proof:
    return Proof(
        decision=node["decision"].text(PROVEN),
        gap=node["gap"].optional_number(at_least=0),
        method=node["method"].text(),
        gain=node["gain"].optional_number(at_least=0),
    )
