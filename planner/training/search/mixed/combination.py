"""Solves one combination on mixed devices: which types, which layers, and which of them are
recomputed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from planner.budget import UNLIMITED
from planner.training.search.hosts.placement import placement_on
from planner.training.search.mixed.classes import RowClasses
from planner.training.search.mixed.found import BELOW, FoundAnswers
from planner.training.search.mixed.one_chunk import OneChunkSearch
from planner.training.search.mixed.orders import best_order
from planner.training.search.mixed.program import tables_below, tables_of_most
from planner.training.search.mixed.row_hosts import block_orders
from planner.training.search.mixed.several_chunks import SeveralChunksSearch

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.plan import Plan
    from planner.training.scenario import Scenario
    from planner.training.search.mixed.known_paths import KnownPaths
    from planner.training.search.mixed.program import CombinationTables
    from planner.training.search.mixed.typed import TypedCombination

REACHES = (1.1, 1.5, 4.0, inf)
"""Multiples of a combination's bound below which its step is looked for, one after the other, so
that programs stay small."""

NEAR = 2.0
"""Multiple of a combination's bound up to which what is to be beaten is looked for at once."""

TRIED = 3
"""Answers that become plans."""

MANY_TRIED = 16
"""The same where all other plans are to be excluded."""


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

    @property
    def least_s(self) -> float:
        """What no candidate takes less than; infinite without any."""
        return min((one.least_s for one in self.candidates), default=inf)

    def with_dispatcher(self, dispatcher: str | None) -> SolvedCombination:
        """The same for a combination that differs in the dispatcher of experts alone."""
        candidates = tuple(
            replace(one, plan=replace(one.plan, dispatcher=dispatcher)) for one in self.candidates
        )
        return replace(self, candidates=candidates)


def solve(
    scenario: Scenario,
    of: TypedCombination,
    least_s: float,
    below_s: float = inf,
    *,
    known: KnownPaths,
    turn: int = 0,
    splits: bool = True,
    near_s: float = inf,
    budget: Budget = UNLIMITED,
) -> SolvedCombination:
    """The plans of a combination that take little more than `least_s`, which none is below, and
    less than `below_s`; the more, the oftener it had its `turn`. Without `splits`
    those of layers over several chunks are not looked at, and up to `near_s` first.
    Raises: OutOfTime."""
    classes = RowClasses.free(scenario, of.plan.degrees)
    if classes is None:
        return _on_listed_hosts(scenario, of, least_s, below_s, known, budget)
    several = of.batch.virtual_stages > 1
    reach = turn + (below_s == inf and not several)
    limit_s = min(below_s, least_s * REACHES[min(reach, len(REACHES) - 1)])
    if below_s <= least_s * NEAR:
        limit_s = below_s
    if several and least_s < near_s * BELOW**2:
        limit_s = min(limit_s, near_s)
    search = _Search(
        scenario, of, classes, least_s, limit_s, known, budget, splits=splits, wanted_s=below_s
    )
    found = search.solved()
    found = replace(found, bound_s=max(found.bound_s, least_s))
    found_s = found.least_s
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
    """Where stages and nodes do not align: plans with like nodes together, and with rows of like
    nodes in any order; and a bound over all orders of the nodes."""
    pipeline = of.plan.degrees.pipeline
    levels = RowClasses.levels(scenario, pipeline, of.slowest_first[::-1])
    bound_s = _Search(scenario, of, levels, least_s, below_s, known, budget).least_s()
    bound_s = max(bound_s, least_s)
    candidates: list[Candidate] = []
    units = RowClasses.of_units(scenario, of.plan.degrees)
    if units is not None and bound_s < below_s:
        found = _Search(scenario, of, units, least_s, below_s, known, budget).solved()
        candidates.extend(found.candidates)
    for hosts in block_orders(scenario) if bound_s < below_s else ():
        placed = scenario.placed(hosts)
        classes = RowClasses.listed(placed, pipeline)
        listed = replace(of, plan=replace(of.plan, placement=placement_on(scenario, hosts)))
        # Splits would raise the bound of these hosts alone, which bounds no other order.
        search = _Search(
            scenario, listed, classes, least_s, below_s, known, budget, hosts, splits=False
        )
        found = search.solved()
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
        wanted_s: float | None = None,
    ) -> None:
        """`wanted_s`: what plans have to take less than, if not `below_s`."""
        self._of, self._classes, self._known = of, classes, known
        self._wanted_s = below_s if wanted_s is None else wanted_s
        self._least_s, self._below_s, self._budget = least_s, below_s, budget
        self._every, self._splits = every, splits
        self._found = FoundAnswers(scenario, of, classes, hosts, MANY_TRIED if every else TRIED)
        self.crowded = False
        """Whether there were too many answers to look at each."""

    def solved(self, tables: CombinationTables | None = None) -> SolvedCombination:
        """Raises: OutOfTime."""
        tables = tables or tables_below(self._of, self._classes, self._below_s)
        several = self._of.batch.virtual_stages > 1
        bound_s, rest_s = self._split(tables) if several else self._listed(tables)
        plans, next_s = self._found.plans()
        return SolvedCombination(
            bound_s=BELOW * bound_s,
            candidates=tuple(Candidate(least_s=s, plan=plan) for plan, s in plans.items()),
            rest_s=BELOW * min(rest_s, next_s),
        )

    def _listed(self, tables: CombinationTables) -> tuple[float, float]:
        """Bounds in seconds on all answers, and on those that were not noted."""
        search = OneChunkSearch(
            self._of, self._found, self._least_s, self._below_s, self._budget, every=self._every
        )
        search.solve(tables)
        return search.bound_s, search.rest_s

    def _split(self, tables: CombinationTables) -> tuple[float, float]:
        """The same where layers are split over several chunks of a stage."""
        search = SeveralChunksSearch(
            self._of,
            self._classes,
            self._found,
            self._least_s,
            self._below_s,
            self._known,
            self._budget,
            splits=self._splits,
            wanted_s=self._wanted_s,
        )
        search.solve(tables)
        self.crowded = search.crowded
        return search.bound_s, search.bound_s

    def least_s(self) -> float:
        """The least that an answer takes, at most what is to be beaten; with several chunks on a
        stage the least of the largest rows of all."""
        tables = tables_below(self._of, self._classes, self._below_s)
        if self._of.batch.virtual_stages == 1:
            return BELOW * self._listed(tables)[0]
        rows_s = [self._below_s]
        for recomputed in tables.worth(lambda: min(rows_s)):
            self._budget.check()
            best = best_order(
                tables.program(recomputed).problem,
                least_s=self._least_s,
                below_s=min(rows_s),
                budget=self._budget,
            )
            if best is not None:
                rows_s.append(best.rows_s)
        return BELOW * min(rows_s)
