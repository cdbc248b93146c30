"""The search as one call: the best plans, how far they are proven, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.alarm import enforced
from planner.budget import UNLIMITED, OutOfTime, Stopped
from planner.solver import Solver
from planner.training.confidence.interval import tie_margin
from planner.training.search.best_first.fewer import faster_on_fewer
from planner.training.search.best_first.run import Progress, SearchRun
from planner.training.search.infeasible import cheapest_changes, nearest_misses
from planner.training.search.layouts.choose import choose_layout
from planner.training.search.layouts.default import default_layout
from planner.training.search.result import SearchResult
from planner.training.search.space.enumeration import space_report
from planner.training.search.space.restrictions import Restrictions, check_choices
from planner.training.search.without_types import faster_without_types

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.plan import RankedPlan
    from planner.training.scenario import Scenario
    from planner.training.search.layouts.choose import LayoutImprover
    from planner.training.search.layouts.default import LayoutChooser
    from planner.training.search.result import Change, Cloud, FewerDevices, NearMiss, SizedPlan

__all__ = ["Progress", "search"]

UNRESTRICTED = Restrictions()

LAST_S = 0.3
"""How much later than the deadline a search that found nothing may look for one plan."""


def search(
    scenario: Scenario,
    *,
    restrictions: Restrictions = UNRESTRICTED,
    top: int = 10,
    budget: Budget = UNLIMITED,
    solver: Solver | None = None,
    progress: Callable[[Progress], None] | None = None,
    layout: LayoutChooser = default_layout,
    improve: LayoutImprover | None = choose_layout,
    cloud: bool = False,
) -> SearchResult:
    """The `top` fastest plans that fit, each with the stage layout that `improve` finds, or the
    default one. An interrupt (Ctrl-C) or the deadline of the budget ends it with the best found so
    far, which `stopped` and the gaps tell. `solver`: the engines to ask, all there are by default.
    `cloud`: whether the result is to hold every combination that fits.

    Raises: InputError, RuleError when the restrictions leave no valid combination.
    """
    check_choices(restrictions, scenario.job.software)
    run = SearchRun(
        scenario=scenario,
        restrictions=restrictions,
        top=top,
        budget=budget,
        solver=solver or Solver(),
        progress=progress,
        layout=layout,
        improve=improve,
    )
    nearest: tuple[NearMiss, ...] = ()
    changes: list[Change] = []
    without: tuple[FewerDevices, ...] = ()
    fitting: Cloud | None = None
    fewer: list[SizedPlan] = []
    cut = None

    def compare(best: RankedPlan) -> None:
        smaller = faster_on_fewer(scenario, restrictions, best, budget)
        fewer.extend([] if smaller is None else [smaller])

    run.first_found = compare
    try:
        with enforced(budget):
            run.bound()
            if cloud:
                fitting = run.cloud()
            run.refine()
            if run.improve is not None:
                without = faster_without_types(run)
            if _nothing_fits(run):
                run.report("explaining")
                nearest = nearest_misses(run)
                for change in cheapest_changes(run):
                    changes.append(change)
            if run.plans and not fewer:
                compare(run.plans[0])
    except KeyboardInterrupt:
        cut = Stopped.INTERRUPTED
    except OutOfTime:
        cut = Stopped.TIME_LIMIT
    if cut is not None and not run.done:
        with suppress(OutOfTime), enforced(budget.longer(LAST_S)):
            run.show_something(price=cut is Stopped.TIME_LIMIT)
    result = _result(run, cut, nearest, tuple(changes), fitting)
    return replace(result, fewer_nodes=_fewer_nodes(result, fewer), fewer_devices=without)


def _fewer_nodes(result: SearchResult, fewer: Sequence[SizedPlan]) -> SizedPlan | None:
    """The faster plan on fewer nodes, if one was found."""
    best_s = result.plans[0].estimate.step_s if result.plans else 0.0
    return next((one for one in fewer if one.step_s is not None and one.step_s < best_s), None)


def _nothing_fits(run: SearchRun) -> bool:
    """Whether no combination fits, on whatever hosts."""
    return run.complete and run.done and not run.best.kept


def _result(
    run: SearchRun,
    cut: Stopped | None,
    nearest: tuple[NearMiss, ...],
    changes: tuple[Change, ...],
    cloud: Cloud | None,
) -> SearchResult:
    plans = run.plans
    settled = run.complete and run.done
    bound_s = run.bound_s if run.complete else None
    gap, layout_gap = 0.0, 0.0
    if plans and run.complete:
        slowest_s = plans[-1].estimate.step_s
        gap = 0.0 if bound_s is None else max(0.0, 1 - bound_s / slowest_s)
        layout_gap = run.layout_gap
    elif not settled:
        gap = 1.0
    placement_gap = max((proof.gap or 0.0 for one in plans for proof in one.proofs), default=0.0)
    proven = settled and not (gap or layout_gap or placement_gap)
    stopped = Stopped.PROVEN if proven else Stopped.WORK_LIMIT
    if cut is not None and not (proven and plans and cut is Stopped.TIME_LIMIT):
        stopped = cut
    return SearchResult(
        plans=plans,
        candidates=run.enumeration.tally.candidates,
        fitting=run.num_fitting,
        refined=run.refined,
        settled=settled,
        gap=gap,
        placement_gap=placement_gap,
        layout_gap=layout_gap,
        bound_s=bound_s,
        stopped=stopped,
        tied_within=tie_margin(),
        space=space_report(run.enumeration, run.restrictions),
        solver=run.solver.record,
        nearest=nearest,
        changes=changes,
        cloud=cloud,
    )
