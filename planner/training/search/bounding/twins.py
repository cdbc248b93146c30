"""Combinations whose exchanges of experts run by themselves, beside their twins in which the
exchanges run beside another microbatch.

A twin's passes are no longer. Where it fits in memory, the other one is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.plan import DISPATCHERS
from planner.training.search.space.enumeration import GRID_AXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.specs.experts import Expert
    from planner.training.search.space.enumeration import Block, Columns

APART = ("dispatcher", "expert_overlap")
"""Axes in which twins differ; memory does not depend on the first."""


def twins_of(columns: Columns, expert: Expert) -> NDArray[np.int64]:
    """[rows]: the row of a grid that has its exchanges beside another microbatch and agrees in all
    else; −1 where there is none, or where the dispatcher of the row could not do so."""
    overlapped = columns["expert_overlap"] == 1
    twin = np.full(len(overlapped), -1, dtype=np.int64)
    if not overlapped.any():
        return twin
    alike = np.stack([columns[axis] for axis in GRID_AXES if axis not in APART])
    _, number = np.unique(alike, axis=1, return_inverse=True)
    number = number.reshape(-1)
    of_number = np.full(int(number.max()) + 1, -1, dtype=np.int64)
    of_number[number[overlapped]] = np.flatnonzero(overlapped)
    may = np.array([expert.dispatchers.of(name).overlaps for name in DISPATCHERS])
    alone = ~overlapped & may[columns["dispatcher"]]
    twin[alone] = of_number[number[alone]]
    return twin


@dataclass(slots=True, eq=False)
class Twins:
    """Of one group: which of its combinations are still worth a look."""

    twin: NDArray[np.int64]
    group: Block
    fitting: NDArray[np.int64] | None = None

    def waves(
        self, overlapped: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        """The rows of the group with exchanges beside another microbatch, if any, then those of the
        others whose twin is not among what `keep` was told to fit."""
        first = overlapped[self.group.grid_row[rows]] == 1
        if first.any():
            yield rows[first]
            rows = rows[~first]
            if self.fitting is not None and len(self.fitting):
                keys = self._keys(self.twin[self.group.grid_row[rows]], rows)
                rows = rows[~np.isin(keys, self._keys(self.group.grid_row[self.fitting], None))]
        yield rows

    def keep(self, fitting: NDArray[np.int64]) -> None:
        """These rows of the group fit."""
        self.fitting = fitting

    def _keys(
        self, grid_row: NDArray[np.int64], rows: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """One number for each row of the grid with what else the rows of the group decide."""
        at = self.fitting if rows is None else rows
        keys = grid_row
        for codes in self.group.variants.values():
            keys = keys * (int(codes.max(initial=0)) + 2) + codes[at] + 1
        return keys
