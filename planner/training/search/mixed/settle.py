"""The least step of answers over all splits of their layers over chunks, as far as it is below what
is to be beaten.

An answer says which class of devices holds each stage and how many layers. Paths through the
schedule are rows of a linear program whose variables are the shares of every stage's ways to split
its layers; the simulation of its solution finds the path that decides, until no new one comes. The
best average of the paths is then kept: it bounds all answers, so few of them need a program of
their own. Where that is not enough, the ways of one answer are tried stage by stage, dropped as
soon as a path is too long, and what is left is simulated.

Letters: B answers, J paths, A averages, p stages, v chunks of a stage, I ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.budget import UNLIMITED
from planner.schedule.build import build
from planner.schedule.simulation.simulate import Durations, simulate, step_spans
from planner.solver.mixture import best_average, best_mixture
from planner.training.search.mixed.cuts import LATEST, Paths
from planner.training.search.mixed.orders import largest_row_s, taken
from planner.training.search.mixed.rooms import room_bytes
from planner.training.search.mixed.simulated import beside_s, stage_sends
from planner.training.search.mixed.splits import StageWays, held_bytes, least_chunks, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.solver import Solver
    from planner.training.search.mixed.classes import RowClasses
    from planner.training.search.mixed.orders import Orders
    from planner.training.search.mixed.program import OrderTables
    from planner.training.search.mixed.splits import ChunkWays
    from planner.training.search.mixed.typed import TypedCombination

ROUNDS = 24
"""Most paths that are looked for in turn for one answer."""

PROGRAMS = 12
"""Most answers of a program for which paths are looked for."""

IN_USE = 24
"""Most paths in a program, beside the latest ones."""

AVERAGES = 8
"""Most averages by which splits are excluded."""

FEW = 128
"""Answers that are tried one by one before a program bounds them all."""

BEGUN = 1 << 14
"""Most beginnings of splits that are kept."""

GROWN = 1 << 18
"""Most beginnings that are looked at for one stage."""

AT_ONCE = 32
"""Splits that are simulated at once."""

SIMULATED = 1024
"""Most splits of one answer that are simulated."""

MARGIN = 1 + 1e-7
"""By how much more than what is to be beaten a program has to come to, for rounding."""


class Split(NamedTuple):
    """A split of an answer: the answer's index, the layers of every chunk [p, v], its step."""

    answer: int
    chunks: Ints
    seconds: float


@dataclass(slots=True, kw_only=True)
class SettledSplits:
    """No split of any answer takes less than `bound_s`; the best splits found, fastest first."""

    bound_s: float
    splits: list[Split]


