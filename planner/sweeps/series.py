"""One series of a study: points that differ in their number of nodes alone, as one search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from planner.errors import PlannerError
from planner.plan_document import record_inputs, to_document, to_text
from planner.sweeps.answers import Solved, answer_of, without_plan
from planner.training.lifetime.spending import spending_of
from planner.training.search.idle.nodes import may_idle
from planner.training.search.idle.sizes import SharedSizes
from planner.training.search.search import search
from planner.wording.units import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.plan import Spending
    from planner.sweeps.answers import Front, PointAnswer, Vector
    from planner.sweeps.points import Point
    from planner.sweeps.store import Store
    from planner.training.scenario import Scenario
    from planner.training.search.result import SearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesTask:
    """All that a worker needs. `known`: answers from before, by digest. `front`: what may beat a
    point before it is searched for; None searches for every point. `store`: where the worker keeps
    each answer as soon as it has it."""

    points: tuple[Point, ...]
    known: Mapping[str, PointAnswer]
    front: Front | None
    store: Store | None


def solve(task: SeriesTask) -> tuple[Solved, ...]:
    """The answer of every point, from the fewest nodes to the most."""
    return tuple(_solved(task))


def _solved(task: SeriesTask) -> Iterator[Solved]:
    scenarios: list[tuple[Scenario, Point]] = []
    for point in task.points:
        try:
            scenario = point.scenario()
        except PlannerError as error:
            yield Solved(answer=without_plan(point, "refused", str(error)))
            continue
        scenarios.append((scenario, point))
    scenarios.sort(key=lambda one: (one[0].job.devices, one[1].number))
    if not scenarios:
        return
    left = [scenario for scenario, point in scenarios if point.digest not in task.known]
    shared = None
    if left and may_idle(left[-1]):
        shared = SharedSizes(left[-1], scenarios[0][1].restrictions)
    front = None if task.front is None else task.front.copy()
    best_s = inf
    for scenario, point in scenarios:
        known = task.known.get(point.digest)
        solved = None if known is None else Solved(answer=known)
        if solved is None and front is not None and shared is not None:
            solved = _beaten(scenario, point, shared, front, best_s)
        if solved is None:
            solved = _searched(scenario, point, shared)
            if task.store is not None:
                task.store.keep(solved)
        if solved.answer.step_s is not None:
            best_s = min(best_s, solved.answer.step_s)
        if front is not None:
            front.add(solved.answer)
        yield solved


def _searched(scenario: Scenario, point: Point, shared: SharedSizes | None) -> Solved:
    try:
        found = search(scenario, restrictions=point.restrictions, top=1, advise=False, sizes=shared)
    except PlannerError as error:
        return Solved(answer=without_plan(point, "refused", str(error)))
    if found.stopped == "interrupted":
        raise KeyboardInterrupt
    return Solved(answer=answer_of(point, found), document=_document(scenario, found))


def _document(scenario: Scenario, found: SearchResult) -> str | None:
    """What `planner search --json` would print, without advice."""
    if not found.plans:
        return None
    inputs = record_inputs(scenario.cluster, scenario.model, scenario.job)
    return to_text(to_document(inputs, found.plans, search=found))


def _beaten(
    scenario: Scenario, point: Point, shared: SharedSizes, front: Front, best_s: float
) -> Solved | None:
    """A point of which every plan is beaten by a point of the front, on whatever number of its
    nodes; `best_s`: a step that its plan does not exceed."""
    spending = spending_of(scenario, {})
    beaten_by, least_s = None, inf
    for nodes, step_s in sorted(shared.least_s.items()):
        if nodes > scenario.topology.nodes or step_s >= best_s:
            continue
        bound = _bound(scenario, front, spending, nodes, step_s)
        number = None if bound is None else front.beaten_by(point.rivals, bound)
        if number is None:
            return None
        if step_s < least_s:
            beaten_by, least_s = number, step_s
    if beaten_by is None:
        return None
    reason = (
        f"no plan takes less than {seconds(least_s)} a step, and point {beaten_by} is better in "
        f"every objective ({', '.join(front.objectives)}) than that"
    )
    return Solved(answer=without_plan(point, "dominated", reason))


def _bound(
    scenario: Scenario, front: Front, spending: Spending | None, nodes: int, step_s: float
) -> Vector | None:
    """What a plan on so many nodes takes at least, by the objectives; None where one is not
    known."""
    job = scenario.job
    steps = 1.0 if job.tokens is None else job.tokens / (job.global_batch_size * job.seq_length)
    devices = nodes * scenario.node_devices
    figures: dict[str, float | None] = {"time": step_s * steps, "devices": devices}
    if spending is not None:
        share = devices / job.devices
        used = replace(
            spending,
            devices_per_hour=None
            if spending.devices_per_hour is None
            else share * spending.devices_per_hour,
            power_w=None if spending.power_w is None else share * spending.power_w,
        )
        spent = used.over(step_s * steps, steps)
        figures |= {"cost": spent.price, "energy": spent.energy_kwh, "carbon": spent.carbon_kg}
    found = [figures.get(one) for one in front.objectives]
    known = [one for one in found if one is not None]
    return tuple(known) if len(known) == len(found) else None
