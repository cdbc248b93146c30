"""The program of one combination: what a stage of every class takes and holds, layer by layer.

Sends, reductions, gathers and the optimizer are those of stages of one device type with the best
links that the type has, so that no row exceeds the step of any plan. Memory is what
`planner.training.memory.stage` says of every number of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.ideal import IdealTopology
from planner.training.batch import FULL
from planner.training.search.layouts.bound import jitter_share
from planner.training.search.mixed.class_sends import ClassSends
from planner.training.search.mixed.held import HeldBytes
from planner.training.search.mixed.least_jitter import least_jitter_s, may_be_longer
from planner.training.search.mixed.order_problem import OrderProblem
from planner.training.search.mixed.orders import LONGEST, SAME, has_order, order_within
from planner.training.search.mixed.rooms import room_bytes
from planner.training.search.mixed.splits import ChunkSeconds
from planner.training.search.mixed.type_seconds import TypeSeconds, TypeTables
from planner.training.step.reduction import tied_reduction_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.arrays import Bools, Floats, Ints
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
    sends: ClassSends
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
    return CombinationTables(of, classes, np.arange(most + 1), recomputed, below_s)


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
        self,
        of: TypedCombination,
        classes: RowClasses,
        lengths: Ints,
        recomputed: Ints,
        below_s: float = np.inf,
    ) -> None:
        """`recomputed`: numbers of recomputed layers per chunk, of which each has a program. Rows
        hold of plans whose step is shorter than `below_s`."""
        self._below_s = below_s
        self._of, self._classes, self._lengths = of, classes, lengths
        self.recomputed = recomputed
        self.stated = 0
        """Programs stated so far."""
        self._layers = of.layer_columns
        pure = not classes.together and all(len(types) == 1 for types in classes.types)
        self._types = TypeTables(of, lengths, pure=pure)
        self._by_rooms = of.free and of.batch.virtual_stages > 1
        if self._by_rooms:
            self._rooms = of.rooms
        else:
            self._held_bytes = HeldBytes(of, lengths, recomputed)
        self._pace = [next(t for t in of.slowest_first if t in types) for types in classes.types]
        self._sends = ClassSends.of(of, classes, self._pace)

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
        own = fits is None
        fits = self._fits(recomputed) if fits is None else fits
        of_type = {t: self._types.of_type(t, recomputed) for t in dict.fromkeys(pace)}
        tables = zip(*(of_type[t] for t in pace), strict=True)
        seconds, sends = TypeSeconds(*map(np.stack, tables)), self._sends
        own_s = np.where(fits, seconds.own_s + sends.own_s[..., None, None], np.inf)
        jitter_s = self._more_jitter_s(seconds, own_s) if own else np.zeros_like(own_s)
        return OrderTables(
            problem=OrderProblem(
                rows=classes.rows,
                layers=len(self._layers),
                most=classes.most,
                may=classes.may,
                together=classes.together,
                units=classes.units,
                own_s=own_s + jitter_s,
                late_s=seconds.late_s + sends.late_s[..., None, None] + jitter_s,
                way_s=seconds.way_s + sends.way_s[..., None, None],
            ),
            forward_s=seconds.forward_s,
            backward_s=seconds.backward_s,
            weight_s=seconds.weight_s,
            after_s=seconds.after_s,
            reduction_s=seconds.reduction_s,
            sends=sends,
            tied_s=np.array(
                [tied_reduction_s(self._of.scenarios[t], self._of.batch)[0] for t in pace]
            ),
            chunk_seconds=ChunkSeconds.of(self._of, pace, recomputed),
            recomputed=recomputed,
            replayed_at_most=self._replayed_at_most(recomputed),
        )

    def _more_jitter_s(self, seconds: TypeSeconds, own_s: Floats) -> Floats:
        """[C, p, K + 1, L + 1]: by how much a step is longer, because the devices of several stages
        differ, than rows say of one stage: of plans below `below_s`, on equal devices."""
        of = self._of
        alike = len(own_s) == 1 and not isinstance(of.ideal.topology, IdealTopology)
        if not alike or self._by_rooms or not of.free or self._below_s == np.inf:
            return np.zeros_like(own_s)
        if may_be_longer(of):
            return np.zeros_like(own_s)
        m, p = int(of.batch.chunk_microbatches[0]), of.batch.pipeline
        busy_s = m * (seconds.forward_s + seconds.backward_s)[0]
        ends = np.arange(len(self._layers) + 1)
        begins = ends - self._lengths[:, None]
        may_hold = own_s[0] + self._before_s()[np.maximum(begins, 0)] < self._below_s
        may_hold[0] &= begins == 0
        may_hold[-1] &= ends == len(self._layers)
        least_s = least_jitter_s(of.ideal, busy_s, self._types.inside, may_hold)
        more_s: Floats = np.maximum(least_s - jitter_share(of.ideal, p) * busy_s, 0.0)[None]
        return more_s

    def _before_s(self) -> Floats:
        """[L + 1]: what one microbatch takes at least to come through the layers before each, and
        back where backwards end at the first stage."""
        problem, kind = self._of.problems[0], self._of.batch.kind
        seconds = problem.forward_s + problem.backward_s * kind.returns_to_first
        return np.concatenate(([0.0], np.cumsum(seconds.min(axis=0)[self._layers])))

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

    def _fits(self, recomputed: int) -> Bools:
        """[C, p, K + 1, L + 1]: what a stage of every class may hold."""
        of = self._of
        possible = np.tile(self._types.inside, (of.batch.pipeline, 1, 1))
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


_ROUNDING = 1e-6
"""Share of a layer that rounding may hide."""
