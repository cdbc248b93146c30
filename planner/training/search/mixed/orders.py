"""Which class of devices takes each row of stages and how many layers each stage holds: the exact
program, by dynamic programming under a threshold.

It is `planner.stage_layout.threshold` with the number of rows of every class in its state. Under a
threshold S on the step, a stage of class c may hold k layers up to layer j only if

    Q + own(c, k, j) ≤ S    and    W + late(c, k, j) ≤ S,

where Q is the way of a microbatch through the earlier stages and back, and W that through the whole
pipeline. Of all that end at j with equal counts of classes, only the one with the least Q is kept.

Letters as in `planner.training.search.mixed.order_problem`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.training.search.mixed.order_problem import Orders, largest_row_s, taken

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.training.search.mixed.order_problem import OrderProblem

CLOSE = 3e-4
"""Once the bisected thresholds are this close, relatively, each answer becomes the next
threshold."""

LONGEST = 1e300
"""Seconds that no row reaches."""

SAME = 1 - 1e-12
"""Share of a step from which on another is not faster."""


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
