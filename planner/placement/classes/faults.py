"""How far a placement exceeds limits that are set to its waits and to its slowest pipeline.

The objective is a sum of largest values, flat nearly everywhere. The excess is not: every hop and
every pipeline over its limit counts, by itself and by how far it is over.
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
"""What is over its limit counts beside its excess as a share of the limit."""
BANNED = 10.0
"""What a class in a row that must not have it counts."""
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allowance:
    """`waits_s`: the longest each wait of the problem may be; `pipeline_s`: the slowest
    pipeline."""

    waits_s: tuple[float, ...]
    pipeline_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HopFaults:
    """Of one family: what a hop counts by row, sending and receiving class, [rows, K, K], and the
    column before and after every column in its ring, [columns], itself where it is in none."""

    excess: NDArray[np.float64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]

    def of(self, grid: NDArray[np.int64]) -> NDArray[np.float64]:
        """[rows, columns]: of the hop that leaves each position of a grid of classes."""
        return self.at(np.arange(len(grid))[:, None], grid, np.arange(len(self.after)))

    def at(
        self, row: NDArray[np.int64], grid: NDArray[np.int64], column: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The same for some rows and columns."""
        to = self.after[column]
        counts = self.excess[row, grid[row, column], grid[row, to]]
        return np.asarray(np.where(to == column, 0.0, counts))


def excess(seconds: NDArray[np.float64], limit_s: float) -> NDArray[np.float64]:
    """What seconds count under a limit."""
    over = (seconds - limit_s) / max(limit_s, TOLERANCE)
    return np.where(over > TOLERANCE, FAULT + over, 0.0)


def hop_faults(problem: PlacementProblem, allowance: Allowance) -> list[HopFaults]:
    """Of every family: a hop may take what its wait may, and what hides it, less the least that
    the wait's other families take."""
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
