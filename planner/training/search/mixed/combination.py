"""Solves one combination on mixed devices: which types, which layers, and which of them are
recomputed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.plan import Recompute, recomputed_per_stage
from planner.schedule.registry import kind_of
from planner.training.search.hosts.placement import placement_on
from planner.training.search.layouts.default import stages_of
from planner.training.search.mixed.classes import RowClasses, block_orders, hosts_of
from planner.training.search.mixed.listing import every_order
from planner.training.search.mixed.orders import Orders, best_order
from planner.training.search.mixed.program import tables_below, tables_of_most
from planner.training.search.mixed.simulated import simulated_s
from planner.training.search.mixed.typed import spread

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.plan import Plan, Stage
    from planner.training.scenario import Scenario
    from planner.training.search.mixed.program import CombinationTables, OrderTables
    from planner.training.search.mixed.typed import TypedCombination

REACHES = (1.1, 1.5, 4.0, inf)
"""Multiples of a combination's bound below which its step is looked for, one after the other, so
that programs stay small."""

NEAR = 2.0
"""Multiple of a combination's bound up to which what is to be beaten is looked for at once."""

LISTED = 512
"""Most answers of one program that are all simulated."""

NARROWED = (1.0, 0.25, 0.0625)
"""Shares of the distance between the least row and the step that is to be beaten, within which all
answers are listed: the next where they are too many."""

TRIED = 3
"""Answers that become plans."""

MANY_TRIED = 16
"""The same where all other plans are to be excluded."""

BELOW = 1 - 1e-9
"""Share by which bounds are lowered, so that rounding cannot lift one above a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plan, and what no plan with its types and layers takes less than."""

    least_s: float
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedCombination:
    """No plan of a combination takes less than `bound_s`; infinite where none fits. None but the
    candidates takes less than `rest_s`; infinite where none is below what was to be beaten. The
    most promising plans come first. `open`: slower ones were not looked for yet."""

    bound_s: float
    candidates: tuple[Candidate, ...]
    open: bool = False
    rest_s: float = 0.0


def solve(
    scenario: Scenario,
    of: TypedCombination,
    least_s: float,
    below_s: float = inf,
    *,
    turn: int = 0,
    budget: Budget = UNLIMITED,
) -> SolvedCombination:
    """The plans of a combination that take little more than `least_s`, which none is below, and
    less than `below_s`; the more, the oftener it had its `turn`. Raises: OutOfTime."""
    classes = RowClasses.free(scenario, of.plan.degrees)
    if classes is None:
        return _on_listed_hosts(scenario, of, least_s, below_s, budget)
    limit_s = min(below_s, least_s * REACHES[min(turn, len(REACHES) - 1)])
    if below_s <= least_s * NEAR:
        limit_s = below_s
    found = _Search(scenario, of, classes, least_s, limit_s, budget).solved()
    found = replace(found, bound_s=max(found.bound_s, least_s))
    if limit_s == below_s or any(one.least_s <= limit_s for one in found.candidates):
        return found
    if not turn and not found.candidates and not tables_of_most(of, classes).may_fit:
        return SolvedCombination(bound_s=inf, candidates=())
    return replace(found, open=True)


def tables_alike(of: TypedCombination, below_s: float) -> CombinationTables:
    """For `solve_alike`."""
    return tables_below(of, RowClasses.alike(of.batch.pipeline), below_s)


def solve_alike(
    scenario: Scenario,
    of: TypedCombination,
    least_s: float,
    below_s: float,
    tables: CombinationTables,
    *,
    every: bool,
    budget: Budget = UNLIMITED,
) -> SolvedCombination:
    """The same on devices of one type, on the hosts of the combination's plan. `tables`: for steps
    up to `below_s` or longer ones. `every`: also what is slower than other plans of the
    combination."""
    classes = RowClasses.alike(of.batch.pipeline)
    hosts = of.plan.placement.hosts
    search = _Search(scenario, of, classes, least_s, below_s, budget, hosts, every=every)
    found = search.solved(tables)
    rest_s = max(found.rest_s, least_s) if found.rest_s < BELOW**2 * below_s else inf
    return replace(found, bound_s=max(found.bound_s, least_s), rest_s=rest_s)


def _on_listed_hosts(
    scenario: Scenario, of: TypedCombination, least_s: float, below_s: float, budget: Budget
) -> SolvedCombination:
    """Where stages and nodes do not align: plans with like nodes together, and a bound over all
    orders of the nodes."""
    pipeline = of.plan.degrees.pipeline
    levels = RowClasses.levels(scenario, pipeline, of.slowest_first[::-1])
    bound_s = _Search(scenario, of, levels, least_s, below_s, budget).least_row_s()
    bound_s = max(bound_s, least_s)
    candidates: list[Candidate] = []
    for hosts in block_orders(scenario) if bound_s < below_s else ():
        placed = scenario.placed(hosts)
        classes = RowClasses.listed(placed, pipeline)
        listed = replace(of, plan=replace(of.plan, placement=placement_on(scenario, hosts)))
        found = _Search(scenario, listed, classes, least_s, below_s, budget, hosts).solved()
        candidates.extend(found.candidates)
    candidates.sort(key=lambda one: one.least_s)
    return SolvedCombination(bound_s=bound_s, candidates=tuple(candidates[:TRIED]))


