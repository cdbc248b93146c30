"""Which class of devices takes each row of stages and how many layers each stage holds: the exact
program, by dynamic programming under a threshold.

It is `planner.stage_layout.threshold` with the number of rows of every class in its state. Under a
threshold S on the step, a stage of class c may hold k layers up to layer j only if

    Q + own(c, k, j) ≤ S    and    W + late(c, k, j) ≤ S,

where Q is the way of a microbatch through the earlier stages and back, and W that through the whole
pipeline. Of all that end at j with equal counts of classes, only the one with the least Q is kept.

Where nodes hold different numbers of stages, a unit fills several rows that follow each other, each
with a class of its own; otherwise every class is a unit.

Letters: C classes, U kinds of units, p stages, r rows of p / r stages each, L layers, K the most
of a stage. A table [C, p, K + 1, L + 1] is by the class of a stage, the layers it holds, and where
they end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.arrays import Bools, Floats, Ints
    from planner.budget import Budget

CLOSE = 3e-4
"""Once the bisected thresholds are this close, relatively, each answer becomes the next
threshold."""

LONGEST = 1e300
"""Seconds that no row reaches."""

SAME = 1 - 1e-12
"""Share of a step from which on another is not faster."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderProblem:
    """`most` [U]: units of each kind at most, or where `together` of it and of those before it;
    `may` [C, r]: the classes that a row may have. `units` [U]: the classes of the rows that a unit
    fills; none where every class is one. The tables hold seconds, infinite where a stage cannot
    hold that."""

    rows: int
    layers: int
    most: tuple[int, ...]
    may: Bools
    own_s: Floats
    late_s: Floats
    way_s: Floats
    together: bool = False
    units: tuple[tuple[int, ...], ...] = ()

    @property
    def classes(self) -> int:
        return len(self.own_s)

    @cached_property
    def filled(self) -> tuple[tuple[int, ...], ...]:
        """The classes of the rows that every kind of unit fills."""
        return self.units or tuple((c,) for c in range(self.classes))

    @property
    def stages(self) -> int:
        return int(self.own_s.shape[1])

    @cached_property
    def before(self) -> Ints:
        """[K + 1, L + 1]: where layers begin that end at a layer; those that would begin before the
        first are infinite in the tables."""
        ends, lengths = np.arange(self.layers + 1), np.arange(self.own_s.shape[2])
        return np.asarray(np.maximum(ends - lengths[:, None], 0))

    @cached_property
    def counted(self) -> tuple[int, ...]:
        """The kinds of units that the state counts: all but the one that there may be most of,
        which fills the other rows."""
        kinds = range(len(self.most))
        largest = max(kinds, key=lambda u: (self.most[u], u))
        return tuple(u for u in kinds if u != largest)

    @cached_property
    def rest(self) -> int:
        """The kind of units that is not counted."""
        return next(u for u in range(len(self.most)) if u not in self.counted)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of the counts in a state."""
        rows = (self.rows // len(self.filled[u]) for u in self.counted)
        return tuple(min(self.most[u], n) + 1 for u, n in zip(self.counted, rows, strict=True))

    @cached_property
    def of_one_class(self) -> bool:
        """Whether every row has the same class, whatever the answer."""
        return self.classes == 1 and self.most[0] >= self.rows and bool(self.may.all())

    def possible(self, row: int) -> Bools:
        """The counts that are possible before a row."""
        total = np.zeros(self.shape, dtype=np.int64)
        within = np.ones(self.shape, dtype=np.bool_)
        for u, count in zip(self.counted, np.indices(self.shape), strict=True):
            total = total + count * len(self.filled[u])
            if self.together:
                within &= total <= self.most[u]
        rest, left = np.divmod(row - total, len(self.filled[self.rest]))
        return np.asarray(within & (rest >= 0) & (left == 0) & (rest <= self.most[self.rest]))

    @cached_property
    def possible_before(self) -> list[Bools]:
        """[r + 1] times [counts, 1]: the counts that are possible before every row, and at the
        end."""
        return [self.possible(row)[..., None] for row in range(self.rows + 1)]

    def beginning(self, row: int) -> Iterator[tuple[int, int]]:
        """The kinds of units that may begin with a row, and the row after each."""
        for u, classes in enumerate(self.filled):
            end = row + len(classes)
            if end <= self.rows and self.may[list(classes), np.arange(row, end)].all():
                yield u, end

    def stages_of(self, unit: int, row: int) -> Iterator[tuple[int, int]]:
        """The class of every stage of a unit that begins with a row, and the stage."""
        for later, c in enumerate(self.filled[unit]):
            for stage in self.of_row(row + later):
                yield c, stage

    def of_row(self, row: int) -> range:
        """The stages of a row."""
        each = self.stages // self.rows
        return range(row * each, (row + 1) * each)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Orders:
    """B answers: the class of every row, [B, r], and the layers of every stage, [B, p]."""

    classes: Ints
    layers: Ints

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BestOrder:
    """One answer, and the largest of its rows in seconds."""

    order: Orders
    rows_s: float


def best_order(
    problem: OrderProblem,
    *,
    least_s: float = 0.0,
    below_s: float = inf,
    budget: Budget = UNLIMITED,
) -> BestOrder | None:
    """The answer whose largest row is least; None where none is below `below_s`. No row that is
    less than `least_s` counts for less. Raises: OutOfTime."""
    found: BestOrder | None = None
    shortest_s = 0.0
    low = max(least_s, float(np.min(problem.own_s, axis=(0, 2, 3)).max()))
    high = min(below_s, float(problem.own_s[np.isfinite(problem.own_s)].sum()) + 1.0)
    middle = high
    while low < high and (found is None or found.rows_s > least_s):
        budget.check()
        below = middle if middle < high else high * SAME
        order = order_within(problem, below, shortest_s)
        if order is not None:
            # What is within a lower threshold is no shorter.
            shortest_s = SAME * float(taken(problem, problem.way_s, order).sum())
            found = BestOrder(order=order, rows_s=float(largest_row_s(problem, order)[0]))
            high = found.rows_s
        elif middle < high:
            low = middle
        else:
            break
        middle = (low + high) / 2 if high > low * (1 + CLOSE) else high
    return found


def has_order(problem: OrderProblem) -> bool:
    """Whether there is any answer."""
    return shortest_way(problem, LONGEST, LONGEST) is not None


def largest_row_s(problem: OrderProblem, orders: Orders) -> Floats:
    """[B]: the largest row of every answer."""
    own, late, way = (taken(problem, table, orders) for table in _tables(problem))
    begun = np.cumsum(way, axis=1) - way
    largest = np.maximum((begun + own).max(axis=1), way.sum(axis=1) + late.max(axis=1))
    return np.asarray(largest)


def taken(problem: OrderProblem, table: Floats, orders: Orders) -> Floats:
    """[B, p]: what the table holds for every stage of the answers."""
    each = problem.stages // problem.rows
    classes = np.repeat(orders.classes, each, axis=1)
    ends = np.cumsum(orders.layers, axis=1)
    return np.asarray(table[classes, np.arange(problem.stages), orders.layers, ends])


def _tables(problem: OrderProblem) -> tuple[Floats, Floats, Floats]:
    return problem.own_s, problem.late_s, problem.way_s


def order_within(problem: OrderProblem, threshold_s: float, whole_s: float = 0.0) -> Orders | None:
    """An answer with all rows within the threshold; none of these has a way shorter than
    `whole_s`."""
    while True:
        order = shortest_way(problem, threshold_s, threshold_s - whole_s)
        if order is None:
            return None
        way = taken(problem, problem.way_s, order)
        late = taken(problem, problem.late_s, order)
        if way.sum() + late.max() <= threshold_s or way.sum() <= whole_s:
            return order
        whole_s = float(way.sum())


def shortest_way(problem: OrderProblem, own_s: float, late_s: float) -> Orders | None:
    """Of the answers whose rows are within these thresholds, the one with the shortest way."""
    way_s = np.where(problem.late_s <= late_s, problem.way_s, inf)
    if problem.of_one_class:
        return _shortest_of_one_class(problem, own_s, way_s)
    begun = _begun(problem)
    chosen = [np.zeros(begun[0].shape, dtype=np.int64) for _ in begun]
    causes: list[dict[int, list[Ints]]] = [{} for _ in begun]
    for row in range(problem.rows):
        for unit, end in problem.beginning(row):
            reached, held = begun[row], causes[end].setdefault(unit, [])
            for c, stage in problem.stages_of(unit, row):
                reached, cause = _advance(
                    reached, problem.before, problem.own_s[c, stage], way_s[c, stage], own_s
                )
                held.append(cause)
            moved = _counted_one_more(problem, reached, unit)
            better = (moved < begun[end]) & problem.possible_before[end]
            begun[end][better], chosen[end][better] = moved[better], unit
    return _traced(problem, begun[-1], chosen, causes)


def _begun(problem: OrderProblem) -> list[Floats]:
    """[r + 1] times [counts, L + 1]: the least ways before every row and at the end, of which only
    the first is known."""
    shape = (*problem.shape, problem.layers + 1)
    begun = [np.full(shape, inf) for _ in range(problem.rows + 1)]
    begun[0][(0,) * len(shape)] = 0.0
    return begun


def _shortest_of_one_class(problem: OrderProblem, own_s: float, way_s: Floats) -> Orders | None:
    """The same where every row has the only class: `way_s` is infinite where a stage is above the
    other threshold."""
    begun = np.full(problem.layers + 1, inf)
    begun[0] = 0.0
    causes = []
    for stage in range(problem.stages):
        begun, cause = _advance(
            begun, problem.before, problem.own_s[0, stage], way_s[0, stage], own_s
        )
        causes.append(cause)
    at = problem.layers
    if not np.isfinite(begun[at]):
        return None
    layers = []
    for cause in reversed(causes):
        layers.append(int(cause[at]))
        at -= layers[-1]
    classes = np.zeros((1, problem.rows), dtype=np.int64)
    return Orders(classes=classes, layers=np.array([layers[::-1]], dtype=np.int64))


def _advance(
    begun: Floats, before: Ints, own: Floats, way: Floats, own_s: float
) -> tuple[Floats, Ints]:
    """The least ways after a stage, [..., L + 1], and how many layers it then holds. `own` and
    `way` [K + 1, L + 1] are of the stage, `before` says where its layers begin."""
    start = begun[..., before]
    reached = np.where(start + own <= own_s, start + way, inf)
    return reached.min(axis=-2), reached.argmin(axis=-2)


def _counted_one_more(problem: OrderProblem, values: Floats, unit: int) -> Floats:
    """The same with one unit of a kind more."""
    if unit == problem.rest:
        return values
    axis = problem.counted.index(unit)
    moved = np.full_like(values, inf)
    after, until = [slice(None)] * values.ndim, [slice(None)] * values.ndim
    after[axis], until[axis] = slice(1, None), slice(None, -1)
    moved[tuple(after)] = values[tuple(until)]
    return moved


def _traced(
    problem: OrderProblem,
    begun: Floats,
    chosen: list[Ints],
    causes: list[dict[int, list[Ints]]],
) -> Orders | None:
    whole = begun[..., problem.layers]
    if not np.isfinite(whole).any():
        return None
    state = list(np.unravel_index(int(whole.argmin()), whole.shape)) if whole.ndim else []
    at, row = problem.layers, problem.rows
    classes: list[int] = []
    layers: list[int] = []
    while row:
        unit = int(chosen[row][(*state, at)])
        classes.extend(reversed(problem.filled[unit]))
        if unit != problem.rest:
            state[problem.counted.index(unit)] -= 1
        for cause in reversed(causes[row][unit]):
            layers.append(int(cause[(*state, at)]))
            at -= layers[-1]
        row -= len(problem.filled[unit])
    return Orders(
        classes=np.array([classes[::-1]], dtype=np.int64),
        layers=np.array([layers[::-1]], dtype=np.int64),
    )


def least_sum(problem: OrderProblem, costs_s: Floats, own_s: float, late_s: float) -> float:
    """What the stages of answers cost together at least, by `costs_s` [C, p, K + 1, L + 1], where
    rows are within these thresholds; infinite where none are. Rows count with the shortest way that
    leads to equal counts and layers."""
    within = problem.late_s <= late_s
    way_s, costs_s = np.where(within, problem.way_s, inf), np.where(within, costs_s, inf)
    begun, spent = _begun(problem), _begun(problem)
    for row in range(problem.rows):
        for unit, end in problem.beginning(row):
            way, cost = begun[row], spent[row]
            for c, stage in problem.stages_of(unit, row):
                start = way[..., problem.before]
                fits = start + problem.own_s[c, stage] <= own_s
                costs = np.where(fits, cost[..., problem.before] + costs_s[c, stage], inf)
                way = np.where(fits, start + way_s[c, stage], inf).min(axis=-2)
                cost = costs.min(axis=-2)
            possible = problem.possible_before[end]
            for best, moved in ((begun, way), (spent, cost)):
                counted = np.where(possible, _counted_one_more(problem, moved, unit), inf)
                best[end] = np.minimum(best[end], counted)
    return float(spent[-1][..., problem.layers].min())
