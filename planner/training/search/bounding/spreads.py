"""Lower bounds over all ways to spread layers over the chunks of interleaved schedules.

No step is shorter than a path through its schedule, nor than an average of such paths. A linear
program finds the average that is longest where layers are spread as is best for it: the dual of the
spread that keeps the longest path short. No stage gets more layers than it has room for; where the
rooms leave no choice, that fixes the layers of every stage. An average bounds all combinations of
the same schedule. Where a simulation of the spread found takes longer than the program says, the
program lacks the longest paths of that simulation. They join it (Kelley 1960, cutting planes) until
both say the same.

Layers are whole. With L of them and K = ⌈L / p⌉, at least a stages hold K or more: as many as it
takes for all layers to have room where the others hold no more than K − 1. Any p − a + 1 stages
include one of them. So no layout is faster than the a-th smallest of p bounds, of which each holds
where one certain stage has K or more. Some chunk of that stage holds ⌈K / v⌉ or more. Where that is
more than its share, its bound is the smallest of v bounds, each for one chunk with so many.

Letters: N cases, J paths, p stages, v chunks of a stage, V = p · v chunks in the order in which a
microbatch visits them, m microbatches. A case is a combination with a number of recomputed layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.bounds.loop_paths import LoopPaths
from planner.solver.division import Parts
from planner.training.search.bounding.least_spread import least_spread_s
from planner.training.search.bounding.spread_cases import fewest_layers
from planner.training.search.bounding.spread_passes import even_spread
from planner.training.search.bounding.spread_paths import SpreadPaths
from planner.training.search.bounding.spread_program import Spread, SpreadProgram, SpreadRows

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.schedule.graph.compile import Sends
    from planner.solver import Solver
    from planner.training.search.bounding.spread_cases import SpreadCases

TOWARDS = (0.1, 0.4)
"""Spreads are simulated so far on the way from the best known one to that of a program: they show
paths that matter more than those of the program's own spread (in-out separation, Ben-Ameur and Neto
2007, "Acceleration of cutting-plane and column generation algorithms")."""

CLOSE = 5e-4
"""Share of a step up to which a program and a simulation say the same."""

HAIR = 1e-9
"""Layers that rounding may hide."""

RISEN, MUCH = 1e-4, 2e-3
"""Share of a step by which rounds raise a bound if they help, and by which they do so where the
chunks of a stage may be told apart instead."""

APART = 4
"""Chunks of a stage up to which they may be told apart: each takes simulations of its own."""

STALE = 3
"""Calls in a row whose rounds do not help until a bound is left alone."""

ANY = -1
"""No stage, or no chunk of it, in particular."""


class Holder(NamedTuple):
    """A stage that has at least K layers, and a chunk of it that has at least ⌈K / v⌉."""

    stage: int = ANY
    chunk: int = ANY


@dataclass(slots=True, eq=False)
class _Search:
    """Looks for the best spread of a case, from one that is `near` it, beyond what it has `given`
    some chunk. `paths` are those of the rows of its program, with as `few` microbatches; `best` is
    the best spread simulated."""

    few: int
    given: Floats
    near: Floats
    paths: LoopPaths
    program: SpreadProgram
    best: Spread | None = None
    stale: int = 0
    more: list[LoopPaths] = field(default_factory=list)

    def add(self, paths: LoopPaths, rows: SpreadRows) -> None:
        self.more.append(paths)
        self.program.add(rows)

    def used(self) -> LoopPaths:
        """The paths that its program uses."""
        self.paths = LoopPaths.joined(self.paths, *self.more)
        self.more = []
        return self.paths.some(self.program.used)


class SpreadBounds:
    """The cases of one schedule with as many `chunks` in a pipeline. `bound_s` [N] rises with every
    average of paths that is found."""

    def __init__(
        self,
        schedule: str,
        stages: int,
        sends: Sends,
        cases: SpreadCases,
        layers: int,
        solver: Solver,
    ) -> None:
        self.cases = cases
        self.bound_s = cases.least_s.copy()
        self._stages, self._solver = stages, solver
        self.chunks = cases.sends_s.shape[-1] + 1
        self._repeats = bool((cases.first_s > 0).any())
        self._least = fewest_layers(self.chunks)
        self._rest = max(layers - int(self._least.sum()), 0)
        self._paths = SpreadPaths(
            schedule=schedule,
            stages=stages,
            chunks=self.chunks,
            sends=sends,
            repeats=self._repeats,
        )
        self._few = self._paths.ordered(cases.microbatches)
        self._nearest: dict[int, Floats] = {}
        self._searched: dict[tuple[int, Holder], _Search] = {}
        self._closed: set[tuple[int, Holder]] = set()
        self._apart: set[int] = set()
        self._floor = -(-layers // stages) - self._least.reshape(-1, stages).sum(axis=0)
        self._full = self._full_stages()
        holds = self._rooms(cases) >= self._floor
        self._with_full_s = np.where(holds, self.bound_s[:, None], np.inf)
        self._with_chunk_s = np.repeat(self._with_full_s[..., None], self.chunks // stages, axis=2)
        # What a chunk with ⌈K / v⌉ layers has beyond its fewest.
        each, rest = divmod(-(-layers // stages), self.chunks // stages)
        self._more = each + 1 - self._least if rest and self.chunks // stages <= APART else None

    def raise_bound(self, case: int, budget: Budget, *, rounds: int = 0) -> bool:
        """Raise the bound of a case by averages of paths, and those of the others with it, after
        some `rounds` of simulations. Returns whether more of them may raise it further. Raises:
        OutOfTime."""
        holder = self._deciding(case) if rounds else Holder()
        one = self.cases.some(np.array([case]))
        key = case, holder
        if key not in self._searched:
            self._searched[key] = self._search(one, int(self._few[case]), holder)
        search = self._searched[key]
        open_ = bool(rounds) and self._may_find(search.few)
        before_s = self._holding_s(case, holder)
        division = search.program.solved()
        for _ in range(rounds if open_ else 0):
            budget.check()
            if search.best is None:
                search.best = self._tried(one, search, search.near[None])
            if division is None or search.best.seconds <= division.seconds * (1 + CLOSE):
                open_ = False
                break
            known = search.best.layers
            between = known + np.multiply.outer(TOWARDS, division.layers - known)
            tried = self._tried(one, search, between)
            search.best = min(search.best, tried, key=lambda spread: spread.seconds)
            division = search.program.solved()
        if search.best is not None and holder.chunk == ANY:
            self._nearest[search.few] = search.best.layers
        if division is not None:
            shares = search.program.shares
            self._apply(search.few, search.used(), shares, holder)
        apart = holder.chunk == ANY and self._chunks_of(case, holder) != ANY
        risen = self._holding_s(case, holder) / before_s - 1 if before_s else np.inf
        search.stale = 0 if risen > RISEN else search.stale + 1
        if not open_ or search.stale == STALE or (apart and risen < MUCH):
            self._closed.add(key)
            if apart:
                self._apart.add(case)
        return bool(rounds) and (case, self._deciding(case)) not in self._closed

    def passes(self, case: int) -> int:
        """Passes of a simulation of a case."""
        return int(2 * self.chunks * self._few[case])

    def _holding_s(self, case: int, holder: Holder) -> float:
        """The bound of a case where `holder` has its layers."""
        if holder.chunk != ANY:
            return float(self._with_chunk_s[case, holder.stage, holder.chunk])
        if holder.stage != ANY:
            return float(self._with_full_s[case, holder.stage])
        return float(self.bound_s[case])

    def _search(self, case: SpreadCases, few: int, holder: Holder) -> _Search:
        """Of one case, where `holder` has its layers."""
        given = self._given(holder)
        parts, paths = self._parts(case, holder, given), self._paths.known(few)
        near = even_spread(parts, self.chunks)
        known = self._nearest.get(few)
        if known is not None and holder.chunk == ANY and self._within(parts, known):
            near = known
        rows = self._paths.rows(paths, few, case).beyond(given)
        return _Search(few, given, near, paths, SpreadProgram(rows, parts, near, self._solver))

    def _given(self, holder: Holder) -> Floats:
        """[V] or [2 · V]: what the chunk of `holder` has in any case beyond its fewest."""
        given = np.zeros(self.chunks * (1 + self._repeats))
        if holder.chunk != ANY and self._more is not None:
            place = holder.chunk * self._stages + holder.stage
            given[place] = self._more[place]
        return given

    def _deciding(self, case: int) -> Holder:
        """The stage that has at least K layers where the bound of a case is least, and its chunk
        once more rounds for any chunk do not help; none where the rooms leave no choice."""
        decided = Holder()
        if self._full[case]:
            order = np.argsort(self._with_full_s[case], kind="stable")
            decided = Holder(int(order[self._full[case] - 1]))
        stage = self._chunks_of(case, decided)
        if stage == ANY or case not in self._apart:
            return decided
        return Holder(stage, int(self._with_chunk_s[case, stage].argmin()))

    def _chunks_of(self, case: int, holder: Holder) -> int:
        """The stage whose chunks may be told apart, of which one has more than its share: that of
        `holder`, or one of those that hold K in any case; `ANY` where none has to."""
        if self._more is None:
            return ANY
        if holder.stage != ANY or self._full[case]:
            return holder.stage
        holding = np.flatnonzero(np.isfinite(self._with_full_s[case]))
        return int(holding[len(holding) // 2]) if len(holding) else ANY

    def _full_stages(self) -> Ints:
        """[N]: how many stages hold at least K layers in any case; 0 where the rooms say how many
        each has."""
        layers = self._rest + int(self._least.sum())
        most, below = self.cases.most, -(-layers // self._stages) - 1.0
        usual = np.minimum(most, below)
        gains = np.cumsum(np.sort(most - usual, axis=1)[:, ::-1], axis=1)
        lacking = layers - usual.sum(axis=1)
        needed = 1 + (gains < lacking[:, None]).sum(axis=1)
        return np.where(most.sum(axis=1) > layers, np.minimum(needed, self._stages), 0)

    def _parts(self, cases: SpreadCases, holder: Holder, given: Floats) -> Parts:
        """Of one case, where `holder` has its layers, beyond those `given`."""
        held = given[: self.chunks].reshape(-1, self._stages).sum(axis=0)
        owed = None
        if self._repeats:
            owed = np.stack((cases.owed[0, :, 0] + cases.owed[0, :, 1] * held, cases.owed[0, :, 1]))
        return Parts(
            float(self._rest - held.sum()),
            np.maximum(self._floors(holder) - held, 0.0),
            self._rooms(cases)[0] - held,
            owed,
        )

    def _within(self, parts: Parts, spread: Floats) -> bool:
        """Whether a spread of another case keeps to the floors and rooms of this one."""
        held = spread[: self.chunks].reshape(-1, self._stages).sum(axis=0)
        return bool((held >= parts.floors - HAIR).all() and (held <= parts.rooms + HAIR).all())

    def _tried(self, case: SpreadCases, search: _Search, spreads: Floats) -> Spread:
        """Simulate spreads [B, V or 2 · V] of one case, and remember their longest paths. Returns
        the best of them. Its seconds are those of the longest path known."""
        longest = self._paths.simulated(search.few, case, search.given + spreads)
        search.add(longest, self._paths.rows(longest, search.few, case).beyond(search.given))
        taken_s = [float(search.program.rows.seconds(spread).max()) for spread in spreads]
        best = int(np.argmin(taken_s))
        return Spread(spreads[best], taken_s[best])

    def _may_find(self, few: int) -> bool:
        """Whether paths of simulations are there with as many microbatches as the cases have."""
        more = self.cases.microbatches[self._few == few] > few
        return few % self._stages == 0 or not more.any()

    def _apply(self, few: int, paths: LoopPaths, shares: Floats, holder: Holder) -> None:
        """Raise the bounds of all cases to which the paths belong by an average of them: those that
        hold where `holder` has its layers."""
        at = np.flatnonzero(self._few == few)
        used = np.flatnonzero(shares > 0)
        cases, paths = self.cases.some(at), paths.some(used)
        weights = shares[used] / shares[used].sum()
        average = self._paths.average(paths, weights, few, cases)
        each = average.each_s
        least_s = average.fixed_s + cases.after_s
        any_s = least_s + self._least_s(each, cases, Holder())
        self.bound_s[at] = np.maximum(self.bound_s[at], any_s)
        self._with_full_s[at] = np.maximum(self._with_full_s[at], any_s[:, None])
        stage, chunk = holder
        if stage != ANY:
            full_s = least_s + self._least_s(each, cases, Holder(stage))
            self._with_full_s[at, stage] = np.maximum(self._with_full_s[at, stage], full_s)
        self._with_chunk_s[at] = np.maximum(self._with_chunk_s[at], self._with_full_s[at, :, None])
        if chunk != ANY:
            chunk_s = least_s + self._least_s(each, cases, holder)
            known_s = self._with_chunk_s[at, stage, chunk]
            self._with_chunk_s[at, stage, chunk] = np.maximum(known_s, chunk_s)
        with_full_s = self._with_full_s[at] = self._with_chunk_s[at].min(axis=2)
        ranked = np.sort(with_full_s, axis=1)
        which = np.maximum(self._full[at] - 1, 0)
        # Where the rooms leave no choice, every stage with room for K has as many.
        all_hold_s = np.where(np.isfinite(with_full_s), with_full_s, 0.0).max(axis=1)
        full_s = np.where(self._full[at] > 0, ranked[np.arange(len(at)), which], all_hold_s)
        self.bound_s[at] = np.maximum(self.bound_s[at], full_s)

    def _least_s(self, each_s: Floats, cases: SpreadCases, holder: Holder) -> Floats:
        """[N]: the least seconds of the layers beyond the fewest and of what they repeat, at
        `each_s` [N, V or 2 · V], where `holder` has its layers."""
        given = self._given(holder)
        held = given[: self.chunks].reshape(-1, self._stages).sum(axis=0)
        kinds = each_s.reshape(len(cases), -1, self.chunks // self._stages, self._stages).min(
            axis=2
        )
        replay_s = kinds[:, 1] if kinds.shape[1] > 1 else np.zeros_like(kinds[:, 0])
        fixed, each = np.moveaxis(cases.owed, -1, 0)
        owed = np.stack((fixed + each * held, each), axis=-1)
        floors = np.maximum(self._floors(holder) - held, 0.0)
        rest = float(self._rest - held.sum())
        rooms = self._rooms(cases) - held
        return each_s @ given + least_spread_s(rest, kinds[:, 0], replay_s, owed, rooms, floors)

    def _floors(self, holder: Holder) -> Floats:
        """[p]: layers beyond the fewest that stages have at least."""
        floors = np.zeros(self._stages)
        if holder.stage != ANY:
            floors[holder.stage] = max(self._floor[holder.stage], 0.0)
        return floors

    def _rooms(self, cases: SpreadCases) -> Floats:
        """[N, p]: layers for which stages have room beyond their fewest."""
        return np.asarray(cases.most - self._least.reshape(-1, self._stages).sum(axis=0))
