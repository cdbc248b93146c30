"""Solves one combination on mixed devices: which types, which layers, and which of them are
recomputed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.budget import UNLIMITED
from planner.plan import Recompute, recomputed_per_stage
from planner.schedule.registry import kind_of
from planner.training.search.hosts.placement import placement_on
from planner.training.search.layouts.default import stages_of
from planner.training.search.mixed.classes import RowClasses, block_orders, hosts_of
from planner.training.search.mixed.cuts import Paths
from planner.training.search.mixed.listing import every_order
from planner.training.search.mixed.orders import BestOrder, Orders, best_order, largest_row_s
from planner.training.search.mixed.program import tables_below, tables_of_most
from planner.training.search.mixed.rooms import room_bytes
from planner.training.search.mixed.settle import SplitSearch
from planner.training.search.mixed.simulated import simulated_s
from planner.training.search.mixed.splits import held_bytes, least_chunks, spread

if TYPE_CHECKING:
    from planner.arrays import Ints
    from planner.budget import Budget
    from planner.plan import Plan, Stage
    from planner.solver import Solver
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

MANY_LISTED = 4096
"""The same where too many share several chunks to bound them all."""

LISTED_RISE = 0.02
"""Share by which their rows may be longer than the least where several chunks share a stage."""

SPLIT = 1024
"""Most answers of one program whose splits over several chunks are all bounded."""

RISE = 0.03
"""Share of a combination's bound by which splits over several chunks are to raise it at once."""

NEARLY = 0.985
"""Share of what is to be beaten up to which splits over several chunks are settled at first."""

NARROWED = (1.0, 0.25, 0.0625)
"""Shares of the distance between the least row and the step that is to be beaten, within which all
answers are listed: the next where they are too many."""

