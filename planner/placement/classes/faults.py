"""Measures by how much a placement exceeds limits on its waits and on its slowest pipeline.

The objective is a sum of maxima and therefore flat nearly everywhere. The excess is not: every hop
and every pipeline over its limit counts, once for being over and again by how far it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem

FAULT = 1.0
"""What anything over its limit counts, in addition to its excess as a share of the limit."""
BANNED = 10.0
"""What a class counts in a row that does not allow it."""
TOLERANCE = 1e-9
"""Relative excess that counts as rounding; also the smallest limit to divide by, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allowance:
    """Limits for a placement. `waits_s`: the longest that each wait of the problem may take;
    `pipeline_s`: the longest that the slowest pipeline may take."""

    waits_s: tuple[float, ...]
    pipeline_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HopFaults:
    """The faults of one family. `excess` [rows, K, K]: what a hop counts by row, sending and
    receiving class. `before`, `after` [columns]: the neighbours of every column in its ring, the
    column itself where it is in none."""

    excess: NDArray[np.float64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]

    def of(self, grid: NDArray[np.int64]) -> NDArray[np.float64]:
        """[rows, columns]: the fault of the hop that leaves each position of a grid of classes."""
        return self.at(np.arange(len(grid))[:, None], grid, np.arange(len(self.after)))

    def at(
        self, row: NDArray[np.int64], grid: NDArray[np.int64], column: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The same for the given rows and columns."""
        to = self.after[column]
        counts = self.excess[row, grid[row, column], grid[row, to]]
        return np.asarray(np.where(to == column, 0.0, counts))


def excess(seconds: NDArray[np.float64], limit_s: float) -> NDArray[np.float64]:
    """What `seconds` count against a limit: 0 within it."""
    over = (seconds - limit_s) / max(limit_s, TOLERANCE)
    return np.where(over > TOLERANCE, FAULT + over, 0.0)


def hop_faults(problem: PlacementProblem, allowance: Allowance) -> list[HopFaults]:
    """The faults of every family. A hop may take the wait's limit plus the hidden time, minus the
    least that the wait's other families take."""
    found = []
    for wait, limit_s in zip(problem.waits, allowance.waits_s, strict=True):
        least = [family.scale * family.hop_s.min() for family in wait.families]
        for index, family in enumerate(wait.families):
            others = sum(least[:index] + least[index + 1 :], -wait.hidden_s)
            seconds = family.scale[:, None, None] * family.hop_s + others[:, None, None]
            before, after = _neighbours(family.rings, problem.columns)
            counts = excess(seconds, limit_s)
            found.append(HopFaults(excess=counts, before=before, after=after))
    return found


def _neighbours(
    rings: Iterable[tuple[int, ...]], columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    before, after = np.arange(columns), np.arange(columns)
    for ring in rings:
        before[list(ring)] = np.roll(ring, 1)
        after[list(ring)] = np.roll(ring, -1)
    return before, after
