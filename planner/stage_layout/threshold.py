"""Finds the exact layout with one chunk per stage, by dynamic programming under a threshold.

Under a threshold S on the step (`rows_s`), a stage may take items i to j only if

    Q + own(i, j) ≤ S    and    W + late(i, j) ≤ S,

where Q is the way of a microbatch through the earlier stages and back, the first stage's gradient
reduction included, and W is the same through the whole pipeline. A smaller Q allows more, now and
later. So of all layouts of the first stages that end at j, only the one with the least Q is kept:
one pass over stages and pairs of positions finds the least W of any layout whose own rows are
within S. If that W is larger than the second condition assumed, the condition is tightened, which
is safe because no layout has less, and the pass is repeated. Thresholds are bisected; then each
layout found sets the next, lower threshold, until no layout is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.stage_layout.problem import Layouts, price
from planner.stage_layout.stage_bounds import Rows, rows_s

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.stage_layout.problem import LayoutProblem

LONGEST = 1e300
"""Seconds that no layout reaches."""

CLOSE = 1e-4
"""Once the bisected thresholds are this close, relatively, each layout found becomes the next
threshold."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A layout, and the largest of its rows; no layout that fits has a smaller largest row."""

    layout: Layouts
    rows_s: float


def best_layout(
    problem: LayoutProblem, *, below_s: float = LONGEST, budget: Budget = UNLIMITED
) -> Found | None:
    """The layout whose largest row (`stage_bounds.rows_s`) is least; None where no layout that fits
    is below `below_s`.

    Raises: ValueError for several chunks per stage; OutOfTime.
    """
    if problem.virtual_stages != 1:
        raise ValueError("the dynamic program takes one chunk per stage")
    patterns = range(len(problem.patterns))
    found: Found | None = None
    for allowed in [[one] for one in patterns] if problem.one_pattern else [list(patterns)]:
        segments = _Segments.of(problem, allowed)
        found = _lowered(problem, segments, found, below_s, budget)
    return found


