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
where one certain stage has K or more.

Letters: N cases, J paths, p stages, v chunks of a stage, V = p · v chunks in the order in which a
microbatch visits them, m microbatches. A case is a combination with a number of recomputed layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.bounds.found_paths import found_paths
from planner.schedule.bounds.loop_paths import loop_paths
from planner.schedule.build import build
from planner.solver.division import Parts
from planner.training.search.bounding.least_spread import least_spread_s
from planner.training.search.bounding.spread_cases import fewest_layers
from planner.training.search.bounding.spread_passes import even_spread, simulated
from planner.training.search.bounding.spread_program import Spread, SpreadProgram, SpreadRows

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.schedule.bounds.loop_paths import AveragePaths, LoopPaths
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import Schedule
    from planner.solver import Solver
    from planner.training.search.bounding.spread_cases import SpreadCases

GROUPS = 3
"""Groups of microbatches whose order is looked at where there are more than one more."""

TOWARDS = (0.1, 0.4)
"""Spreads are simulated so far on the way from the best known one to that of a program: they show
paths that matter more than those of the program's own spread (in-out separation, Ben-Ameur and Neto
2007, "Acceleration of cutting-plane and column generation algorithms")."""

LONGEST = 2
"""Paths that are kept of a simulation, the longest ones."""

CLOSE = 5e-4
"""Share of a step up to which a program and a simulation say the same."""

HAIR = 1e-9
"""Layers that rounding may hide."""

ANY = -1
"""No stage in particular."""


