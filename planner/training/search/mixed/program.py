"""The program of one combination: what a stage of every class takes and holds, layer by layer.

Sends, reductions, gathers and the optimizer are those of stages of one device type with the best
links that the type has, so that no row exceeds the step of any plan. Memory is what
`planner.training.memory.stage` says of every number of layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.stage_layout.stage_bounds import Rows
from planner.training.batch import FULL, OUTER_KINDS
from planner.training.search.layouts.bound import ENDLESS_S, jitter_share
from planner.training.search.mixed.class_problems import ClassProblems
from planner.training.search.mixed.held import HeldBytes
from planner.training.search.mixed.orders import (
    LONGEST,
    SAME,
    OrderProblem,
    has_order,
    order_within,
)
from planner.training.search.mixed.rooms import room_bytes
from planner.training.search.mixed.speeds import layer_columns
from planner.training.search.mixed.splits import ChunkSeconds, least_chunks
from planner.training.step.reduction import gradient_reduction_s, stage_gathers_s, tied_reduction_s
from planner.training.step.update import stage_optimizer_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.arrays import Bools, Floats, Ints
    from planner.stage_layout.problem import LayoutProblem
    from planner.training.search.mixed.class_problems import ClassLinks
    from planner.training.search.mixed.classes import RowClasses
    from planner.training.search.mixed.typed import TypedCombination


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderTables:
    """A combination's program for one number of recomputed layers per chunk. The tables [C, p,
    K + 1, L + 1] are those of `orders` by the layers of a stage and where they end."""

    problem: OrderProblem
    forward_s: Floats
    backward_s: Floats
    weight_s: Floats
    after_s: Floats
    reduction_s: Floats
    links: ClassLinks
    tied_s: Floats
    """[C]: of the reduction between the ends of the model, where they share their embedding."""
    chunk_seconds: ChunkSeconds
    recomputed: int
    replayed_at_most: int
    """Recomputed layers per chunk in plans that the program stands for: more than `recomputed` in
    the last of those for free layouts of several chunks."""


def tables_below(of: TypedCombination, classes: RowClasses, below_s: float) -> CombinationTables:
    """For the programs of plans whose step is shorter than `below_s`."""
    most = of.most(below_s)
    recomputed = np.zeros(1, dtype=np.int64)
    if of.batch.granularity[0] == FULL:
        every = -(-most // of.batch.virtual_stages) if of.free else of.batch.load.most_layers
        first = 1 if of.ideal.job.software.recompute.partial else every
        recomputed = np.arange(first, every + 1)
    return CombinationTables(of, classes, np.arange(most + 1), recomputed)


def tables_of_most(of: TypedCombination, classes: RowClasses) -> CombinationTables:
    """For the program of all plans that recompute as much as they can."""
    most = of.most(np.inf)
    full = of.batch.granularity[0] == FULL
    count = most if of.free else of.batch.load.most_layers
    recomputed = np.array([count if full else 0], dtype=np.int64)
    return CombinationTables(of, classes, np.arange(most + 1), recomputed)


class CombinationTables:
    """Tables [p, K + 1, L + 1] of one combination, and its programs."""

    def __init__(
        self, of: TypedCombination, classes: RowClasses, lengths: Ints, recomputed: Ints
    ) -> None:
        """`recomputed`: numbers of recomputed layers per chunk, of which each has a program."""
        self._of, self._classes, self._lengths = of, classes, lengths
        self.recomputed = recomputed
        self.stated = 0
        """Programs stated so far."""
        self._layers = of.layer_columns
        ends = np.arange(len(self._layers) + 1)
        self._begins = np.maximum(ends - lengths[:, None], 0)
        self._inside = ends >= lengths[:, None]
        self._counts = of.counts_before
        outside = of.batch.load.counts.sum(axis=1)
        outside[:, layer_columns(of.ideal)] = 0
        self._outside = outside.astype(np.float64)
        self._by_rooms = of.free and of.batch.virtual_stages > 1
        if self._by_rooms:
            self._rooms = of.rooms
        else:
            self._held_bytes = HeldBytes(of, lengths, recomputed)
        self._pace = [next(t for t in of.slowest_first if t in types) for types in classes.types]
        self._priced = ClassProblems.of(of, classes, self._pace)
        self._after_s = {t: self._after(t) for t in dict.fromkeys(self._pace)}

    @property
    def may_fit(self) -> bool:
        """Whether some answer fits."""
        return any(
            self.may_hold(recomputed) and has_order(self.program(recomputed).problem)
            for recomputed in self.recomputed.tolist()
        )

    def may_hold(self, recomputed: int) -> bool:
        """Whether the stages together may hold all layers."""
        fits = self._fits(recomputed).any(axis=(0, 3))
        most = np.where(fits, self._lengths, -1).max(axis=-1)
        return bool((most >= 0).all() and most.sum() >= len(self._layers))

    def worth(
        self, below_s: Callable[[], float], passed_over: Callable[[], None] = lambda: None
    ) -> Iterator[int]:
        """The numbers of recomputed layers whose programs may have rows below that, in order. All
        but the first are asked about together, as many as came before: `passed_over` is called
        where none of them is."""
        numbers, first = self.recomputed.tolist(), 0
        while first < len(numbers):
            some = numbers[first : max(2 * first, 1)]
            if len(some) == 1 or self._may_be_below(some, below_s()):
                yield from filter(self.may_hold, some)
            else:
                passed_over()
            first += len(some)

    def program(self, recomputed: int, fits: Bools | None = None) -> OrderTables:
        """The program for one of the numbers of recomputed layers. `fits` [C, p, K + 1, L + 1]:
        what a stage of every class may hold, if not what it has memory for."""
        classes, pace = self._classes, self._pace
        self.stated += 1
        fits = self._fits(recomputed) if fits is None else fits
        of_problem = [
            self._of_problem(t, problem, recomputed)
            for t, problem in zip(self._priced.types, self._priced.problems, strict=True)
        ]
        parts = [self._priced.by_class(list(one)) for one in zip(*of_problem, strict=True)]
        own, late, way, forward, backward, weight, after, reduction = parts
        return OrderTables(
            problem=OrderProblem(
                rows=classes.rows,
                layers=len(self._layers),
                most=classes.most,
                may=classes.may,
                together=classes.together,
                units=classes.units,
                own_s=np.where(fits, own, np.inf),
                late_s=late,
                way_s=way,
            ),
            forward_s=forward,
            backward_s=backward,
            weight_s=weight,
            after_s=after,
            reduction_s=reduction,
            links=self._priced.links,
            tied_s=np.array(
                [tied_reduction_s(self._of.scenarios[t], self._of.batch)[0] for t in pace]
            ),
            chunk_seconds=ChunkSeconds.of(self._of, pace, recomputed),
            recomputed=recomputed,
            replayed_at_most=self._replayed_at_most(recomputed),
        )

    def _may_be_below(self, numbers: list[int], below_s: float) -> bool:
        """Whether a program for one of these numbers may have rows below that: the more layers are
        recomputed, the longer they are, so the fewest are taken wherever any number fits."""
        fits = self._fits(numbers[0])
        for recomputed in numbers[1:]:
            fits |= self._fits(recomputed)
        problem = self.program(numbers[0], fits).problem
        within_s = min(below_s * SAME, LONGEST)
        return order_within(problem, within_s) is not None

    def _replayed_at_most(self, recomputed: int) -> int:
        last = bool(recomputed) and recomputed == int(self.recomputed[-1])
        return len(self._lengths) - 1 if self._by_rooms and last else recomputed

    def _of_problem(
        self, index: int, problem: LayoutProblem, recomputed: int
    ) -> tuple[Floats, ...]:
        """Of stages of a device type: own, late and way; forward, backward and its weight gradients
        of a microbatch; what follows the pipeline; the gradient reduction."""
        of = self._of
        p, m = problem.stages, int(of.batch.chunk_microbatches[0])
        rows = Rows.of(problem)
        forward = self._seconds(problem.forward_s)
        backward = self._seconds(problem.backward_s) + self._replay(problem, recomputed)
        after, reduction = self._after_s[index]
        busy = m * (forward + backward)
        beside = after + jitter_share(of.ideal, p) * busy
        own = busy + rows.own_held_s[:, None, None] + beside
        first_forward, first_backward = self._first_chunk(problem, forward, backward)
        way = first_forward + rows.forward_link_s[:, None, None]
        if rows.returns:
            way = way + first_backward + rows.backward_link_s[:, None, None]
            tied_s = tied_reduction_s(of.scenarios[index], of.batch)[0]
            way[0] += reduction[0] + tied_s
            own[0] += reduction[0] + tied_s
        else:
            own += reduction
        late = np.full((p, 1, 1), -np.inf)
        if rows.late:
            late = rows.late_forwards[:, None, None] * forward + (m - 1) * backward
            late = late + rows.late_held_s[:, None, None] + beside
        weight = self._seconds(problem.weight_gradient_s)
        late = np.broadcast_to(late, own.shape)
        return own, late, way, forward, backward, weight, after, reduction

    def _fits(self, recomputed: int) -> Bools:
        """[C, p, K + 1, L + 1]: what a stage of every class may hold."""
        of = self._of
        possible = np.broadcast_to(self._inside, (of.batch.pipeline, *self._inside.shape)).copy()
        if not of.free:
            held, ends = of.kept_layers, np.cumsum(of.kept_layers)
            possible &= self._lengths[:, None] == held[:, None, None]
            possible &= np.arange(possible.shape[-1]) == ends[:, None, None]
        else:
            possible &= self._lengths[:, None] >= of.fewest()[:, None, None]
        if self._by_rooms:
            return np.stack(
                [
                    possible & np.all([self._has_room(recomputed, t) for t in types], axis=0)
                    for types in self._classes.types
                ]
            )
        held_bytes = self._held_bytes.table(int(np.flatnonzero(self.recomputed == recomputed)[0]))
        return np.stack(
            [
                possible & (held_bytes <= room_bytes(of.ideal, types))
                for types in self._classes.types
            ]
        )

    def _has_room(self, recomputed: int, index: int) -> Bools:
        """[p, K + 1, 1]: whether stages of a device type may have room for so many layers in some
        split over their chunks."""
        rooms, lengths = self._rooms, self._lengths.astype(np.float64)
        room = lengths <= rooms.most[0, :, index, None]
        over = rooms.over[0, :, index, None]
        if np.isfinite(over).all():
            replayed = self._replayed_at_most(recomputed) * self._of.batch.virtual_stages
            needed = over + rooms.each[0] * lengths
            fine = needed <= np.minimum(lengths, replayed) + _ROUNDING
            room &= fine | (lengths <= rooms.few[:, None])
        return np.asarray(room[..., None])

    def _seconds(self, layer_s: Floats) -> Floats:
        """[p, K + 1, L + 1], of layers [p, K] that take so long, the ends of the model among
        them."""
        if not self._of.free:
            passes = self._of.batch.pass_counts.sum(axis=1)
            seconds = (layer_s * passes).sum(axis=-1)
            return np.broadcast_to(seconds[:, None, None], (len(seconds), *self._begins.shape))
        before = layer_s @ self._counts.T.astype(np.float64)
        ends = np.arange(before.shape[-1])
        outside = (layer_s * self._outside).sum(axis=-1)
        held: Floats = before[:, None, ends] - before[:, self._begins]
        return np.asarray(held + outside[:, None, None])

    def _replay(self, problem: LayoutProblem, recomputed: int) -> Floats:
        """[p, K + 1, L + 1]: the forwards of the layers that full recomputation repeats; with
        several chunks on a stage, of those that every split repeats."""
        shape, batch = (problem.stages, *self._begins.shape), self._of.batch
        if batch.granularity[0] != FULL:
            return np.zeros(shape)
        if not self._of.free:
            led = min(recomputed, batch.load.most_layers)
            repeated = (problem.forward_s * batch.load.leading[led].sum(axis=1)).sum(axis=-1)
            return np.broadcast_to(repeated[:, None, None], shape)
        if self._by_rooms:
            # All but one chunk have the fewest layers: then the fewest are repeated.
            least = least_chunks(self._of).sum(axis=1)[:, None]
            rest = np.maximum(self._lengths - least, 0)
            lead = least - 1 + np.minimum(rest + 1, recomputed)
            seconds = problem.forward_s[:, layer_columns(self._of.ideal)].min(axis=-1)
            return np.broadcast_to((lead * seconds[:, None])[..., None], shape)
        before = problem.forward_s @ self._counts.T.astype(np.float64)
        lead = np.minimum(self._lengths, recomputed)
        end = np.minimum(self._begins + lead[:, None], before.shape[-1] - 1)
        return np.asarray(before[:, end] - before[:, self._begins])

    def _first_chunk(
        self, problem: LayoutProblem, forward: Floats, backward: Floats
    ) -> tuple[Floats, Floats]:
        """Forward and backward through the first chunk of a stage, all there is or the least."""
        if problem.virtual_stages == 1:
            return forward, backward
        least = np.zeros((2, problem.stages, 1, 1))
        columns = sorted(set(self._layers))
        for way, seconds in enumerate((problem.forward_s, problem.backward_s)):
            least[way, 1:, 0, 0] = seconds[1:, columns].min(axis=-1)
            least[way, 0, 0, 0] = seconds[0, -OUTER_KINDS]
        shape = forward.shape
        return np.broadcast_to(least[0], shape).copy(), np.broadcast_to(least[1], shape).copy()

    def _after(self, index: int) -> tuple[Floats, Floats]:
        """[p, K + 1, L + 1] each: gather and optimizer of the stages of a type; their gradient
        reduction. Both grow ever more slowly with the parameters, so they lie above the line
        between few and many layers."""
        of, fewest = self._of, self._of.fewest()
        scenario, table = of.scenarios[index], of.tables[index]
        most = max(len(self._lengths) - 1, 1)
        hiding = np.full((1, of.batch.pipeline), ENDLESS_S)
        few: list[Floats] = []
        many: list[Floats] = []
        for column in sorted(set(self._layers)):
            for found, layers in ((few, fewest), (many, np.full_like(fewest, most))):
                counts = of.batch.load.counts.copy()
                if of.free:
                    counts[..., layer_columns(of.ideal)] = 0
                    counts[:, -1, column] = layers
                batch = replace(
                    of.batch,
                    row=np.zeros(1, dtype=np.int64),
                    load=replace(of.batch.load, counts=counts),
                )
                found.append(
                    np.stack(
                        [
                            stage_gathers_s(scenario, table, batch, hiding)[0]
                            + stage_optimizer_s(scenario, table, batch)[0],
                            gradient_reduction_s(scenario, table, batch, hiding)[0],
                        ]
                    )
                )
        low, high = np.min(few, axis=0), np.min(many, axis=0)
        more = np.maximum(most - fewest, 1)
        slope = np.maximum(high - low, 0.0) / more
        lengths = np.maximum(self._lengths - fewest[:, None], 0)
        seconds = low[..., None] + slope[..., None] * lengths
        overhead_s = of.ideal.job.software.step_overhead.value
        shape = (of.batch.pipeline, *self._begins.shape)
        after, reduction = (np.broadcast_to(one[..., None], shape).copy() for one in seconds)
        return after + overhead_s, reduction


_ROUNDING = 1e-6
"""Share of a layer that rounding may hide."""
