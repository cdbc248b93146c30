"""The search as one call: the best plans, how far they are proven, or why there are none."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from planner.training.confidence.interval import tie_margin
from planner.training.search.best_first.run import Progress, SearchRun
from planner.training.search.infeasible import cheapest_changes, nearest_misses
from planner.training.search.layouts.choose import choose_layout
from planner.training.search.layouts.default import default_layout
from planner.training.search.result import SearchResult
from planner.training.search.space.enumeration import space_report
from planner.training.search.space.restrictions import Restrictions, check_choices

if TYPE_CHECKING:
    from planner.training.scenario import Scenario
    from planner.training.search.layouts.choose import LayoutImprover
    from planner.training.search.layouts.default import LayoutChooser
    from planner.training.search.result import Change, NearMiss

__all__ = ["Progress", "search"]

UNRESTRICTED = Restrictions()


def search(
    scenario: Scenario,
    *,
    restrictions: Restrictions = UNRESTRICTED,
    top: int = 10,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    layout: LayoutChooser = default_layout,
    improve: LayoutImprover | None = choose_layout,
) -> SearchResult:
    """The `top` fastest plans that fit, each with the stage layout that `improve` finds, or the
    default one. An interrupt (Ctrl-C) or the time limit ends it with the best found so far,
    which `stopped` and `gap` tell.

    Raises: InputError, RuleError when the restrictions leave no valid combination.
    """
    check_choices(restrictions, scenario.job.software)
    run = SearchRun(
        scenario=scenario,
        restrictions=restrictions,
        top=top,
        deadline_s=None if time_limit_s is None else monotonic() + time_limit_s,
        progress=progress,
        layout=layout,
        improve=improve,
    )
    nearest: tuple[NearMiss, ...] = ()
    changes: tuple[Change, ...] = ()
    try:
        run.bound()
        run.refine()
        if run.complete and (run.refinement is None or run.refinement.best_s is None):
            run.report("explaining")
            nearest = nearest_misses(run)
            changes = cheapest_changes(run)
    except KeyboardInterrupt:
        run.stopped = "interrupted"
    return _result(run, nearest, changes)


def _result(
    run: SearchRun, nearest: tuple[NearMiss, ...], changes: tuple[Change, ...]
) -> SearchResult:
    refinement = run.refinement
    plans = refinement.plans if refinement else ()
    bound_s = run.bound_s if run.complete else None
    gap = 0.0
    if run.stopped != "proven":
        gap = 1.0
    if plans and bound_s is not None:
        gap = max(0.0, 1 - bound_s / plans[-1].estimate.step_s)
    layout_gap = 0.0
    if plans:
        layout_gap = max(0.0, 1 - run.layouts_bound_s / plans[-1].estimate.step_s)
    placement_gap = max((proof.gap or 0.0 for one in plans for proof in one.proofs), default=0.0)
    return SearchResult(
        plans=plans,
        candidates=run.enumeration.tally.candidates,
        fitting=run.num_fitting,
        refined=refinement.refined if refinement else 0,
        proven=run.stopped == "proven" and not gap and not placement_gap,
        gap=gap,
        placement_gap=placement_gap,
        layout_gap=layout_gap,
        bound_s=bound_s,
        stopped=run.stopped,
        tied_within=tie_margin(),
        space=space_report(run.enumeration, run.restrictions),
        nearest=nearest,
        changes=changes,
    )
