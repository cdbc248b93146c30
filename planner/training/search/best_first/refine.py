"""Refinement in order of the bound: quick bounds are tightened, tight ones refined, smallest first,
until the k-th best refined plan is no worse than the smallest bound that remains.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from planner.plan import Proof, RankedPlan
from planner.training.confidence.interval import tied
from planner.training.estimate import batch_of_one, estimate, point_estimate, shard_of
from planner.training.search.bounding.groups import tight_bound_s
from planner.training.search.hosts.bound import simulated_bound_s
from planner.training.search.hosts.choose import PlacedPlan, PlacementSearch
from planner.training.search.hosts.methods import ALIKE
from planner.training.search.hosts.placement import placement_on, used_hosts
from planner.training.search.plans.build import plan_of
from planner.training.search.space.enumeration import GRID_AXES
from planner.training.search.space.facts import value_of
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from planner.plan import Estimate, Plan
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.groups import Fitting

CLOSED = 1 - 1e-9
"""Share of a step from which on a bound has reached it."""

RULED_OUT = 2
"""Plans that were left out for which a proof is tried."""

DEGREE_AXES = ("tensor", "context", "expert", "expert_tensor")

PRICED_AS_LISTED, SCOUTED = 128, 12
"""Combinations that scouting prices, and that it refines."""

FIRST_WINDOW = 64
"""Combinations whose bound is tightened at once; the next window is twice as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refined:
    """Sorted by time, then by the position in the order of enumeration. No placement of the plan
    takes less than `bound_s`, as far as `method` tells."""

    step_s: float
    index: int
    plan: Plan
    estimate: Estimate
    bound_s: float
    method: str

    @property
    def key(self) -> tuple[float, int]:
        return self.step_s, self.index


