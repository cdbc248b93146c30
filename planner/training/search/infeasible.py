"""When nothing fits: plans that came closest, what they lack, and what would fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import OutOfTime
from planner.errors import PlannerError
from planner.specs.cluster.spec import default_hosts
from planner.training.batch import FULL
from planner.training.estimate import estimate, with_confidence
from planner.training.memory.stage import stage_peaks
from planner.training.scenario import build_scenario
from planner.training.search.best_first.best import Priced
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.modules import may_choose_modules
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.fitting import Fitting, batch_of, pieces
from planner.training.search.hosts.methods import ALIKE, UNCHANGED, PlacedPlan
from planner.training.search.modules.choose import fitting_modules
from planner.training.search.offloading import with_offloading
from planner.training.search.result import Change, NearMiss
from planner.training.search.space.restrictions import Restrictions, option_name
from planner.training.step.ahead import with_ahead
from planner.wording.binding import memory_constraint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.plan import Estimate, Plan
    from planner.training.scenario import Scenario

NEAREST = 3
"""Combinations that are named."""
MOST_GROWTH = 16
"""Clusters up to this many times larger are tried."""

HALVINGS = 3
"""Times that the step between two numbers of nodes is halved."""
SHORTEST_SEQUENCE = 256
"""Tokens of the shortest sequence that is tried."""


def nearest_misses(run: SearchRun) -> tuple[NearMiss, ...]:
    """The combinations whose fullest stage lacks the least memory, one for each set of degrees.
    Raises: OutOfTime."""
    closest: dict[tuple[int, ...], tuple[int, Fitting, int]] = {}
    for group, lacking in _lacking(run):
        columns = group.screened.columns
        for index in np.argsort(lacking, kind="stable")[:NEAREST].tolist():
            row = group.grid_row[index]
            degrees = (
                group.screened.pipeline,
                *(int(columns[axis][row]) for axis in ("tensor", "context", "expert")),
            )
            found = (int(lacking[index]), group, index)
            if degrees not in closest or found[0] < closest[degrees][0]:
                closest[degrees] = found
    ranked = sorted(closest.items(), key=lambda item: (item[1][0], item[0]))
    return tuple(_near_miss(run, group, index) for _, (_, group, index) in ranked[:NEAREST])


def offer_with_modules(run: SearchRun, found: SearchRun) -> bool:
    """Where nothing fits in `run`: of the combinations that come closest those that fit with
    modules computed again and offloaded, as plans of `found`, the same search or one with more
    choices. Returns whether any is among its best. Raises: OutOfTime."""
    scenario = run.scenario
    if not may_choose_modules(scenario, run.restrictions):
        return False
    best, before = found.best, found.best.kept
    for place, miss in enumerate(nearest_misses(run)):
        chosen = fitting_modules(scenario, miss.plan, run.budget, below_s=best.slowest_s)
        if chosen is not None:
            sure = with_confidence(scenario, chosen.plan, chosen.estimate)
            placed = PlacedPlan(plan=chosen.plan, bound_s=0.0, method=UNCHANGED)
            if scenario.ideal is scenario:
                placed = PlacedPlan(plan=chosen.plan, bound_s=sure.step_s, method=ALIKE)
            best.offer(Priced.of(sum(map(len, found.space.may_fit)) + place, placed, sure))
    return best.kept != before


def _lacking(run: SearchRun) -> Iterator[tuple[Fitting, NDArray[np.int64]]]:
    """Groups of combinations and the bytes that their fullest stage lacks. Combinations that the
    screen never priced need more than one that it did, and are left out."""
    ideal, table = run.scenario.ideal, run.space.growing.table
    for screened, group in run.space.groups():
        rows = np.flatnonzero(screened.columns["row"][group.grid_row] >= 0)
        if not len(rows):
            continue
        layout = run.space.layouts.of(group.pipeline, group.virtual_stages, group.schedule)
        no_bound = np.zeros(len(rows))
        candidates = Fitting.of(screened, group, layout, rows, no_bound, no_bound)
        recomputed = np.where(candidates.variants["recompute"] == FULL, layout.load.most_layers, 0)
        lacking = np.concatenate(
            [
                -stage_peaks(
                    ideal,
                    table,
                    with_ahead(
                        ideal, table, batch_of(run.scenario, candidates, part, recomputed[part])
                    ),
                ).spare.min(axis=-1)
                for part in pieces(np.arange(len(rows)), group.pipeline, run.budget)
            ]
        )
        yield candidates, lacking


def _near_miss(run: SearchRun, group: Fitting, index: int) -> NearMiss:
    plan = plan_at(run.scenario, group, index, group.layout.load.most_layers)
    found = estimate(run.scenario, plan, load=group.layout.load)
    return NearMiss(plan=plan, estimate=found, reason=memory_constraint(found.memory))


def cheapest_changes(run: SearchRun) -> Iterator[Change]:
    """Changes that make something fit, each with the fastest plan it leads to: options first, then
    a smaller share kept free, more nodes and shorter sequences.

    Raises: OutOfTime.
    """
    for find in (
        _lifted_restrictions,
        _offloading,
        _context,
        _headroom,
        _more_nodes,
        _shorter_sequences,
    ):
        yield from find(run)


def _lifted_restrictions(run: SearchRun) -> Iterator[Change]:
    """Every option of the user taken back, one at a time, else all at once; the fastest first."""
    axes = [axis for axis in Restrictions.__dataclass_fields__ if getattr(run.restrictions, axis)]
    found = []
    late: OutOfTime | None = None
    try:
        for axis in axes:
            best = _fastest(run, run.scenario, replace(run.restrictions, **{axis: None}))
            if best is not None:
                found.append(_change(f"{option_name(axis)} {_chosen(best[0], axis)}", best))
        if len(axes) > 1 and not found:
            best = _fastest(run, run.scenario, Restrictions())
            if best is not None:
                found.append(_change("no " + ", ".join(map(option_name, axes)), best))
    except OutOfTime as error:
        late = error
    yield from sorted(found, key=lambda change: change.estimate.step_s)
    if late is not None:
        raise late


def _chosen(plan: Plan, axis: str) -> str:
    """A plan's value of an axis, as its option takes it."""
    if axis == "recompute":
        return plan.recompute.granularity
    holder = plan.degrees if hasattr(plan.degrees, axis) else plan
    value = getattr(holder, axis)
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _offloading(run: SearchRun) -> Iterator[Change]:
    """What would have to be offloaded, where the user rules it out."""
    wider = with_offloading(run.restrictions, run.scenario.job, although=True)
    best = None if wider is None else _fastest(run, run.scenario, wider)
    if best is not None:
        weights = " --weight-offload on" if best[0].weight_offload else ""
        yield _change(f"--optimizer-offload {best[0].optimizer_offload:g}{weights}", best)


