"""Reading back a search: how far its plans are proven, its space, what came closest, its cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from planner.budget import Stopped
from planner.plan_document.nodes import LARGEST_COUNT_BYTES
from planner.plan_document.read_decisions import DECISIONS, SUGGESTED, read_decisions
from planner.plan_document.read_estimate import bytes_of, read_estimate
from planner.plan_document.schema_parts import SELDOM
from planner.plan_document.schema_search import CLOUD_AXES, RANK_BY
from planner.solver import EngineRecord, SolverRecord
from planner.specs.software import Overlap
from planner.training.search.result import (
    Change,
    Cloud,
    CostliestLink,
    Dimension,
    Exclusion,
    FewerDevices,
    NearBatch,
    NearMiss,
    NodeCounts,
    RankedBy,
    Robustness,
    SearchResult,
    SizedPlan,
    Space,
    SwitchWorth,
)

if TYPE_CHECKING:
    from planner.plan import RankedPlan
    from planner.plan_document.nodes import Node


def read_search(node: Node, plans: tuple[RankedPlan, ...]) -> SearchResult:
    """The search that found the plans. Raises InputError with the place."""
    space = node["space"]
    return SearchResult(
        plans=plans,
        candidates=_tally(node["candidates"]),
        fitting=_tally(node["fitting"]),
        refined=_tally(node["refined"]),
        settled=_settled(node),
        combination_gap=(node.get("combination_gap") or node["gap"]).number(at_least=0),
        layout_gap=node["layout_gap"].number(at_least=0),
        placement_gap=node["placement_gap"].number(at_least=0),
        best_gap=(node.get("best_gap") or node["gap"]).number(at_least=0),
        modules_open=_from_modules(node),
        bound_s=node["bound_s"].optional_number(at_least=0),
        stopped=Stopped(node["stopped"].text(tuple(one.value for one in Stopped))),
        tied_within=node["tied_within"].number(at_least=0),
        space=Space(
            dimensions=tuple(_dimension(one) for one in space["dimensions"].items()),
            exclusions=tuple(_exclusion(one) for one in space["excluded"].items()),
        ),
        solver=_solver(node["solver"]),
        nearest=tuple(_near_miss(one) for one in node["nearest"].items()),
        changes=tuple(_change(one) for one in node["changes"].items()),
        robustness=_robustness(node.get("robust")),
        ranked=_ranked(node.get("ranked")),
        nodes=_nodes(node.get("nodes")),
        switches=_switches(node.get("switches")),
        modules=_modules(node.get("modules")),
        near_batches=_near_batches(node.get("near_batches")),
        fewer_devices=_fewer_devices(node.get("fewer_devices")),
        cloud=_cloud(node.get("cloud")),
        fewer_nodes=_fewer(node.get("fewer_nodes")),
        scaling=_scaling(node.get("scaling")),
        needs_offloading=_flag(node.get("needs_offloading")),
    )


def _flag(node: Node | None) -> bool:
    return node is not None and node.flag()


def _nodes(node: Node | None) -> NodeCounts | None:
    if node is None:
        return None
    return NodeCounts(
        given=node["given"].count(at_least=1),
        others=node["others"].count(),
        opened=node["opened"].count(),
        idle_hosts=tuple(one.host() for one in node["idle_hosts"].items()),
    )


def _switches(node: Node | None) -> tuple[SwitchWorth, ...]:
    return tuple(
        SwitchWorth(
            overlap=tuple(name.text(get_args(Overlap)) for name in one["overlap"].items()),
            on=one["on"].flag(),
            share=one["ratio"].number(at_least=0) - 1,
        )
        for one in (() if node is None else node.items())
    )


def _near_batches(node: Node | None) -> tuple[NearBatch, ...]:
    return tuple(
        NearBatch(
            global_batch_size=one["global_batch_size"].count(at_least=1),
            nodes=one["nodes"].count(at_least=1),
            step_s=one["step_s"].number(at_least=0),
            tokens_per_s=one["tokens_per_s"].number(at_least=0),
            plan=read_decisions(one["plan"], DECISIONS),
        )
        for one in (() if node is None else node.items())
    )


def _scaling(node: Node | None) -> tuple[SizedPlan, ...]:
    return () if node is None else tuple(map(_sized, node.items()))


def _fewer(node: Node | None) -> SizedPlan | None:
    return None if node is None else _sized(node)


def _sized(node: Node) -> SizedPlan:
    return SizedPlan(
        nodes=node["nodes"].count(at_least=1),
        plan=None if node["plan"].value is None else read_decisions(node["plan"], DECISIONS),
        step_s=node["step_s"].optional_number(at_least=0),
        tokens_per_s=node["tokens_per_s"].optional_number(at_least=0),
        reason=node["reason"].optional_text(),
    )


def _near_miss(node: Node) -> NearMiss:
    plan = read_decisions(node, SUGGESTED)
    estimate = read_estimate(node["estimate"], plan)
    return NearMiss(plan=plan, estimate=estimate, reason=node["reason"].text())


def _change(node: Node) -> Change:
    plan = read_decisions(node, SUGGESTED)
    estimate = read_estimate(node["estimate"], plan)
    return Change(plan=plan, estimate=estimate, description=node["description"].text())


def _modules(node: Node | None) -> Change | None:
    return None if node is None else _change(node)


def _cloud(node: Node | None) -> Cloud | None:
    """Columns of one length."""
    if node is None:
        return None
    bounds = [one.number(at_least=0) for one in node["step_bound_s"].items()]
    peaks = [bytes_of(one) for one in node["peak_bytes"].items()]
    if len(peaks) != len(bounds):
        node["peak_bytes"].fail(f"{len(peaks)} entries, and step_bound_s has {len(bounds)}")
    return Cloud(
        step_bound_s=tuple(bounds),
        peak_bytes=tuple(peaks),
        axes={
            axis: _column(column, len(bounds))
            for axis in (*CLOUD_AXES, *SELDOM)
            for column in (node.get(axis) if axis in SELDOM else node[axis],)
            if column is not None
        },
    )


def _column(node: Node, length: int) -> tuple[int | str | bool, ...]:
    if node.length() != length:
        node.fail(f"{node.length()} entries, and step_bound_s has {length}")
    for item in node.items():
        if not isinstance(item.value, int | str):
            item.wanted("a whole number, text, true or false")
    return tuple(node.value)


def _from_modules(node: Node) -> bool:
    """Whether the gap is from choices of modules; a document without it says nothing of them."""
    said = node.get("gap_from")
    return said is not None and said.optional_text() == "modules"


def _settled(node: Node) -> bool:
    """A walk that came to its end stopped by itself: proven, or at the end of its work."""
    return node["stopped"].text() in (Stopped.PROVEN.value, Stopped.WORK_LIMIT.value)


def _tally(node: Node) -> int:
    return node.count(at_most=LARGEST_COUNT_BYTES)


def _dimension(node: Node) -> Dimension:
    return Dimension(
        name=node["name"].text(),
        values=tuple(one.value for one in node["values"].items()),
        restricted_by_user=node["restricted_by_user"].flag(),
    )


def _exclusion(node: Node) -> Exclusion:
    return Exclusion(
        rule=node["rule"].text(),
        sentence=node["sentence"].text(),
        excluded=_tally(node["combinations"]),
    )


def _solver(node: Node) -> SolverRecord:
    return SolverRecord(
        programs=_tally(node["programs"]),
        unanswered=_tally(node["unanswered"]),
        engines=tuple(
            EngineRecord(
                name=one["name"].text(),
                version=one["version"].optional_text(),
                answered=_tally(one["answered"]),
                passed_over=one["passed_over"].optional_text(),
            )
            for one in node["engines"].items()
        ),
    )


def _fewer_devices(node: Node | None) -> tuple[FewerDevices, ...]:
    return tuple(
        FewerDevices(
            devices=one["devices"].count(at_least=1),
            without=tuple(name.text() for name in one["without"].items()),
            step_s=one["step_s"].number(at_least=0),
        )
        for one in (() if node is None else node.items())
    )


def _ranked(node: Node | None) -> RankedBy | None:
    if node is None:
        return None
    return RankedBy(
        by=node["by"].text(RANK_BY),
        at_least=node["at_least"].optional_number(at_least=0),
        step_budget=node["step_budget"].optional_number(at_least=0),
        job_budget=node["job_budget"].optional_number(at_least=0),
        values=tuple(one.number(at_least=0) for one in node["values"].items()),
        bound=node["bound"].optional_number(at_least=0),
    )


def _robustness(node: Node | None) -> Robustness | None:
    if node is None:
        return None
    link = node["link"]
    if link.value is None:
        return Robustness(share=node["share"].number(at_least=0, below=1), link=None)
    hosts = tuple(one.host() for one in link["hosts"].items())
    if len(hosts) != 2:
        link["hosts"].wanted("a pair of hosts")
    return Robustness(
        share=node["share"].number(at_least=0, below=1),
        link=CostliestLink(hosts=(hosts[0], hosts[1]), step_s=link["step_s"].number(at_least=0)),
    )