class Refinement:
    """Best-first refinement of the combinations that fit. `step` does a little of it; between
    steps everything found so far can be read."""

    def __init__(
        self,
        scenario: Scenario,
        table: CostTable,
        groups: Sequence[Fitting],
        *,
        top: int,
        deadline_s: float | None = None,
    ) -> None:
        """`table` and the bounds of `groups` are of the ideal scenario."""
        self._scenario = scenario
        self._ideal = scenario.ideal
        self._placements = PlacementSearch(scenario=scenario, deadline_s=deadline_s)
        self._table = table
        self._groups = groups
        self._top = top
        self._first = np.cumsum([0, *map(len, groups)])
        self._quick_s = np.concatenate([np.zeros(0), *(group.bound_s for group in groups)])
        self._order = np.argsort(self._quick_s, kind="stable")
        self._opened = 0
        self._window = FIRST_WINDOW
        self._tight: list[tuple[float, int, int, bool]] = []
        self._best: list[_Refined] = []
        self._left_out: list[_Refined] = []
        self._scouted: set[int] = set()
        self.refined = self.placed = 0

    @property
    def done(self) -> bool:
        """Whether the best plans are proven best, or nothing is left."""
        full = len(self._best) == self._top
        return self._open_s == np.inf or (full and self._open_s >= self._best[-1].step_s)

    def scout(self, out_of_time: Callable[[], bool]) -> None:
        """Where nodes are not alike, refine first what is fastest on the hosts as listed: of every
        set of degrees and schedule the combination with the smallest bound is priced there, and
        the best of them are refined. A good plan early leaves little to be placed."""
        if self._ideal is self._scenario:
            return
        found = []
        for owner, index in self._one_of_each():
            if out_of_time():
                break
            group, first = self._groups[owner], int(self._first[owner])
            bounds, layers = tight_bound_s(
                self._ideal, self._table, group, np.array([index - first])
            )
            plan = plan_at(self._scenario, group, index - first, int(layers[0]))
            step_s = point_estimate(self._scenario, plan, load=group.layout.load).step_s
            found.append((step_s, index, float(bounds[0]), int(layers[0])))
        for _, index, bound_s, layers_ in sorted(found)[:SCOUTED]:
            if out_of_time():
                break
            self._refine(bound_s, index, layers_)
            self._scouted.add(index)

    def _one_of_each(self) -> list[tuple[int, int]]:
        """Group and position of the combination with the smallest bound of every set of degrees and
        schedule, the smallest bounds first."""
        best: dict[tuple[object, ...], tuple[float, int, int]] = {}
        for owner, group in enumerate(self._groups):
            columns, first = group.screened.columns, int(self._first[owner])
            degrees = np.stack([columns[axis][group.grid_row] for axis in DEGREE_AXES])
            order = np.argsort(group.bound_s, kind="stable")
            _, smallest = np.unique(degrees[:, order], axis=1, return_index=True)
            for index in order[smallest].tolist():
                key = (group.screened.pipeline, group.schedule, *degrees[:, index].tolist())
                entry = (float(group.bound_s[index]), owner, first + index)
                if key not in best or entry < best[key]:
                    best[key] = entry
        return [(owner, index) for _, owner, index in sorted(best.values())[:PRICED_AS_LISTED]]

    def step(self) -> None:
        """Tighten a window of bounds or refine one combination."""
        if self._tight and self._tight[0][0] <= self._next_quick_s:
            bound_s, index, layers, simulated = heappop(self._tight)
            if index in self._scouted:
                return
            if simulated or self._ideal is self._scenario:
                self._refine(bound_s, index, layers)
            else:
                self._simulate(bound_s, index, layers)
        else:
            self._tighten()

    @property
    def bound_s(self) -> float | None:
        """No combination that is not among the best takes less, wherever its stages are placed;
        None when there is no other."""
        bound_s = min([self._open_s, *(one.bound_s for one in self._left_out)])
        return None if bound_s == np.inf else float(bound_s)

    @property
    def _open_s(self) -> float:
        """No combination that is not refined takes less."""
        return min(self._tight[0][0] if self._tight else np.inf, self._next_quick_s)

    @property
    def best_s(self) -> float | None:
        return self._best[0].step_s if self._best else None

    @property
    def plans(self) -> tuple[RankedPlan, ...]:
        return tuple(
            RankedPlan(
                rank=rank,
                plan=found.plan,
                estimate=found.estimate,
                tied_with_best=tied(found.step_s, self._best[0].step_s),
                proofs=(
                    Proof(
                        decision="placement",
                        gap=1 - found.bound_s / found.step_s,
                        method=found.method,
                        gain=self._gain(found),
                    ),
                ),
            )
            for rank, found in enumerate(self._best, start=1)
        )

    def _gain(self, refined: _Refined) -> float:
        """How much longer the step takes on the hosts in the order of the cluster file."""
        hosts = used_hosts(self._scenario)
        if refined.plan.placement.hosts == hosts:
            return 0.0
        listed = replace(refined.plan, placement=placement_on(self._scenario, hosts))
        return max(0.0, point_estimate(self._scenario, listed).step_s / refined.step_s - 1)

    @property
    def _next_quick_s(self) -> float:
        if self._opened == len(self._order):
            return np.inf
        return float(self._quick_s[self._order[self._opened]])

    def _tighten(self) -> None:
        opened = np.sort(self._order[self._opened : self._opened + self._window])
        self._opened += len(opened)
        self._window *= 2
        owners = np.searchsorted(self._first, opened, side="right") - 1
        for owner in np.unique(owners).tolist():
            indices = opened[owners == owner]
            bounds, layers = tight_bound_s(
                self._ideal, self._table, self._groups[owner], indices - self._first[owner]
            )
            bounds = np.maximum(bounds, self._quick_s[indices])
            for entry in zip(bounds.tolist(), indices.tolist(), layers.tolist(), strict=True):
                heappush(self._tight, (*entry, False))

    def _simulate(self, bound_s: float, index: int, recomputed_layers: int) -> None:
        """Raise a bound before a placement is looked for."""
        plan, group = self._plan(index, recomputed_layers)
        batch = batch_of_one(plan, self._table.shards.index(shard_of(plan)), group.layout.load)
        simulated_s = simulated_bound_s(self._ideal, self._table, batch)
        heappush(self._tight, (max(bound_s, simulated_s), index, recomputed_layers, True))

    def _plan(self, index: int, recomputed_layers: int) -> tuple[Plan, Fitting]:
        owner = int(np.searchsorted(self._first, index, side="right")) - 1
        group = self._groups[owner]
        offset = index - int(self._first[owner])
        return plan_at(self._scenario, group, offset, recomputed_layers), group

    def _refine(self, bound_s: float, index: int, recomputed_layers: int) -> None:
        plan, group = self._plan(index, recomputed_layers)
        self.refined += 1
        if self._ideal is self._scenario:
            found = estimate(self._scenario, plan, table=self._table, load=group.layout.load)
            placed = [(PlacedPlan(plan=plan, bound_s=found.step_s, method=ALIKE), found)]
        else:
            placed = list(self._placed(plan, group, bound_s))
        for best, found in sorted(placed, key=lambda one: one[1].step_s)[:1]:
            self._keep(_refined(index, best, found))

    def _placed(
        self, plan: Plan, group: Fitting, bound_s: float
    ) -> Iterator[tuple[PlacedPlan, Estimate]]:
        """The plan on the best hosts found, for every arrangement of the device types in which it
        fits."""
        self.placed += 1
        for hosts in self._placements.arrangements():
            listed = replace(plan, placement=placement_on(self._scenario, hosts))
            placed = self._placements.place(listed, bound_s)
            found = estimate(self._scenario, placed.plan, load=group.layout.load)
            if found.memory.fits:
                yield placed, found

    def plan(self, index: int, recomputed_layers: int) -> Plan:
        """A combination's plan with the default stage layout, on the hosts found for it."""
        kept = [one.plan for one in self._best if one.index == index]
        return kept[0] if kept else self._plan(index, recomputed_layers)[0]

    def replace(self, index: int, plan: Plan) -> None:
        """Let a combination have a plan with another stage layout, if that is faster."""
        if self._ideal is self._scenario:
            found = estimate(self._scenario, plan, table=self._table)
            placed = PlacedPlan(plan=plan, bound_s=found.step_s, method=ALIKE)
        else:
            load = stage_load(self._scenario.model, self._scenario.kinds, plan.stages)
            batch = batch_of_one(plan, self._table.shards.index(shard_of(plan)), load)
            anywhere_s = simulated_bound_s(self._ideal, self._table, batch)
            placed = self._placements.place(plan, anywhere_s)
            found = estimate(self._scenario, placed.plan)
        self._keep(_refined(index, placed, found))

    def prove(self) -> None:
        """Give the placement of the best plan all the effort that a proof may take, and that of
        the plan that takes its place, until the best was given it."""
        proven: set[int] = set()
        while self._best and self._best[0].index not in proven:
            best = self._best[0]
            proven.add(best.index)
            if best.bound_s < best.step_s:
                placed = self._placements.prove(
                    PlacedPlan(plan=best.plan, bound_s=best.bound_s, method=best.method)
                )
                self._best[0] = _refined(best.index, placed, estimate(self._scenario, placed.plan))
                self._best.sort(key=lambda one: one.key)
        self._rule_out()

    def _rule_out(self) -> None:
        """Prove of plans that were left out that no placement makes them one of the best, the most
        promising first."""
        for _ in range(RULED_OUT):
            self._left_out.sort(key=lambda one: (one.bound_s, one.index))
            if not self._left_out or self._left_out[0].bound_s >= self.slowest_kept_s:
                return
            one = self._left_out.pop(0)
            placed = self._placements.prove(
                PlacedPlan(plan=one.plan, bound_s=one.bound_s, method=one.method)
            )
            self._keep(_refined(one.index, placed, estimate(self._scenario, placed.plan)))

    @property
    def slowest_kept_s(self) -> float:
        """Step of the slowest plan kept; infinite while there is room for more."""
        return self._best[-1].step_s if len(self._best) == self._top else np.inf

    def _keep(self, refined: _Refined) -> None:
        """Insert one among the best, one plan of each combination, or remember how fast what is
        left out could be."""
        if any(one.index == refined.index and one.key <= refined.key for one in self._best):
            return
        self._best = [one for one in self._best if one.index != refined.index]
        insort(self._best, refined, key=lambda one: one.key)
        self._left_out += self._best[self._top :]
        del self._best[self._top :]


def _refined(index: int, placed: PlacedPlan, found: Estimate) -> _Refined:
    return _Refined(
        step_s=found.step_s,
        index=index,
        plan=placed.plan,
        estimate=found,
        bound_s=found.step_s if placed.bound_s >= found.step_s * CLOSED else placed.bound_s,
        method=placed.method,
    )


def plan_at(
    scenario: Scenario,
    group: Fitting,
    index: int,
    recomputed_layers: int,
) -> Plan:
    """The plan of one combination of a group, on the hosts in the order of the cluster file."""
    row = int(group.grid_row[index])
    columns = group.screened.columns
    values = {axis: value_of(axis, int(columns[axis][row])) for axis in GRID_AXES}
    values |= {
        "pipeline": group.screened.pipeline,
        "virtual_stages": group.virtual_stages,
        "schedule": group.schedule,
        "recompute": value_of("recompute", int(group.recompute[index])),
        "data_sharding": value_of("data_sharding", int(group.data_sharding[index])),
    }
    return plan_of(scenario, values, group.layout.stages, recomputed_layers)