def _context(run: SearchRun) -> Iterator[Change]:
    """Context parallelism for sequences too short for the search to try it unasked."""
    if run.restrictions.context is None and run.space.enumeration.tally.excluded["context-use"]:
        degrees = run.space.enumeration.values["context"]
        best = _fastest(run, run.scenario, replace(run.restrictions, context=degrees))
        if best is not None:
            yield _change(f"--context {best[0].degrees.context}", best)


def _headroom(run: SearchRun) -> Iterator[Change]:
    """As much headroom as the fastest plan without any leaves."""
    if not run.scenario.job.headroom:
        return
    best = _fastest(run, _with_headroom(run.scenario, 0.0), run.restrictions)
    if best is None:
        return
    binding = best[1].memory.binding
    share = (binding.capacity_bytes - binding.peak_bytes) / binding.capacity_bytes
    share = int(share * 1000) / 1000
    again = _fastest(run, _with_headroom(run.scenario, share), run.restrictions)
    if again is not None:
        yield _change(f"--headroom {100 * share:.1f}%", again)


def _more_nodes(run: SearchRun) -> Iterator[Change]:
    """The smallest number of nodes found by doubling and then halving the step."""
    nodes = run.scenario.topology.nodes
    too_few, enough, roomy = nodes, nodes, None
    while roomy is None and 2 * enough <= MOST_GROWTH * nodes:
        too_few, enough = enough, 2 * enough
        roomy = _roomy(run, _with_nodes(run.scenario, enough), run.restrictions)
    for _ in range(HALVINGS):
        middle = (too_few + enough) // 2
        if roomy is None or middle == too_few:
            break
        found = _roomy(run, _with_nodes(run.scenario, middle), run.restrictions)
        if found is None:
            too_few = middle
        else:
            enough, roomy = middle, found
    if roomy is not None:
        best = _best_of(roomy)
        if best is not None:
            there = run.scenario.given.num_nodes or enough
            lacking = f", of which the cluster has {there}" if enough > there else ""
            yield _change(f"{enough} nodes instead of {nodes}{lacking}", best)


