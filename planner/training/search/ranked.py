"""The search by another objective than the step: goodput or cost, and within limits.

Every number of nodes has a lower bound of its value. Numbers are opened in the order of that bound
until it reaches the worst plan to be listed; on each, only combinations are looked at that may be
better. Where nodes are not alike, only all of them are searched.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from planner.alarm import enforced
from planner.budget import UNLIMITED, OutOfTime, Stopped
from planner.errors import RuleError
from planner.solver import Solver
from planner.training.confidence.interval import tie_margin, tied
from planner.training.scenario import resized
from planner.training.search.best_first.run import Progress, SearchRun
from planner.training.search.bounding.tables import GrowingTable
from planner.training.search.gaps import Gaps
from planner.training.search.hosts.placement import left_idle, used_hosts
from planner.training.search.idle.bounds import WorkBounds, below
from planner.training.search.idle.nodes import may_idle
from planner.training.search.objective import Objective
from planner.training.search.result import NodeCounts, RankedBy, SearchResult
from planner.training.search.space.enumeration import space_report
from planner.training.search.space.restrictions import Restrictions, check_choices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.budget import Budget
    from planner.plan import RankedPlan
    from planner.training.scenario import Scenario

MOST_OPENED = 64
"""Numbers of nodes that are searched; the gap says what others may give."""
ROOM = 3
"""Times as many plans are kept on each number of nodes as are listed, since their order by the
objective is not quite that by the step."""


def search_ranked(
    scenario: Scenario,
    objective: Objective,
    *,
    restrictions: Restrictions,
    top: int = 10,
    budget: Budget = UNLIMITED,
    progress: Callable[[Progress], None] | None = None,
    idle: bool = True,
) -> SearchResult:
    """The `top` best plans by the objective that keep within its limits. `gap` and `bound_s` are of
    the step where that is the objective; otherwise `ranked` has the bound of the objective.

    Raises: InputError; RuleError when the restrictions leave no valid combination.
    """
    check_choices(restrictions, scenario.job.software)
    objective.check(scenario)
    found = _Search(
        scenario=scenario,
        objective=objective,
        restrictions=restrictions,
        top=top,
        budget=budget,
        progress=progress,
    )
    cut = None
    try:
        with enforced(budget):
            if idle and may_idle(scenario):
                found.every_number()
            else:
                found.open(scenario, None)
                found.rest = inf
    except KeyboardInterrupt:
        cut = Stopped.INTERRUPTED
    except OutOfTime:
        cut = Stopped.TIME_LIMIT
    result = found.result(cut)
    limited = Objective(by=objective.by) != objective
    if result.plans or cut is not None or not limited or result.ranked is None:
        return result
    free = Objective(by="step" if objective.at_least is not None else "cost")
    near = search_ranked(scenario, free, restrictions=restrictions, top=1, budget=budget, idle=idle)
    closest = next(iter(near.plans), None)
    return replace(result, ranked=replace(result.ranked, closest=closest))


@dataclass(slots=True, kw_only=True)
class _Search:
    scenario: Scenario
    objective: Objective
    restrictions: Restrictions
    top: int
    budget: Budget
    progress: Callable[[Progress], None] | None
    solver: Solver = field(default_factory=Solver)
    runs: list[SearchRun] = field(default_factory=list)
    rest: float = 0.0
    """No plan on a number of nodes that was not opened has a lower value."""
    numbers: int = 0

    def every_number(self) -> None:
        """Raises: OutOfTime; RuleError where no number of nodes has a combination."""
        scenario = self.scenario
        growing = GrowingTable(scenario.ideal, self.budget)
        work = WorkBounds(scenario, self.restrictions, growing, self.budget)
        sized, waiting = {}, []
        for nodes, least_s in work.by_nodes().items():
            one = sized[nodes] = resized(scenario, nodes * scenario.node_devices)
            if least_s <= self.objective.longest_s(one):
                waiting.append((self.objective.least(one, least_s), -nodes))
        if not sized:
            self.open(scenario, growing)
        self.numbers = sum(nodes < scenario.topology.nodes for nodes in sized)
        for value, negative in sorted(waiting):
            self.rest = value
            if value >= self.worst or len(self.runs) >= MOST_OPENED:
                return
            self.budget.check()
            self.open(sized[-negative], growing, work)
        self.rest = inf

    def open(
        self, scenario: Scenario, growing: GrowingTable | None, work: WorkBounds | None = None
    ) -> None:
        """Search on the devices of one scenario. Raises: OutOfTime."""
        enough_s = min(
            self.objective.longest_s(scenario) * (1 + 1e-9),
            self.objective.step_s(scenario, self.worst),
        )
        run = SearchRun(
            scenario=scenario,
            restrictions=self.restrictions,
            top=ROOM * self.top,
            budget=self.budget,
            solver=self.solver,
            progress=self.progress,
            enough_s=enough_s,
            hopeful=None if work is None or enough_s == inf else below(work, enough_s),
            priced=growing,
        )
        self.runs.append(run)
        if work is None:
            run.bound()
        else:
            with suppress(RuleError):
                run.bound()
            if not run.space.complete:
                run.space.complete = run.done = True
                return
        if run.may_fit:
            run.refine()
        else:
            run.done = True

    @property
    def worst(self) -> float:
        """The value of the worst plan to be listed; infinite while there is room for more."""
        values = [self.objective.value(one.estimate) for one in self.listed]
        return values[-1] if len(values) == self.top else inf

    @property
    def listed(self) -> list[RankedPlan]:
        """The best plans within the limits."""
        found = [
            one for run in self.runs for one in run.plans if self.objective.allows(one.estimate)
        ]
        found.sort(key=lambda one: (self.objective.value(one.estimate), one.estimate.devices))
        return found[: self.top]

    def result(self, cut: Stopped | None) -> SearchResult:
        plans = self._ranked(self.listed)
        settled = cut is None and all(run.space.complete and run.done for run in self.runs)
        bound = self._bound()
        values = [self.objective.value(one.estimate) for one in plans]
        gaps = Gaps.unknown()
        if settled and (values or self.rest == inf):
            gaps = self._gaps(plans, values, bound)
        proven = settled and gaps.none
        run = next(iter(self.runs), None) or SearchRun(
            scenario=self.scenario, restrictions=self.restrictions, top=self.top
        )
        return SearchResult(
            plans=plans,
            candidates=sum(one.space.enumeration.tally.candidates for one in self.runs),
            fitting=sum(one.num_fitting for one in self.runs),
            refined=sum(one.refined for one in self.runs),
            settled=settled,
            combination_gap=max(gaps.combination, gaps.modules),
            modules_open=gaps.modules > gaps.combination,
            placement_gap=gaps.placement,
            best_gap=gaps.best,
            layout_gap=gaps.layout,
            bound_s=bound if self.objective.by == "step" and bound < inf else None,
            stopped=cut or (Stopped.PROVEN if proven else Stopped.WORK_LIMIT),
            tied_within=tie_margin(),
            space=space_report(run.space.enumeration, self.restrictions),
            solver=self.solver.record,
            nearest=(),
            changes=(),
            nodes=self._nodes(plans),
            ranked=RankedBy(
                by=self.objective.by,
                at_least=self.objective.at_least,
                step_budget=self.objective.step_budget,
                job_budget=self.objective.job_budget,
                values=tuple(values),
                bound=None if bound == inf else bound,
            ),
        )

    def _gaps(self, plans: Sequence[RankedPlan], values: Sequence[float], bound: float) -> Gaps:
        """Of a search that came to its end."""
        worst = max(values, default=inf)
        limits = [(run, self.objective.step_s(run.scenario, worst)) for run in self.runs]
        return Gaps.of(
            plans,
            values,
            unlisted=bound,
            modules=max((run.modules_gap(slow_s) for run, slow_s in limits), default=0.0),
            layout=max((run.layout_gap(slow_s) for run, slow_s in limits), default=0.0),
            floors=[
                self.objective.least(run.scenario, run.least_s)
                for run in self.runs
                if run.least_s < inf
            ],
        )

    def _ranked(self, plans: Sequence[RankedPlan]) -> tuple[RankedPlan, ...]:
        values = [self.objective.value(one.estimate) for one in plans]
        return tuple(
            replace(one, rank=rank, tied_with_best=tied(value, values[0]))
            for rank, (one, value) in enumerate(zip(plans, values, strict=True), start=1)
        )

    def _bound(self) -> float:
        """No plan that is not listed has a lower value."""
        bounds = [self.rest]
        for run in self.runs:
            if run.bound_s is not None:
                bounds.append(self.objective.least(run.scenario, run.bound_s))
            unlisted = self.objective.step_s(run.scenario, self.worst)
            if run.enough_s < unlisted and run.enough_s < self.objective.longest_s(run.scenario):
                bounds.append(self.objective.least(run.scenario, run.enough_s))
        return min(bounds)

    def _nodes(self, plans: Sequence[RankedPlan]) -> NodeCounts | None:
        hosts = used_hosts(self.scenario)
        used = plans[0].plan.placement.hosts if plans else hosts
        if not self.numbers:
            return None
        return NodeCounts(
            given=len(hosts),
            others=self.numbers,
            opened=sum(run.scenario.topology.nodes < len(hosts) for run in self.runs),
            idle_hosts=left_idle(hosts, used),
        )