def _lowered(
    problem: LayoutProblem,
    segments: _Segments,
    found: Found | None,
    below_s: float,
    budget: Budget,
) -> Found | None:
    """The best of `found` and of the layouts that a set of patterns allows."""
    low, high = segments.least_s(), below_s if found is None else found.rows_s
    middle = high
    while low < high:
        budget.check()
        below = middle if middle < high else high * (1 - 1e-12)
        layout = segments.layout(below)
        if layout is not None:
            found = Found(
                layout=layout, rows_s=float(rows_s(problem, price(problem, layout)).max())
            )
            high = found.rows_s
        elif middle < high:
            low = middle
        else:
            break
        middle = (low + high) / 2 if high > low * (1 + CLOSE) else high
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Segments:
    """Every segment that a stage may take, [p, N, N] over the N positions where chunks may begin or
    end; infinite where the segment does not fit. `way_s`: what the segment adds to the way of a
    microbatch."""

    problem: LayoutProblem
    ends: Ints
    own_s: Floats
    late_s: Floats
    way_s: Floats
    pattern: Ints

    @classmethod
    def of(cls, problem: LayoutProblem, allowed: list[int]) -> _Segments:
        costs, ends, m = problem.costs, problem.ends, problem.num_microbatches
        rows = Rows.of(problem)
        first, end = ends[:, None], ends[None, :]
        each = slice(0, 1) if _alike(problem) else slice(None)
        forward = costs.forward[each, end] - costs.forward[each, first]
        plain = costs.backward[each, end] - costs.backward[each, first]
        static = problem.fixed_bytes[each, None, None] + costs.static[end] - costs.static[first]
        room = problem.capacity_bytes[each, None, None] * (1 + 1e-12)
        backward = np.full(plain.shape, np.inf)
        chosen = np.zeros(plain.shape, dtype=np.int64)
        for pattern in allowed:
            level = costs.levels[pattern]
            lead = np.minimum(costs.leads[pattern][first], end)
            kept = costs.kept[level, lead] - costs.kept[level, first]
            kept = kept + costs.kept[0, end] - costs.kept[0, lead]
            replay = costs.replay[level][each]
            seconds = plain + replay[:, lead] - replay[:, first]
            here = (static + problem.in_flight[each, :1, None] * kept <= room) & (first < end)
            better = here & (seconds < backward)
            backward[better], chosen[better] = seconds[better], pattern
        possible = np.isfinite(backward)
        backward = np.where(possible, backward, 0.0)
        way = forward + rows.forward_link_s[:, None, None]
        if rows.returns:
            way = way + backward + rows.backward_link_s[:, None, None]
        reduction = costs.reduction[end] - costs.reduction[first]
        own = np.where(possible, m * (forward + backward) + rows.own_held_s[:, None, None], np.inf)
        (own[:1] if rows.returns else own)[:] += reduction
        if rows.returns:
            way[0] += reduction
        late = np.zeros((problem.stages, 1, 1))
        if rows.late:
            late = rows.late_forwards[:, None, None] * forward + (m - 1) * backward
            late = late + rows.late_held_s[:, None, None]
        return cls(
            problem=problem,
            ends=ends,
            own_s=own,
            late_s=np.broadcast_to(late, own.shape),
            way_s=way,
            pattern=np.broadcast_to(chosen, own.shape),
        )

    def least_s(self) -> float:
        """Lower bound on the largest row of every layout: each stage alone with its cheapest
        segment."""
        return float(self.own_s.min(axis=(1, 2)).max())

    def layout(self, threshold_s: float) -> Layouts | None:
        """A layout with all rows within the threshold; None where there is none."""
        whole_way_s = 0.0
        while True:
            passed = self._pass(threshold_s, threshold_s - whole_way_s)
            if passed is None:
                return None
            layout, way_s, late_s = passed
            if way_s + late_s <= threshold_s:
                return layout
            whole_way_s = way_s

    def _pass(self, own_s: float, late_s: float) -> tuple[Layouts, float, float] | None:
        """Of the layouts whose rows are within these thresholds: the one with the shortest way,
        that way, and the layout's largest late time. No stage is empty: stage s begins at position
        s or later, the first stage at 0, and leaves a position to each of those after it."""
        last = len(self.ends) - 1
        spare = last - self.problem.stages
        if spare < 0:
            return None
        begun = np.zeros(1)
        causes = []
        for stage in range(self.problem.stages):
            ends = slice(stage + 1, stage + spare + 2)
            starts = slice(stage, stage + len(begun))
            here = (stage, starts, ends)
            begin = begun[:, None]
            allowed = (begin + self.own_s[here] <= own_s) & (self.late_s[here] <= late_s)
            reached = np.where(allowed, begin + self.way_s[here], np.inf)
            cause = reached.argmin(axis=0)
            begun = reached[cause, np.arange(spare + 1)]
            whole = np.zeros(last + 1, dtype=np.int64)
            whole[ends] = stage + cause
            causes.append(whole)
        if not np.isfinite(begun[-1]):
            return None
        at = [last]
        for cause in reversed(causes):
            at.append(int(cause[at[-1]]))
        at.reverse()
        taken = (np.arange(self.problem.stages), at[:-1], at[1:])
        layout = Layouts(ends=self.ends[at][None], patterns=self.pattern[taken][None])
        return layout, float(begun[-1]), float(self.late_s[taken].max())


def _alike(problem: LayoutProblem) -> bool:
    """Whether nothing but its links tells a stage from the others: memory is unlimited and devices
    are equally fast."""
    costs = problem.costs
    seconds = (costs.forward, costs.backward, *costs.replay)
    return bool(
        np.isinf(problem.capacity_bytes).all() and all((one == one[:1]).all() for one in seconds)
    )
