"""The search as one call: the best plans, how far they are proven, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from planner.alarm import enforced
from planner.budget import UNLIMITED, OutOfTime, Stopped
from planner.errors import RuleError
from planner.solver import Solver
from planner.training.confidence.interval import tie_margin, tied
from planner.training.search.best_first.fewer import faster_on_fewer
from planner.training.search.best_first.run import Progress, SearchRun
from planner.training.search.gaps import Gaps
from planner.training.search.hosts.placement import left_idle, used_hosts
from planner.training.search.idle.batches import near_batches
from planner.training.search.idle.bounds import WorkBounds
from planner.training.search.idle.nodes import FewerNodes, may_idle, may_leave_out
from planner.training.search.infeasible import (
    cheapest_changes,
    nearest_misses,
    offer_with_modules,
)
from planner.training.search.layouts.choose import choose_layout
from planner.training.search.layouts.default import default_layout
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.modules.choose import better_modules
from planner.training.search.offloading import with_offloading
from planner.training.search.result import NodeCounts, SearchResult, SwitchWorth
from planner.training.search.space.enumeration import space_report
from planner.training.search.space.restrictions import Restrictions, check_choices
from planner.training.search.switches import worth_of_switches
from planner.training.search.without_types import WithoutTypes

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.plan import RankedPlan
    from planner.training.scenario import Scenario
    from planner.training.search.idle.sizes import SharedSizes
    from planner.training.search.layouts.choose import LayoutImprover
    from planner.training.search.layouts.default import LayoutChooser
    from planner.training.search.result import (
        Change,
        Cloud,
        NearBatch,
        NearMiss,
        SizedPlan,
    )

__all__ = ["Progress", "search"]

UNRESTRICTED = Restrictions()

CLEARLY = 0.1
"""Share by which a plan on fewer nodes has to be faster for all numbers of nodes to be searched
where links are unequal: hosts are chosen on each of them."""

FAR = 0.5
"""The same share where the plan on all nodes is on the hosts as listed: others may be faster."""

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
    idle: bool = True,
    advise: bool = True,
    sizes: SharedSizes | None = None,
) -> SearchResult:
    """The `top` fastest plans that fit, each with the stage layout that `improve` finds, or the
    default one. An interrupt (Ctrl-C) or the deadline of the budget ends it with the best found so
    far, which `stopped` and the gaps tell. `solver`: the engines to ask, all there are by default.
    `cloud`: whether the result is to hold every combination that fits. `idle`: whether plans may
    leave nodes idle, where all nodes are alike or fewer are faster. `advise`: whether the result is
    to say what other batches, fewer devices, changed inputs and the switches of the software would
    give. `sizes`: what searches on fewer nodes of the same job found, which this one adds to.

    Raises: InputError, RuleError when the restrictions leave no valid combination.
    """
    check_choices(restrictions, scenario.job.software)
    looks_at_fewer = idle and may_idle(scenario)
    may_look = looks_at_fewer or (idle and may_leave_out(scenario))
    run = SearchRun(
        scenario=scenario,
        restrictions=restrictions,
        top=top,
        budget=budget,
        solver=solver or Solver(),
        alone=not may_look,
        progress=progress,
        layout=layout,
        improve=improve,
        **(sizes.limits() if sizes is not None else {}),
    )
    nearest: tuple[NearMiss, ...] = ()
    changes: list[Change] = []
    fitting: Cloud | None = None
    fewer: list[SizedPlan] = []
    switches: tuple[SwitchWorth, ...] = ()
    modules: Change | None = None
    without = WithoutTypes(run)
    cut = None
    smaller = FewerNodes(run=run, sizes=sizes) if looks_at_fewer else None
    empty: RuleError | None = None
    batches: tuple[NearBatch, ...] = ()

    def compare(best: RankedPlan, as_listed: bool) -> None:
        nonlocal smaller
        if smaller is not None:
            return
        found = faster_on_fewer(run, best)
        if found is None:
            return
        fewer.append(found)
        share = FAR if as_listed else CLEARLY
        faster = (found.step_s or inf) <= (1 - share) * best.estimate.step_s
        if idle and faster and may_leave_out(scenario):
            smaller = FewerNodes(run=run)
            smaller.look(first=found.nodes)
            run.beaten(smaller.slowest_s)

    def look_without_types(_: RankedPlan, _as_listed: bool) -> None:
        without.look_ahead()
        run.rival_s = min((one.step_s for one in without.found), default=inf)

    if smaller is None and advise:
        run.first_found = compare
    if improve is not None and advise and is_mixed(scenario.ideal):
        run.first_found = look_without_types
    if smaller is not None:
        run.walked = smaller.look_ahead
    try:
        with enforced(budget):
            try:
                run.bound()
            except RuleError as error:
                if smaller is None:
                    raise
                empty = error
                run.space.complete = run.done = True
            else:
                if cloud:
                    fitting = run.cloud()
                run.refine()
            if smaller is not None and not smaller.looked:
                smaller.look()
                batches = near_batches(smaller) if advise else ()
            if empty is None and not _plans(run, smaller) and _nothing_fits(run):
                wider = _offloading(run) or run
                if offer_with_modules(run, wider):
                    least_s = _least_work_s(run)
                    wider.bound_s = min(least_s, wider.bound_s or least_s)
                run, without = wider, WithoutTypes(wider)
            if run.improve is not None and advise:
                without.look()
            if empty is None and _nothing_fits(run) and not _plans(run, smaller):
                run.report("explaining")
                nearest = nearest_misses(run)
                for change in cheapest_changes(run) if advise else ():
                    changes.append(change)
            if smaller is None and advise and run.plans and not fewer:
                compare(run.plans[0], as_listed=False)
            best = next(iter(_plans(run, smaller)), None) if advise else None
            if best is not None and best.plan.degrees.devices == scenario.job.devices:
                switches = worth_of_switches(scenario, best, budget)
                modules = better_modules(scenario, best.plan, best.estimate, budget)
    except KeyboardInterrupt:
        cut = Stopped.INTERRUPTED
    except OutOfTime:
        cut = Stopped.TIME_LIMIT
    if cut is not None and not run.done:
        with suppress(OutOfTime), enforced(budget.longer(LAST_S)):
            run.show_something(price=cut is Stopped.TIME_LIMIT)
    if cut is not None:
        for one in (run, *(() if smaller is None else smaller.all_runs)):
            one.count_modules()
    if sizes is not None and cut is None:
        sizes.keep(run)
    if empty is not None and not _plans(run, smaller):
        if cut is None:
            raise empty
        # Fewer nodes may have combinations; not all of them were looked at.
        run.done = False
    result = _result(run, restrictions, smaller, cut, nearest, tuple(changes), fitting)
    return replace(
        result,
        fewer_nodes=_fewer_nodes(result, fewer),
        fewer_devices=without.found,
        near_batches=batches,
        needs_offloading=run.restrictions is not restrictions,
        switches=switches,
        modules=modules,
    )


def _least_work_s(run: SearchRun) -> float:
    """No combination on all nodes takes less than that, by its computation alone."""
    work = WorkBounds(run.scenario, run.restrictions, run.space.growing, run.budget)
    return work.by_nodes().get(run.scenario.topology.nodes, 0.0)


def _offloading(run: SearchRun) -> SearchRun | None:
    """Where nothing fits, the same search with what the framework can offload; None where nothing
    fits even then."""
    wider = with_offloading(run.restrictions, run.scenario.job)
    if wider is None:
        return None
    run.report("offloading")
    more = replace(run, restrictions=wider, done=False)
    try:
        more.bound()
    except RuleError:
        return None
    if more.num_fitting:
        more.refine()
    return more if more.best.kept else None


def _fewer_nodes(result: SearchResult, fewer: Sequence[SizedPlan]) -> SizedPlan | None:
    """The faster plan on fewer nodes, if one was found."""
    best_s = result.plans[0].estimate.step_s if result.plans else 0.0
    faster = (one for one in fewer if one.step_s is not None and one.step_s < best_s)
    return min(faster, key=lambda one: (one.step_s, one.nodes), default=None)


def _nothing_fits(run: SearchRun) -> bool:
    """Whether no combination fits, on whatever hosts."""
    return run.space.complete and run.done and not run.best.kept


def _plans(run: SearchRun, smaller: FewerNodes | None) -> tuple[RankedPlan, ...]:
    """The best plans on whatever number of nodes; on more nodes first where they are as fast."""
    runs = (run, *(() if smaller is None else smaller.all_runs))
    found = [one for each in runs for one in each.plans]
    found.sort(key=lambda one: (one.estimate.step_s, -one.estimate.devices, one.rank))
    best = found[: run.top]
    return tuple(
        replace(one, rank=rank, tied_with_best=tied(one.estimate.step_s, best[0].estimate.step_s))
        for rank, one in enumerate(best, start=1)
    )


def _result(
    run: SearchRun,
    restrictions: Restrictions,
    smaller: FewerNodes | None,
    cut: Stopped | None,
    nearest: tuple[NearMiss, ...],
    changes: tuple[Change, ...],
    cloud: Cloud | None,
) -> SearchResult:
    plans = _plans(run, smaller)
    opened = () if smaller is None else smaller.all_runs
    runs = (run, *(one for one in opened if one.space.complete))
    complete = run.space.complete
    settled = all(one.space.complete and one.done for one in (run, *opened))
    unlisted_s = _unlisted_s(runs, smaller)
    least_s = min((unlisted_s, *(one.least_s for one in runs)))
    gaps = Gaps.unknown()
    if complete and (plans or settled):
        steps_s = [one.estimate.step_s for one in plans]
        slowest_s = max(steps_s, default=inf)
        gaps = Gaps.of(
            plans,
            steps_s,
            unlisted=unlisted_s,
            modules=max(one.modules_gap(slowest_s) for one in runs),
            layout=max(one.layout_gap(slowest_s) for one in runs),
            floors=[one.least_s for one in runs],
        )
    proven = settled and gaps.none
    stopped = Stopped.PROVEN if proven else Stopped.WORK_LIMIT
    if cut is not None and not (proven and plans and cut is Stopped.TIME_LIMIT):
        stopped = cut
    return SearchResult(
        plans=plans,
        candidates=sum(one.space.enumeration.tally.candidates for one in runs),
        fitting=sum(one.num_fitting for one in runs),
        refined=sum(one.refined for one in runs),
        settled=settled,
        combination_gap=max(gaps.combination, gaps.modules),
        modules_open=gaps.modules > gaps.combination,
        placement_gap=gaps.placement,
        layout_gap=gaps.layout,
        best_gap=gaps.best,
        bound_s=least_s if complete and least_s < inf else None,
        stopped=stopped,
        tied_within=tie_margin(),
        space=space_report(run.space.enumeration, restrictions),
        solver=run.solver.record,
        nearest=nearest,
        changes=changes,
        cloud=cloud,
        nodes=None if smaller is None or smaller.rest_s is None else _nodes(smaller, plans),
    )


def _unlisted_s(runs: Sequence[SearchRun], smaller: FewerNodes | None) -> float:
    """Seconds that no combination takes less than that was not refined, on any number of nodes;
    infinite where there is no other."""
    rest_s = inf
    if smaller is not None and smaller.rest_s is not None:
        rest_s = min((smaller.rest_s, *(one.enough_s for one in runs)))
    bounds = [one.bound_s for one in runs if one.bound_s is not None]
    return min((*bounds, rest_s))


def _nodes(smaller: FewerNodes, plans: Sequence[RankedPlan]) -> NodeCounts:
    scenario = smaller.run.scenario
    hosts = used_hosts(scenario)
    used = plans[0].plan.placement.hosts if plans else hosts
    return NodeCounts(
        given=len(hosts),
        others=smaller.numbers,
        opened=len(smaller.runs),
        idle_hosts=left_idle(hosts, used),
    )
