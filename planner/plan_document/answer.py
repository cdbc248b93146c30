"""Reading a whole document back as the values it was written from: plans with what they cost, and
the search that found them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from planner.budget import Stopped
from planner.plan import (
    PEAK_PHASES,
    Confidence,
    DeviceGroup,
    Estimate,
    Evidence,
    Interval,
    MemoryComponents,
    MemoryEstimate,
    Plan,
    Proof,
    RankedPlan,
    StageMemory,
    TimeBreakdown,
)
from planner.plan_document.inputs import RecordedInputs
from planner.plan_document.nodes import LARGEST_COUNT_BYTES, Node, parse_text, read_file
from planner.plan_document.read import (
    DECISIONS,
    SUGGESTED,
    check_schema,
    read_decisions,
    read_inputs,
)
from planner.plan_document.schema import CLOUD_AXES
from planner.plan_document.write import TERA
from planner.solver import EngineRecord, SolverRecord
from planner.training.search.result import (
    Change,
    Cloud,
    CostliestLink,
    Dimension,
    Exclusion,
    FewerDevices,
    NearMiss,
    Robustness,
    SearchResult,
    SizedPlan,
    Space,
)

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
        search=None if search is None else _search(search, plans),
    )


def _ranked(node: Node, rank: int) -> RankedPlan:
    tied, worst, proofs = (node.get(key) for key in ("tied_with_best", "worst_step_s", "proofs"))
    plan = read_decisions(node)
    return RankedPlan(
        rank=rank,
        plan=plan,
        estimate=_estimate(node["estimate"], plan),
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


def _estimate(node: Node, plan: Plan) -> Estimate:
    time = TimeBreakdown(
        **{one.name: node["time"][one.name].number(at_least=0) for one in fields(TimeBreakdown)}
    )
    if not time.step_s:
        node["time"].fail("a step takes longer than 0 s")
    devices = plan.degrees.devices
    flop_per_s = node["model_tflops_per_device"].number(at_least=0) * TERA
    mfu = node["mfu"].number(at_least=0)
    memory = MemoryEstimate(
        per_stage=tuple(_stage_memory(one) for one in node["memory"]["per_stage"].items())
    )
    if not memory.per_stage:
        node["memory"]["per_stage"].fail("at least one stage is needed")
    return Estimate(
        time=time,
        time_detail={
            name: one.number(at_least=float("-inf"))
            for name, one in node["time_detail"].fields().items()
        },
        memory=memory,
        tokens_per_step=round(node["tokens_per_s"].number(at_least=0) * time.step_s),
        devices=devices,
        model_flops_per_step=flop_per_s * time.step_s * devices,
        peak_flop_per_s=flop_per_s / mfu if mfu else 1.0,
        assumptions=tuple(one.text() for one in node["assumptions"].items()),
        confidence=_confidence(node["confidence"], time.step_s, memory.binding.peak_bytes),
        device_groups=_device_groups(node.get("device_groups")),
    )


def _device_groups(node: Node | None) -> tuple[DeviceGroup, ...]:
    found = []
    for one in () if node is None else node.items():
        stages = [stage.count() for stage in one["stages"].items()]
        if len(stages) != 2:
            one["stages"].fail("the first and the last stage are needed")
        first, last = stages
        found.append(
            DeviceGroup(
                first_stage=first,
                last_stage=last,
                devices=tuple(name.text() for name in one["devices"].items()),
                hosts=tuple(name.text() for name in one["hosts"].items()),
            )
        )
    return tuple(found)


def _confidence(node: Node, step_s: float, peak_bytes: int) -> Confidence | None:
    if node.value is None:
        return None
    step, peak = node["step_s"], node["memory_peak_bytes"]
    return Confidence(
        level=step["level"].number(at_least=0, below=1),
        step=_interval(step, step_s),
        memory=_interval(peak, peak_bytes),
        notes=tuple(one.text() for one in node["notes"].items()),
        evidence=_evidence(node.get("evidence")),
    )


def _evidence(node: Node | None) -> Evidence | None:
    if node is None:
        return None
    return Evidence(**{one.name: node[one.name].count() for one in fields(Evidence)})


def _interval(node: Node, value: float) -> Interval:
    if not value:
        return Interval()
    low, high = (node[end].number(at_least=0) / value for end in ("low", "high"))
    return Interval(low=low, high=high)


def _stage_memory(node: Node) -> StageMemory:
    other = node.get("other_peak")
    return StageMemory(
        stage=node["stage"].count(),
        peak_phase=node["peak_phase"].text(PEAK_PHASES),
        components=_components(node["components"]),
        capacity_bytes=_bytes(node["capacity_bytes"]),
        headroom_bytes=_bytes(node["headroom_bytes"]),
        other_components=None if other is None else _components(other["components"]),
    )


def _components(node: Node) -> MemoryComponents:
    return MemoryComponents(
        **{one.name: _bytes(node[one.name]) for one in fields(MemoryComponents)}
    )


def _bytes(node: Node) -> int:
    return node.count(at_most=LARGEST_COUNT_BYTES)


def _search(node: Node, plans: tuple[RankedPlan, ...]) -> SearchResult:
    space = node["space"]
    return SearchResult(
        plans=plans,
        candidates=_tally(node["candidates"]),
        fitting=_tally(node["fitting"]),
        refined=_tally(node["refined"]),
        settled=_settled(node),
        gap=node["gap"].number(at_least=0),
        layout_gap=node["layout_gap"].number(at_least=0),
        placement_gap=node["placement_gap"].number(at_least=0),
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
        fewer_devices=_fewer_devices(node.get("fewer_devices")),
        cloud=_cloud(node.get("cloud")),
        scaling=_scaling(node.get("scaling")),
    )


def _scaling(node: Node | None) -> tuple[SizedPlan, ...]:
    if node is None:
        return ()
    return tuple(
        SizedPlan(
            nodes=one["nodes"].count(at_least=1),
            plan=None if one["plan"].value is None else read_decisions(one["plan"], DECISIONS),
            step_s=one["step_s"].optional_number(at_least=0),
            tokens_per_s=one["tokens_per_s"].optional_number(at_least=0),
            reason=one["reason"].optional_text(),
        )
        for one in node.items()
    )


def _near_miss(node: Node) -> NearMiss:
    plan = read_decisions(node, SUGGESTED)
    estimate = _estimate(node["estimate"], plan)
    return NearMiss(plan=plan, estimate=estimate, reason=node["reason"].text())


def _change(node: Node) -> Change:
    plan = read_decisions(node, SUGGESTED)
    estimate = _estimate(node["estimate"], plan)
    return Change(plan=plan, estimate=estimate, description=node["description"].text())


def _cloud(node: Node | None) -> Cloud | None:
    """Columns of one length."""
    if node is None:
        return None
    bounds = [one.number(at_least=0) for one in node["step_bound_s"].items()]
    peaks = [_bytes(one) for one in node["peak_bytes"].items()]
    if len(peaks) != len(bounds):
        node["peak_bytes"].fail(f"{len(peaks)} entries, and step_bound_s has {len(bounds)}")
    return Cloud(
        step_bound_s=tuple(bounds),
        peak_bytes=tuple(peaks),
        axes={axis: _column(node[axis], len(bounds)) for axis in CLOUD_AXES},
    )


def _column(node: Node, length: int) -> tuple[int | str | bool, ...]:
    if node.length() != length:
        node.fail(f"{node.length()} entries, and step_bound_s has {length}")
    for item in node.items():
        if not isinstance(item.value, int | str):
            item.wanted("a whole number, text, true or false")
    return tuple(node.value)


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
