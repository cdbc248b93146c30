"""All answers of a program of types and layers within a threshold, by forward extension under what
the rest allows.

Letters as in `planner.training.search.mixed.orders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.training.search.mixed.order_problem import Orders, largest_row_s, taken
from planner.training.search.mixed.orders import shortest_way

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.budget import Budget
    from planner.training.search.mixed.order_problem import OrderProblem


def every_order(
    problem: OrderProblem, within_s: float, *, most: int, budget: Budget = UNLIMITED
) -> Orders | None:
    """All answers whose rows are within the threshold; None where they are more than `most`.
    Raises: OutOfTime."""
    shortest = shortest_way(problem, within_s, within_s)
    if shortest is None:
        return _none(problem)
    late_s = within_s - float(taken(problem, problem.way_s, shortest).sum())
    allowance = _allowances(problem, within_s, late_s, budget)
    begun: list[list[_Partial]] = [[] for _ in range(problem.rows + 1)]
    begun[0].append(_Partial.start(problem))
    for row in range(problem.rows):
        budget.check()
        if not begun[row]:
            continue
        partial = _Partial.joined(begun[row])
        for unit, end in problem.beginning(row):
            grown, allowances = partial, allowance[row][unit]
            for (c, stage), after in zip(problem.stages_of(unit, row), allowances, strict=True):
                grown = grown.extended(problem, c, stage, within_s, late_s, after)
                if len(grown.way_s) > most * _TOLERATED:
                    return None
            begun[end].append(grown.with_unit(problem, unit))
        if sum(len(one.way_s) for one in begun[row + 1]) > most * _TOLERATED:
            return None
    if not begun[-1]:
        return _none(problem)
    partial = _Partial.joined(begun[-1])
    orders = Orders(classes=partial.classes, layers=partial.layers)
    orders = _chosen(orders, largest_row_s(problem, orders) <= within_s)
    return None if len(orders) > most else orders


_TOLERATED = 4
"""How many times as many answers may be begun as are wanted."""


def _chosen(orders: Orders, which: Bools) -> Orders:
    return Orders(classes=orders.classes[which], layers=orders.layers[which])


def _none(problem: OrderProblem) -> Orders:
    return Orders(
        classes=np.zeros((0, problem.rows), dtype=np.int64),
        layers=np.zeros((0, problem.stages), dtype=np.int64),
    )


def _allowances(
    problem: OrderProblem, own_s: float, late_s: float, budget: Budget
) -> list[dict[int, list[Floats]]]:
    """By row, unit that begins with it and stage of the unit: the longest way to begin with after
    that stage, [counts before the unit, L + 1], with which the rest can be within the
    thresholds."""
    after = [np.full((*problem.shape, problem.layers + 1), -inf) for _ in range(problem.rows + 1)]
    after[-1][..., problem.layers] = np.where(problem.possible(problem.rows), inf, -inf)
    found: list[dict[int, list[Floats]]] = []
    for row in reversed(range(problem.rows)):
        budget.check()
        of_row: dict[int, list[Floats]] = {}
        for unit, end in problem.beginning(row):
            allowed = _counted_one_less(problem, after[end], unit)
            of_row[unit] = []
            for c, stage in reversed(list(problem.stages_of(unit, row))):
                of_row[unit].insert(0, allowed)
                allowed = _allowed_before(problem, allowed, c, stage, own_s, late_s)
            after[row] = np.maximum(after[row], allowed)
        after[row] = np.where(problem.possible_before[row], after[row], -inf)
        found.insert(0, of_row)
    return found


def _counted_one_less(problem: OrderProblem, values: Floats, unit: int) -> Floats:
    """What stands where one unit of a kind more is counted."""
    if unit == problem.rest:
        return values
    axis = problem.counted.index(unit)
    moved = np.full_like(values, -inf)
    after, until = [slice(None)] * values.ndim, [slice(None)] * values.ndim
    after[axis], until[axis] = slice(1, None), slice(None, -1)
    moved[tuple(until)] = values[tuple(after)]
    return moved


def _allowed_before(
    problem: OrderProblem, allowed: Floats, c: int, stage: int, own_s: float, late_s: float
) -> Floats:
    """The longest way to begin a stage of class c with, given that after it: [..., L + 1]."""
    own, way = problem.own_s[c, stage], problem.way_s[c, stage]
    here = np.where(problem.late_s[c, stage] <= late_s, own_s - own, -inf)
    with np.errstate(invalid="ignore"):
        left = np.where(np.isfinite(own), allowed[..., None, :] - way, -inf)
    both = np.minimum(left, here)
    best = np.full(allowed.shape, -inf)
    for layers in range(both.shape[-2]):
        end = problem.layers + 1 - layers
        best[..., :end] = np.maximum(best[..., :end], both[..., layers, layers:])
    return best


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Partial:
    """Beginnings of answers: counts [B, counted], layers so far [B], the way [B]."""

    counts: Ints
    at: Ints
    way_s: Floats
    classes: Ints
    layers: Ints

    @classmethod
    def start(cls, problem: OrderProblem) -> _Partial:
        return cls(
            counts=np.zeros((1, len(problem.counted)), dtype=np.int64),
            at=np.zeros(1, dtype=np.int64),
            way_s=np.zeros(1),
            classes=np.zeros((1, 0), dtype=np.int64),
            layers=np.zeros((1, 0), dtype=np.int64),
        )

    @classmethod
    def joined(cls, parts: list[_Partial]) -> _Partial:
        return cls(
            counts=np.concatenate([part.counts for part in parts]),
            at=np.concatenate([part.at for part in parts]),
            way_s=np.concatenate([part.way_s for part in parts]),
            classes=np.concatenate([part.classes for part in parts]),
            layers=np.concatenate([part.layers for part in parts]),
        )

    def extended(
        self,
        problem: OrderProblem,
        c: int,
        stage: int,
        own_s: float,
        late_s: float,
        allowance: Floats,
    ) -> _Partial:
        """Every way to go on with a stage of class c."""
        lengths = np.arange(problem.own_s.shape[2])
        ends = self.at[:, None] + lengths
        inside = ends <= problem.layers
        ends = np.minimum(ends, problem.layers)
        at = (c, stage, lengths, ends)
        way = self.way_s[:, None] + problem.way_s[at]
        fine = inside & (self.way_s[:, None] + problem.own_s[at] <= own_s)
        fine &= problem.late_s[at] <= late_s
        counts = tuple(column[:, None] for column in self.counts.T)
        fine &= way <= allowance[(*counts, ends)]
        which, length = np.nonzero(fine)
        return _Partial(
            counts=self.counts[which],
            at=ends[which, length],
            way_s=way[which, length],
            classes=self.classes[which],
            layers=np.column_stack((self.layers[which], length)),
        )

    def with_unit(self, problem: OrderProblem, unit: int) -> _Partial:
        """With the unit that was just filled counted."""
        counts = self.counts.copy()
        if unit != problem.rest:
            counts[:, problem.counted.index(unit)] += 1
        filled = np.tile(np.array(problem.filled[unit]), (len(self.at), 1))
        return _Partial(
            counts=counts,
            at=self.at,
            way_s=self.way_s,
            classes=np.column_stack((self.classes, filled)),
            layers=self.layers,
        )