PRICED = 32
"""Answers with several chunks on a stage whose memory is looked at."""

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
    candidates takes less than `rest_s`; infinite where none is below what was to be beaten, 0 where
    that is not known. The most promising plans come first. `open`: slower ones were not looked for
    yet."""

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
    known: KnownPaths,
    turn: int = 0,
    splits: bool = True,
    budget: Budget = UNLIMITED,
) -> SolvedCombination:
    """The plans of a combination that take little more than `least_s`, which none is below, and
    less than `below_s`; the more, the oftener it had its `turn`. Without `splits`
    those of layers over several chunks are not looked at. Raises: OutOfTime."""
    classes = RowClasses.free(scenario, of.plan.degrees)
    if classes is None:
        return _on_listed_hosts(scenario, of, least_s, below_s, known, budget)
    several = of.batch.virtual_stages > 1
    reach = turn + (below_s == inf and not several)
    limit_s = min(below_s, least_s * REACHES[min(reach, len(REACHES) - 1)])
    if below_s <= least_s * NEAR:
        limit_s = below_s
    if several and least_s < below_s * NEARLY * BELOW:
        limit_s = min(limit_s, below_s * NEARLY)
    search = _Search(scenario, of, classes, least_s, limit_s, known, budget, splits=splits)
    found = search.solved()
    found = replace(found, bound_s=max(found.bound_s, least_s))
    found_s = min((one.least_s for one in found.candidates), default=inf)
    if several and found.bound_s < min(limit_s, found_s) * BELOW**2:
        return replace(found, open=not search.crowded)
    if limit_s == below_s or found_s <= limit_s:
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
    known: KnownPaths,
    every: bool,
    budget: Budget = UNLIMITED,
) -> SolvedCombination:
    """The same with one chunk per stage on devices of one type, on the hosts of the combination's
    plan. `tables`: for steps up to `below_s` or longer ones. `every`: also what is slower than
    other plans of the combination."""
    classes = RowClasses.alike(of.batch.pipeline)
    hosts = of.plan.placement.hosts
    search = _Search(scenario, of, classes, least_s, below_s, known, budget, hosts, every=every)
    found = search.solved(tables)
    rest_s = max(found.rest_s, least_s) if found.rest_s < BELOW**2 * below_s else inf
    return replace(found, bound_s=max(found.bound_s, least_s), rest_s=rest_s)


def _on_listed_hosts(
    scenario: Scenario,
    of: TypedCombination,
    least_s: float,
    below_s: float,
    known: KnownPaths,
    budget: Budget,
) -> SolvedCombination:
    """Where stages and nodes do not align: plans with like nodes together, and a bound over all
    orders of the nodes."""
    pipeline = of.plan.degrees.pipeline
    levels = RowClasses.levels(scenario, pipeline, of.slowest_first[::-1])
    bound_s = _Search(scenario, of, levels, least_s, below_s, known, budget).least_row_s()
    bound_s = max(bound_s, least_s)
    candidates: list[Candidate] = []
    for hosts in block_orders(scenario) if bound_s < below_s else ():
        placed = scenario.placed(hosts)
        classes = RowClasses.listed(placed, pipeline)
        listed = replace(of, plan=replace(of.plan, placement=placement_on(scenario, hosts)))
        found = _Search(scenario, listed, classes, least_s, below_s, known, budget, hosts).solved()
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
        known: KnownPaths,
        budget: Budget,
        hosts: tuple[str, ...] | None = None,
        *,
        every: bool = False,
        splits: bool = True,
    ) -> None:
        self._scenario, self._of, self._classes = scenario, of, classes
        self._least_s, self._below_s, self._known = least_s, below_s, known
        self._budget, self._hosts, self._every = budget, hosts, every
        self._tried = MANY_TRIED if every else TRIED
        self._splits = splits
        self.crowded = False
        """Whether there were too many answers to look at each."""
        self._found: list[_Found] = []
        self._bound_s = self._rest_s = below_s

    def solved(self, tables: CombinationTables | None = None) -> SolvedCombination:
        tables = tables or tables_below(self._of, self._classes, self._below_s)
        if self._of.batch.virtual_stages > 1:
            self._solve_splits(tables)
        else:
            for recomputed in tables.recomputed.tolist():
                self._budget.check()
                if tables.may_hold(recomputed):
                    self._solve(tables.program(recomputed))
        self._found.sort(key=lambda one: (one.seconds, one.changes))
        candidates: dict[Plan, Candidate] = {}
        for one in self._found:
            plan = self._plan(one)
            if plan is None or plan in candidates:
                continue
            if len(candidates) == self._tried:
                self._rest_s = min(self._rest_s, one.seconds)
                break
            candidates[plan] = Candidate(least_s=one.seconds, plan=plan)
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
            below_s = min(below_s, min((one.seconds for one in self._found), default=inf))
        best = best_order(
            program.problem, least_s=self._least_s, below_s=below_s, budget=self._budget
        )
        if best is None:
            self._bound_s = min(self._bound_s, below_s)
            self._rest_s = min(self._rest_s, below_s)
            return
        best_s = self._note_fitting(program, best.order)
        until_s = max(best.rows_s, below_s if self._every else min(below_s, best_s))
        bound_s = rest_s = best.rows_s
        for share in NARROWED:
            within_s = best.rows_s + share * (until_s - best.rows_s)
            orders = every_order(
                program.problem,
                within_s * (1 + 1e-9),
                most=LISTED,
                budget=self._budget,
            )
            if orders is None:
                continue
            seconds = simulated_s(self._of, program, orders) if len(orders) else np.zeros(0)
            self._note(program, orders, seconds)
            bound_s = min(within_s, float(seconds.min(initial=inf)))
            left = np.sort(seconds)[self._tried : self._tried + 1]
            rest_s = min(within_s, float(left.min(initial=inf)))
            break
        self._bound_s = min(self._bound_s, bound_s)
        self._rest_s = min(self._rest_s, rest_s)

    def _solve_splits(self, tables: CombinationTables) -> None:
        """The same with several chunks on a stage: of all programs those answers whose rows are
        little longer than the least row of any."""
        begun: list[tuple[OrderTables, BestOrder]] = []
        for recomputed in tables.recomputed.tolist():
            self._budget.check()
            if not tables.may_hold(recomputed):
                continue
            program = tables.program(recomputed)
            best = best_order(
                program.problem,
                least_s=self._least_s,
                below_s=self._below_s,
                budget=self._budget,
            )
            if best is not None:
                begun.append((program, best))
                self._note_fitting(program, best.order)
        if not begun:
            return
        least_s = max(self._least_s, min(best.rows_s for _, best in begun))
        for program, best in begun:
            rows_s = max(best.rows_s, self._least_s)
            found_s = min((one.seconds for one in self._found), default=inf)
            until_s = min(self._below_s, least_s * (1 + RISE), found_s)
            bound_s = rows_s
            if not self._splits:
                self._list_some(program, rows_s, LISTED)
            elif rows_s < until_s:
                bound_s = max(rows_s, self._split_within(program, rows_s, until_s))
            self._bound_s = min(self._bound_s, bound_s)

    def _list_some(self, program: OrderTables, rows_s: float, most: int) -> None:
        """Remember the best of at most so many answers whose rows are little longer than the
        least."""
        for share in NARROWED:
            orders = every_order(
                program.problem,
                rows_s * (1 + share * LISTED_RISE),
                most=most,
                budget=self._budget,
            )
            if orders is not None:
                if len(orders):
                    self._note_fitting(program, orders)
                return

    def _split_within(self, program: OrderTables, rows_s: float, until_s: float) -> float:
        """A bound in seconds on the step of answers whose rows are at most `until_s`: the least row
        where there are too many to look at."""
        orders = every_order(program.problem, until_s * (1 + 1e-9), most=SPLIT, budget=self._budget)
        bound_s = rows_s
        if orders is None:
            self._list_some(program, rows_s, MANY_LISTED)
        else:
            bound_s = self._split(program, orders, until_s)
        self.crowded |= bound_s < until_s * BELOW
        return bound_s

    def _split(self, program: OrderTables, orders: Orders, within_s: float) -> float:
        """A bound in seconds on the step of these answers, at most `within_s`, over all splits of
        their layers over chunks. Raises: OutOfTime."""
        least = np.argsort(largest_row_s(program.problem, orders), kind="stable")[:LISTED]
        first = Orders(classes=orders.classes[least], layers=orders.layers[least])
        if len(first):
            self._note_fitting(program, first)
        if not len(orders):
            return within_s
        search = SplitSearch(
            self._of,
            self._classes,
            program,
            orders,
            self._known.of(self._of),
            self._known.solver,
            self._budget,
        )
        settled = search.settle(within_s)
        self._known.note(self._of, search.paths)
        for split in settled.splits:
            chosen = slice(split.answer, split.answer + 1)
            order = Orders(classes=orders.classes[chosen], layers=orders.layers[chosen])
            changes = int((np.diff(order.classes[0]) != 0).sum())
            self._found.append(_Found(split.seconds, changes, order, program, split.chunks))
        return settled.bound_s

    def _note_fitting(self, program: OrderTables, orders: Orders) -> float:
        """Remember the best answers that fit with layers spread as evenly as they can be; the step
        of the fastest, infinite where none of the first ones fits."""
        seconds = simulated_s(self._of, program, orders)
        ranked = np.argsort(seconds, kind="stable")
        if self._of.batch.virtual_stages > 1:
            fitting = (i for i in ranked[:PRICED].tolist() if self._fits(program, orders, i))
            ranked = np.array(list(islice(fitting, self._tried)), dtype=np.int64)
        self._note(program, _chosen(orders, ranked), seconds[ranked])
        return float(seconds[ranked].min(initial=inf))

    def _fits(self, program: OrderTables, orders: Orders, index: int) -> bool:
        """Whether an answer fits with layers spread as evenly as they can be."""
        of, p = self._of, self._of.batch.pipeline
        pairs = zip(orders.layers[index].tolist(), least_chunks(of), strict=True)
        chunks = np.array([spread(held, least) for held, least in pairs])
        types = [self._classes.types[c] for c in orders.classes[index].tolist()]
        room = np.repeat([room_bytes(of.ideal, one) for one in types], p // len(types))
        return bool((held_bytes(of, chunks, program.replayed_at_most) <= room).all())

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
            self._found.append(_Found(float(seconds[index]), int(changes[index]), one, program))

    def _plan(self, one: _Found) -> Plan | None:
        of, degrees, order = self._of, self._of.plan.degrees, one.order
        hosts = self._hosts or hosts_of(
            self._scenario, degrees, [self._classes.types[c] for c in order.classes[0].tolist()]
        )
        if hosts is None:
            return None
        chunks = one.chunks
        if of.free and chunks is None:
            pairs = zip(order.layers[0].tolist(), least_chunks(of), strict=True)
            chunks = np.array([spread(held, least) for held, least in pairs])
        stages = self._stages(chunks) if of.free and chunks is not None else of.plan.stages
        return replace(
            of.plan,
            stages=stages,
            recompute=Recompute(
                granularity=of.plan.recompute.granularity,
                layers_per_stage=recomputed_per_stage(stages, one.program.recomputed),
            ),
            placement=placement_on(self._scenario, hosts),
        )

    def _stages(self, chunks: Ints) -> tuple[Stage, ...]:
        """The stages with these layers in their chunks [p, v]."""
        plan = self._of.plan
        pipeline, number = plan.degrees.pipeline, plan.virtual_stages
        positions = kind_of(plan.schedule).placement(pipeline, number).positions
        layers = np.zeros(pipeline * number, dtype=np.int64)
        layers[positions] = chunks
        return stages_of(layers.tolist(), pipeline, number, plan.schedule)


def _chosen(orders: Orders, which: Ints) -> Orders:
    return Orders(classes=orders.classes[which], layers=orders.layers[which])


class _Found(NamedTuple):
    """An answer, with the layers of every chunk [p, v] where they are not spread by the rule."""

    seconds: float
    changes: int
    order: Orders
    program: OrderTables
    chunks: Ints | None = None


class KnownPaths:
    """Paths through schedules that a search has found, for the combinations that come after."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self._paths: dict[tuple[object, ...], Paths] = {}

    def of(self, of: TypedCombination) -> Paths:
        """Those of a combination's schedule."""
        batch = of.batch
        return self._paths.get(_key(of), Paths.none(batch.pipeline, batch.virtual_stages))

    def note(self, of: TypedCombination, paths: Paths) -> None:
        """Keep the last ones found."""
        self._paths[_key(of)] = paths.last(REMEMBERED)


def _key(of: TypedCombination) -> tuple[object, ...]:
    batch = of.batch
    sizes = (batch.pipeline, batch.virtual_stages, int(batch.num_microbatches[0]))
    return (batch.schedule, *sizes, of.problems[0].sends)


REMEMBERED = 64
"""Paths of a schedule that are kept from one combination to the next."""