class _Search:
    """The answers of all programs of a combination, one for every number of recomputed layers."""

    def __init__(
        self,
        scenario: Scenario,
        of: TypedCombination,
        classes: RowClasses,
        least_s: float,
        below_s: float,
        budget: Budget,
        hosts: tuple[str, ...] | None = None,
        *,
        every: bool = False,
    ) -> None:
        self._scenario, self._of, self._classes = scenario, of, classes
        self._least_s, self._below_s = least_s, below_s
        self._budget, self._hosts, self._every = budget, hosts, every
        self._tried = MANY_TRIED if every else TRIED
        self._found: list[tuple[float, int, Orders, OrderTables]] = []
        self._bound_s = below_s
        self._rest_s = below_s

    def solved(self, tables: CombinationTables | None = None) -> SolvedCombination:
        tables = tables or tables_below(self._of, self._classes, self._below_s)
        for recomputed in tables.recomputed.tolist():
            self._budget.check()
            if tables.may_hold(recomputed):
                self._solve(tables.program(recomputed))
        self._found.sort(key=lambda one: one[:2])
        candidates: dict[Plan, Candidate] = {}
        for least_s, _, order, program in self._found:
            plan = self._plan(order, program)
            if plan is None or plan in candidates:
                continue
            if len(candidates) == self._tried:
                self._rest_s = min(self._rest_s, least_s)
                break
            candidates[plan] = Candidate(least_s=least_s, plan=plan)
        return SolvedCombination(
            bound_s=BELOW * self._bound_s,
            candidates=tuple(candidates.values()),
            rest_s=BELOW * self._rest_s,
        )

    def least_row_s(self) -> float:
        """The least of the largest rows of all answers; at most what is to be beaten."""
        tables = tables_below(self._of, self._classes, self._below_s)
        least_s = self._below_s
        for recomputed in tables.recomputed.tolist():
            self._budget.check()
            if not tables.may_hold(recomputed):
                continue
            best = best_order(
                tables.program(recomputed).problem,
                least_s=self._least_s,
                below_s=least_s,
                budget=self._budget,
            )
            least_s = least_s if best is None else best.rows_s
        return BELOW * least_s

    def _solve(self, program: OrderTables) -> None:
        below_s = self._below_s
        if not self._every:
            below_s = min(below_s, min((one[0] for one in self._found), default=inf))
        best = best_order(
            program.problem, least_s=self._least_s, below_s=below_s, budget=self._budget
        )
        if best is None:
            self._bound_s = min(self._bound_s, below_s)
            self._rest_s = min(self._rest_s, below_s)
            return
        best_s = float(simulated_s(self._of, program, best.order)[0])
        until_s = max(best.rows_s, below_s if self._every else min(below_s, best_s))
        bound_s = rest_s = best.rows_s
        self._note(program, best.order, np.array([best_s]))
        # The chunks of a stage are spread by a rule: what others would take is not simulated.
        simulated_is_least = self._of.batch.virtual_stages == 1
        for share in NARROWED:
            within_s = best.rows_s + share * (until_s - best.rows_s)
            orders = every_order(
                program.problem, within_s * (1 + 1e-9), most=LISTED, budget=self._budget
            )
            if orders is None:
                continue
            seconds = simulated_s(self._of, program, orders) if len(orders) else np.zeros(0)
            self._note(program, orders, seconds)
            if simulated_is_least:
                bound_s = min(within_s, float(seconds.min(initial=inf)))
                left = np.sort(seconds)[self._tried : self._tried + 1]
                rest_s = min(within_s, float(left.min(initial=inf)))
            break
        self._bound_s = min(self._bound_s, bound_s)
        self._rest_s = min(self._rest_s, rest_s)

    def _note(self, program: OrderTables, orders: Orders, seconds: np.ndarray) -> None:
        """Remember the best answers; of equal ones those with the fewest changes of class."""
        if not len(orders):
            return
        changes = (np.diff(orders.classes, axis=1) != 0).sum(axis=1)
        ranked = np.lexsort((changes, np.round(seconds / max(seconds.min(), 1e-30), 9)))
        for index in ranked[: self._tried].tolist():
            one = Orders(
                classes=orders.classes[index : index + 1], layers=orders.layers[index : index + 1]
            )
            self._found.append((float(seconds[index]), int(changes[index]), one, program))

    def _plan(self, order: Orders, program: OrderTables) -> Plan | None:
        of, degrees = self._of, self._of.plan.degrees
        hosts = self._hosts or hosts_of(
            self._scenario, degrees, [self._classes.types[c] for c in order.classes[0].tolist()]
        )
        if hosts is None:
            return None
        stages = self._stages(order) if of.free else of.plan.stages
        return replace(
            of.plan,
            stages=stages,
            recompute=Recompute(
                granularity=of.plan.recompute.granularity,
                layers_per_stage=recomputed_per_stage(stages, program.recomputed),
            ),
            placement=placement_on(self._scenario, hosts),
        )

    def _stages(self, order: Orders) -> tuple[Stage, ...]:
        plan = self._of.plan
        pipeline, chunks = plan.degrees.pipeline, plan.virtual_stages
        positions = kind_of(plan.schedule).placement(pipeline, chunks).positions
        layers = [0] * (pipeline * chunks)
        for stage, held in enumerate(order.layers[0].tolist()):
            for chunk, count in enumerate(spread(held, chunks)):
                layers[int(positions[stage, chunk])] = count
        return stages_of(layers, pipeline, chunks, plan.schedule)