@dataclass(slots=True, eq=False)
class _Search:
    """Looks for the best spread of a case, from one that is `near` it. `paths` are those of the
    rows of its program, with as `few` microbatches; `best` is the best spread simulated."""

    few: int
    near: Floats
    paths: LoopPaths
    program: SpreadProgram
    best: Spread | None = None

    def add(self, paths: LoopPaths, rows: SpreadRows) -> None:
        self.paths = self.paths.joined(paths)
        self.program.add(rows)


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
        self._sends = sends
        self.bound_s = cases.least_s.copy()
        self._name, self._stages, self._solver = schedule, stages, solver
        self.chunks = cases.sends_s.shape[-1] + 1
        self._repeats = bool((cases.first_s > 0).any())
        self._least = fewest_layers(self.chunks)
        self._rest = max(layers - int(self._least.sum()), 0)
        self._few = self._ordered(cases.microbatches)
        self._paths: dict[int, LoopPaths] = {}
        self._nearest: dict[int, Floats] = {}
        self._searched: dict[tuple[int, int], _Search] = {}
        self._floor = -(-layers // stages) - self._least.reshape(-1, stages).sum(axis=0)
        self._full = self._full_stages()
        holds = self._rooms(cases) >= self._floor
        self._with_full_s = np.where(holds, self.bound_s[:, None], np.inf)

    def raise_bound(self, case: int, budget: Budget, *, rounds: int = 0) -> bool:
        """Raise the bound of a case by averages of paths, and those of the others with it, after
        some `rounds` of simulations. Returns whether more of them may raise it further. Raises:
        OutOfTime."""
        full = self._deciding(case) if rounds else ANY
        one = self.cases.some(np.array([case]))
        key = case, full
        if key not in self._searched:
            self._searched[key] = self._search(one, int(self._few[case]), full)
        search = self._searched[key]
        open_ = bool(rounds) and self._may_find(search.few)
        division = search.program.solved()
        for _ in range(rounds if open_ else 0):
            budget.check()
            search.best = search.best or self._tried(one, search, search.near)
            if division is None or search.best.seconds <= division.seconds * (1 + CLOSE):
                open_ = False
                break
            for share in TOWARDS:
                between = search.best.layers + share * (division.layers - search.best.layers)
                tried = self._tried(one, search, between)
                search.best = min(search.best, tried, key=lambda spread: spread.seconds)
            division = search.program.solved()
        if search.best is not None:
            self._nearest[search.few] = search.best.layers
        if division is not None:
            shares = search.program.shares
            self._apply(search.few, search.paths.some(search.program.used), shares, full)
        return open_ or (full != ANY and self._deciding(case) != full)

    def _search(self, case: SpreadCases, few: int, full: int) -> _Search:
        """Of one case, where the stage `full` has at least K layers."""
        parts, paths = self._parts(case, full), self._known(few)
        near = even_spread(parts, self.chunks)
        known = self._nearest.get(few)
        if known is not None and self._within(parts, known):
            near = known
        program = SpreadProgram(self._rows(paths, few, case), parts, near, self._solver)
        return _Search(few, near, paths, program)

    def _deciding(self, case: int) -> int:
        """The stage that has at least K layers where the bound of a case is least; `ANY` where
        the rooms leave no choice."""
        if not self._full[case]:
            return ANY
        order = np.argsort(self._with_full_s[case], kind="stable")
        return int(order[self._full[case] - 1])

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

    def _parts(self, cases: SpreadCases, full: int) -> Parts:
        """Of one case, where the stage `full` has at least K layers."""
        owed = cases.owed[0].T if self._repeats else None
        return Parts(float(self._rest), self._floors(full), self._rooms(cases)[0], owed)

    def _within(self, parts: Parts, spread: Floats) -> bool:
        """Whether a spread of another case keeps to the floors and rooms of this one."""
        held = spread[: self.chunks].reshape(-1, self._stages).sum(axis=0)
        return bool((held >= parts.floors - HAIR).all() and (held <= parts.rooms + HAIR).all())

    def _tried(self, case: SpreadCases, search: _Search, layers: Floats) -> Spread:
        """Simulate a spread of one case, and remember its longest paths. Its seconds are those of
        the longest path known."""
        few = search.few
        timeline = simulated(case, self._schedule(few), self._sends, layers)
        found = found_paths(timeline, self._sends)
        seconds = self._rows(found, few, case).seconds(layers)
        longest = found.some(np.argsort(-seconds, kind="stable")[:LONGEST])
        self._paths[few] = self._known(few).joined(longest)
        search.add(longest, self._rows(longest, few, case))
        return Spread(layers, float(search.program.rows.seconds(layers).max()))

    def _may_find(self, few: int) -> bool:
        """Whether paths of simulations are there with as many microbatches as the cases have."""
        more = self.cases.microbatches[self._few == few] > few
        return few % self._stages == 0 or not more.any()

    def _apply(self, few: int, paths: LoopPaths, shares: Floats, full: int) -> None:
        """Raise the bounds of all cases to which the paths belong by an average of them: those that
        hold where the stage `full` has at least K layers."""
        at = np.flatnonzero(self._few == few)
        used = np.flatnonzero(shares > 0)
        cases, paths = self.cases.some(at), paths.some(used)
        weights = shares[used] / shares[used].sum()
        average = self._rows_of(paths.each(self._stages).averaged(weights), few, cases)
        each = average.each_s
        least_s = average.fixed_s + cases.after_s
        any_s = least_s + self._least_s(each, cases, ANY)
        self._with_full_s[at] = np.maximum(self._with_full_s[at], any_s[:, None])
        self.bound_s[at] = np.maximum(self.bound_s[at], any_s)
        if full == ANY:
            return
        full_s = least_s + self._least_s(each, cases, full)
        self._with_full_s[at, full] = np.maximum(self._with_full_s[at, full], full_s)
        ranked = np.sort(self._with_full_s[at], axis=1)
        which = np.maximum(self._full[at] - 1, 0)
        self.bound_s[at] = np.maximum(self.bound_s[at], ranked[np.arange(len(at)), which])

    def _least_s(self, each_s: Floats, cases: SpreadCases, full: int) -> Floats:
        """[N]: the least seconds of the layers beyond the fewest and of what they repeat, at
        `each_s` [N, V or 2 · V], where the stage `full` has at least K."""
        kinds = each_s.reshape(len(cases), -1, self.chunks // self._stages, self._stages).min(
            axis=2
        )
        replay_s = kinds[:, 1] if kinds.shape[1] > 1 else np.zeros_like(kinds[:, 0])
        floors = self._floors(full)
        rooms = self._rooms(cases)
        return least_spread_s(self._rest, kinds[:, 0], replay_s, cases.owed, rooms, floors)

    def _floors(self, full: int) -> Floats:
        """[p]: layers beyond the fewest that stages have at least."""
        floors = np.zeros(self._stages)
        if full != ANY:
            floors[full] = max(self._floor[full], 0.0)
        return floors

    def _rooms(self, cases: SpreadCases) -> Floats:
        """[N, p]: layers for which stages have room beyond their fewest."""
        return np.asarray(cases.most - self._least.reshape(-1, self._stages).sum(axis=0))

    def _ordered(self, microbatches: Ints) -> Ints:
        """Of how many microbatches the order is looked at; all others are whole groups in the
        steady phase."""
        least = GROUPS * self._stages + microbatches % self._stages
        return np.where(microbatches > least, least, microbatches)

    def _known(self, microbatches: int) -> LoopPaths:
        if microbatches not in self._paths:
            self._paths[microbatches] = loop_paths(self._schedule(microbatches), self._sends)
        return self._paths[microbatches]

    def _schedule(self, microbatches: int) -> Schedule:
        return build(
            self._name,
            stages=self._stages,
            virtual_stages=self.chunks // self._stages,
            num_microbatches=microbatches,
        )

    def _rows(self, paths: LoopPaths, few: int, cases: SpreadCases) -> SpreadRows:
        """Of J paths and one case."""
        return self._rows_of(paths.each(self._stages), few, cases)

    def _rows_of(self, paths: AveragePaths, few: int, cases: SpreadCases) -> SpreadRows:
        """Of several averages of paths and one case, or of one and N cases."""
        more = paths.groups_more((cases.microbatches - few).astype(np.float64))
        forward, backward = paths.forward + more, paths.backward + more
        f, b = cases.forward_s[:, None], cases.backward_s[:, None]
        at_slow = cases.slow[:, None] == np.arange(self.chunks) % self._stages
        slower_s = cases.slow_reduced_s - cases.reduced_s
        ends_slow = (paths.at_end * at_slow)[:, : self._stages].sum(axis=1)
        once = paths.at_end * (cases.reduced_s[:, 1:] + at_slow * slower_s[:, 1:])
        once = once + cases.gathered_s[:, 1:] * at_slow
        layer = forward * f + backward * (b + cases.more_s[:, None]) + once
        first = (forward * f + backward * (b + cases.first_s[:, None]) + once) @ self._least
        first = first + cases.reduced_s[:, 0] + ends_slow * slower_s[:, 0] + cases.gathered_s[:, 0]
        ends = cases.ends_s
        first = first + forward[:, 0] * ends[:, 0, 0] + backward[:, 0] * ends[:, 0, 1]
        first = first + forward[:, -1] * ends[:, 1, 0] + backward[:, -1] * ends[:, 1, 1]
        there, back = cases.sends_s[:, 0], cases.sends_s[:, 1]
        onward = paths.forward_sends + paths.waits[0] * more[:, :-1]
        returned = paths.backward_sends + paths.waits[1] * more[:, 1:]
        sent = (onward * there).sum(axis=1) + (returned * back).sum(axis=1)
        if self._repeats:
            layer = np.concatenate((layer, backward * cases.first_s[:, None]), axis=1)
        return SpreadRows(fixed_s=first + sent, each_s=layer)
