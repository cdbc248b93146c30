"""The problem of which class of devices takes each row of stages and how many layers each stage
holds, its answers, and what their stages take.

Where nodes hold different numbers of stages, a unit fills several rows that follow each other, each
with a class of its own; otherwise every class is a unit.

Letters: C classes, U kinds of units, p stages, r rows of p / r stages each, L layers, K the most
of a stage. A table [C, p, K + 1, L + 1] is by the class of a stage, the layers it holds, and where
they end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.arrays import Bools, Floats, Ints


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


def largest_row_s(problem: OrderProblem, orders: Orders) -> Floats:
    """[B]: the largest row of every answer."""
    tables = (problem.own_s, problem.late_s, problem.way_s)
    own, late, way = (taken(problem, table, orders) for table in tables)
    begun = np.cumsum(way, axis=1) - way
    largest = np.maximum((begun + own).max(axis=1), way.sum(axis=1) + late.max(axis=1))
    return np.asarray(largest)


def taken(problem: OrderProblem, table: Floats, orders: Orders) -> Floats:
    """[B, p]: what the table holds for every stage of the answers."""
    each = problem.stages // problem.rows
    classes = np.repeat(orders.classes, each, axis=1)
    ends = np.cumsum(orders.layers, axis=1)
    return np.asarray(table[classes, np.arange(problem.stages), orders.layers, ends])