def _shorter_sequences(run: SearchRun) -> Iterator[Change]:
    """The longest halving of the sequence that fits."""
    length = run.scenario.job.seq_length
    while length % 2 == 0 and length // 2 >= SHORTEST_SEQUENCE:
        length //= 2
        best = _fastest(run, _with_length(run.scenario, length), run.restrictions)
        if best is not None:
            yield _change(f"--seq-length {length}", best)
            return


def _with_headroom(scenario: Scenario, headroom: float) -> Scenario:
    return replace(scenario, job=replace(scenario.job, headroom=headroom))


def _with_length(scenario: Scenario, seq_length: int) -> Scenario:
    return replace(scenario, job=replace(scenario.job, seq_length=seq_length))


def _with_nodes(scenario: Scenario, nodes: int) -> Scenario | None:
    """The scenario on more nodes like the last ones; None where that cannot be described."""
    cluster = scenario.given.sized(devices=scenario.job.devices)
    *before, last = cluster.node_groups
    count = nodes - sum(group.count or 0 for group in before)
    if cluster.matrix is not None or cluster.overrides or last.network is None:
        return None
    grown = replace(last, count=count, hosts=default_hosts(last.name, count))
    cluster = replace(cluster, node_groups=(*before, grown))
    job = replace(scenario.job, devices=cluster.num_devices or 0)
    return build_scenario(cluster, scenario.model, job)


def _fastest(
    run: SearchRun, scenario: Scenario, restrictions: Restrictions
) -> tuple[Plan, Estimate] | None:
    """The fastest plan that fits, if any combination is valid and fits."""
    roomy = _roomy(run, scenario, restrictions)
    return None if roomy is None else _best_of(roomy)


def _roomy(
    run: SearchRun, scenario: Scenario | None, restrictions: Restrictions
) -> SearchRun | None:
    """A bounded search, within the budget of `run`, in which something fits, if there is one. What
    it finds is advice, which nobody asks to be proven or to choose modules, which takes long."""
    if scenario is None:
        return None
    changed = SearchRun(
        scenario=scenario,
        restrictions=restrictions,
        top=1,
        budget=run.budget,
        solver=run.solver,
        proves=False,
        treats_modules=False,
    )
    try:
        changed.bound()
    except PlannerError:
        return None
    return changed if changed.num_fitting else None


def _best_of(run: SearchRun) -> tuple[Plan, Estimate] | None:
    """Of a search that ran out of time the best so far; None where what fits on the best devices of
    a mixed cluster fits on no hosts."""
    try:
        run.refine()
    except OutOfTime:
        if not run.best.kept:
            raise
    kept = run.best.kept
    return (kept[0].plan, kept[0].estimate) if kept else None


def _change(description: str, best: tuple[Plan, Estimate]) -> Change:
    return Change(description=description, plan=best[0], estimate=best[1])