class SplitSearch:
    """The answers of one program of a combination. `paths` are known ones of its schedule; those
    that are found are added to them."""

    def __init__(
        self,
        of: TypedCombination,
        classes: RowClasses,
        program: OrderTables,
        orders: Orders,
        paths: Paths,
        solver: Solver,
        budget: Budget = UNLIMITED,
    ) -> None:
        self._of, self._program, self._orders = of, program, orders
        self._solver, self._budget = solver, budget
        self._ways = StageWays(of, classes, program.chunk_seconds, program.replayed_at_most)
        self._room = np.array([room_bytes(of.ideal, types) for types in classes.types])
        problem, batch = program.problem, of.batch
        self._classes = np.repeat(orders.classes, problem.stages // problem.rows, axis=1)
        self._schedule = build(
            batch.schedule,
            stages=batch.pipeline,
            virtual_stages=batch.virtual_stages,
            num_microbatches=int(batch.num_microbatches[0]),
        )
        self._reduction_s = taken(problem, program.reduction_s, orders)
        self._tied_s = program.tied_s[self._classes[:, [0, -1]]].max(axis=1)
        self._beside_s = beside_s(of, program, orders)
        self._sends = stage_sends(of, program, self._classes)
        self.paths = paths
        self._averages: list[Floats] = []
        self._binding = np.zeros(0, dtype=np.int64)
        self._low = largest_row_s(problem, orders)
        self._tight = not self._even_fits(int(self._low.argmin()))
        self._cells = self._listed_cells()

    def settle(self, below_s: float) -> SettledSplits:
        """Until no answer is below. Raises: OutOfTime."""
        splits: list[Split] = []
        open_ = self._low < below_s
        programs = 0
        while open_.any():
            self._budget.check()
            answer = int(np.where(open_, self._low, inf).argmin())
            many = open_.sum() > FEW and programs < PROGRAMS
            found = None if many else self._least_split(answer, below_s)
            if found is None and programs < PROGRAMS:
                programs += 1
                self._raise(answer, below_s)
                open_ &= self._low < below_s
                if not open_[answer]:
                    continue
                found = self._least_split(answer, below_s)
            if found is None:
                break
            self._low[answer] = max(self._low[answer], found.seconds)
            open_[answer] = False
            if len(found.chunks):
                splits.append(found)
                below_s = min(below_s, found.seconds)
            open_ &= self._low < below_s
        splits.sort(key=lambda one: one.seconds)
        return SettledSplits(bound_s=min(below_s, float(self._low.min())), splits=splits)

    def _listed_cells(self) -> list[tuple[Ints, list[ChunkWays | None]]]:
        """By stage: which of its different kinds of cells, class and layers, each answer has, [B],
        and the ways of these. Answers with a stage that fits in no way are left out."""
        cells: list[tuple[Ints, list[ChunkWays | None]]] = []
        layers = self._orders.layers
        size = int(layers.max(initial=0)) + 1
        for stage in range(layers.shape[1]):
            codes = self._classes[:, stage] * size + layers[:, stage]
            kinds, which = np.unique(codes, return_inverse=True)
            ways = [
                self._ways.of(stage, int(kind) // size, int(kind) % size, priced=self._tight)
                for kind in kinds
            ]
            fits = np.array([one is not None for one in ways])
            self._low = np.where(fits[which], self._low, inf)
            cells.append((which, ways))
        return cells

    def _even_fits(self, answer: int) -> bool:
        """Whether an answer fits with its layers spread evenly."""
        layers = self._orders.layers[answer].tolist()
        pairs = zip(layers, least_chunks(self._of), strict=True)
        return self._fits(answer, np.array([spread(held, least) for held, least in pairs]))

    def _of_answer(self, answer: int, *, priced: bool = False) -> list[ChunkWays]:
        """The ways of its stages; with `priced` those that fit, of stages that do."""
        found = [ways[which[answer]] for which, ways in self._cells]
        if priced:
            cells = zip(self._classes[answer], self._orders.layers[answer], strict=True)
            found = [
                self._ways.of(stage, int(c), int(layers), priced=True)
                for stage, (c, layers) in enumerate(cells)
            ]
        return [one for one in found if one is not None]

    def _fixed_s(self, answers: Ints, paths: Paths) -> Floats:
        """[B, J]: what paths of answers take besides the passes, and what follows the pipeline."""
        forward, backward = self._sends
        ends, last = paths.ends, self._classes.shape[1] - 1
        reduced = self._reduction_s[answers][:, ends]
        tied = self._tied_s[answers][:, None] * ((ends == 0) | (ends == last))
        sends = forward[answers] @ paths.forward_sends.T
        sends = sends + backward[answers] @ paths.backward_sends.T
        return np.asarray(sends + reduced + tied + self._beside_s[answers][:, None])

    def _raise(self, answer: int, below_s: float) -> None:
        """Find paths of an answer until they bound all of its splits from above `below_s`, or no
        new one comes; then bound all answers by their best average."""
        ways = self._of_answer(answer)
        fixed = self._known_s(answer, ways)
        rows = self._rows_in_use(fixed, ways)
        for _ in range(ROUNDS):
            self._budget.check()
            tables = self._tables(ways, rows)
            found = best_mixture(tables, fixed[rows], below_s, self._solver)
            if found is None or found.seconds >= below_s * MARGIN:
                break
            passes = self._mixed(ways, found.shares)
            seconds = fixed + np.einsum("jpx,px->j", self.paths.passes, passes)
            longer = np.flatnonzero(seconds > found.seconds * MARGIN)
            if not len(longer):
                known = len(seconds)
                fixed = self._added(answer, passes)
                longer = np.arange(known, len(fixed))
                seconds = np.append(seconds, np.full(len(longer), inf))
            if not len(longer):
                break
            new = longer[np.argsort(-seconds[longer], kind="stable")[:LATEST]]
            rows = rows[np.argsort(-seconds[rows], kind="stable")[:IN_USE]]
            rows = np.append(rows, new)
        shares = best_average(self._tables(ways, rows), fixed[rows], below_s, self._solver)
        if shares is not None:
            every = np.zeros(len(self.paths))
            every[rows] = shares
            self._binding = rows[shares > 0]
            self._averages.append(every)
            self._low = np.maximum(self._low, self._average_s(every))

    def _known_s(self, answer: int, ways: list[ChunkWays]) -> Floats:
        """[J]: what the paths take besides the passes of an answer; at least one is known then."""
        if not len(self.paths):
            return self._added(answer, self._mixed(ways, [_even(one) for one in ways]))
        return np.asarray(self._fixed_s(np.array([answer]), self.paths)[0])

    def _rows_in_use(self, fixed: Floats, ways: list[ChunkWays]) -> Ints:
        """The paths that are longest where stages mix their ways evenly."""
        passes = self._mixed(ways, [_even(one) for one in ways])
        seconds = fixed + np.einsum("jpx,px->j", self.paths.passes, passes)
        return np.asarray(np.argsort(-seconds, kind="stable")[:IN_USE])

    def _mixed(self, ways: list[ChunkWays], shares: Sequence[Floats]) -> Floats:
        """[p, 4 · v]: seconds of passes in a mixture of ways."""
        parts = zip(ways, shares, strict=True)
        return np.stack([share @ one.corners_s for one, share in parts])

    def _added(self, answer: int, passes: Floats) -> Floats:
        """Add the longest paths of an answer with these passes: what all paths take besides."""
        timeline = simulate(self._schedule, self._durations(answer, passes))
        self.paths = self.paths.joined(Paths.of(timeline))
        return np.asarray(self._fixed_s(np.array([answer]), self.paths)[0])

    def _tables(self, ways: list[ChunkWays], rows: Ints) -> list[Floats]:
        """[J, I] of every stage: what each corner adds to each of these paths."""
        return [self.paths.passes[rows, stage] @ one.corners_s.T for stage, one in enumerate(ways)]

    def _durations(self, answer: int, passes: Floats) -> Durations:
        """Of `passes` [..., p, 4 · v]."""
        p = passes.shape[-2]
        by_kind = passes.reshape(*passes.shape[:-1], 4, -1)
        forward, backward = self._sends
        return Durations(
            forward_s=by_kind[..., 0, :],
            backward_s=by_kind[..., 1, :],
            backward_weight_s=by_kind[..., 3, :],
            forward_send_s=forward[answer],
            backward_send_s=backward[answer],
            sends=self._of.problems[0].sends,
            reduction_s=self._reduction_s[answer].reshape(p),
            tied_reduction_s=float(self._tied_s[answer]),
        )

    def _average_s(self, shares: Floats) -> Floats:
        """[B]: a lower bound on every split of every answer: an average of the paths known when it
        was found, under the ways that are best for it."""
        paths = self.paths
        every = np.arange(len(self._low))
        total = self._fixed_s(every, paths) @ shares
        weights = np.einsum("j,jpx->px", shares, paths.passes)
        for stage, (which, ways) in enumerate(self._cells):
            least = [
                inf if one is None else float((one.corners_s @ weights[stage]).min())
                for one in ways
            ]
            total = total + np.array(least)[which]
        return np.asarray(total)

    def _least_split(self, answer: int, below_s: float) -> Split | None:
        """The fastest split of an answer, without chunks where none is below; None where there are
        too many to tell."""
        ways = self._of_answer(answer)
        if not all(one.complete for one in ways):
            return None
        self._known_s(answer, ways)
        chosen = self._begun(answer, ways, below_s)
        priced = self._tight
        best = Split(answer, np.zeros((0, 0), dtype=np.int64), below_s)
        simulated = 0
        while chosen is not None and len(chosen):
            self._budget.check()
            least = self._longest_s(answer, ways, chosen)
            order = np.argsort(least, kind="stable")
            chosen = chosen[order][least[order] < best.seconds]
            tried, chosen = chosen[:AT_ONCE], chosen[AT_ONCE:]
            if not len(tried):
                break
            simulated += len(tried)
            if simulated > SIMULATED:
                return None
            passes = np.stack([one.seconds[tried[:, s]] for s, one in enumerate(ways)], axis=1)
            spans = step_spans(self._schedule, self._durations(answer, passes))
            seconds = spans + self._beside_s[answer]
            ranked = np.argsort(seconds, kind="stable")
            for index in ranked[seconds[ranked] < best.seconds].tolist():
                chunks = np.stack([one.chunks[tried[index, s]] for s, one in enumerate(ways)])
                if self._fits(answer, chunks):
                    best = Split(answer, chunks, float(seconds[index]))
                    break
                if not priced:
                    priced = True
                    ways = self._of_answer(answer, priced=True)
                    fit = len(ways) == len(self._cells)
                    chosen = self._begun(answer, ways, best.seconds) if fit else None
                    if not fit:
                        return best
                    break
            for index in ranked[:2].tolist():
                self._added(answer, passes[index])
        return best if chosen is not None else None

    def _fits(self, answer: int, chunks: Ints) -> bool:
        held = held_bytes(self._of, chunks, self._program.replayed_at_most)
        return bool((held <= self._room[self._classes[answer]]).all())

    def _begun(self, answer: int, ways: list[ChunkWays], below_s: float) -> Ints | None:
        """[B, p]: the ways of every stage of the splits that no path and no average excludes; None
        where they are too many."""
        passes, besides = self._rows(answer)
        tables = [passes[:, stage] @ one.seconds.T for stage, one in enumerate(ways)]
        rest = np.cumsum([table.min(axis=1) for table in tables][::-1], axis=0)[::-1]
        sums, chosen = besides[None], np.zeros((1, 0), dtype=np.int64)
        for stage, table in enumerate(tables):
            self._budget.check()
            if len(sums) * table.shape[1] > GROWN:
                return None
            after = rest[stage + 1] if stage + 1 < len(rest) else 0.0
            left = below_s - after - sums
            kept, way = np.nonzero(
                np.column_stack([(left > column).all(axis=1) for column in table.T])
            )
            if len(kept) > BEGUN:
                return None
            sums = sums[kept] + table.T[way]
            chosen = np.column_stack((chosen[kept], way))
        return chosen

    def _rows(self, answer: int) -> tuple[Floats, Floats]:
        """The paths in use and the last averages: [R, p, 4 · v] passes, [R] what they take
        besides."""
        fixed = self._fixed_s(np.array([answer]), self.paths)[0]
        used = np.union1d(self._rows_in_use(fixed, self._of_answer(answer)), self._binding)
        passes, besides = [self.paths.passes[used]], [fixed[used]]
        for shares in self._averages[-AVERAGES:]:
            known = len(shares)
            passes.append(np.einsum("j,jpx->px", shares, self.paths.passes[:known])[None])
            besides.append(np.array([float(shares @ fixed[:known])]))
        return np.concatenate(passes), np.concatenate(besides)

    def _longest_s(self, answer: int, ways: list[ChunkWays], chosen: Ints) -> Floats:
        """[B]: the longest known path of every split."""
        fixed = self._fixed_s(np.array([answer]), self.paths)[0]
        total = np.broadcast_to(fixed, (len(chosen), len(fixed)))
        for stage, one in enumerate(ways):
            total = total + (one.seconds @ self.paths.passes[:, stage].T)[chosen[:, stage]]
        return np.asarray(total.max(axis=1))


def _even(ways: ChunkWays) -> Floats:
    """Equal shares of all corners."""
    return np.full(len(ways.corners_s), 1 / len(ways.corners_s))
