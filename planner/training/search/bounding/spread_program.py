"""The program of one combination: the spread of its layers over chunks that keeps the longest path
short, and the average of paths that no spread can keep short.

Letters: J paths, V chunks in the order in which a microbatch visits them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.solver.division import Division

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.solver import Solver
    from planner.solver.division import Parts

FIRST, MORE = 32, 8
"""Paths in the first program for a case, those that are longest at the best spread known; and most
that join it because they are longer than it says, for few chunks: as many as half of the chunks
where that is more."""

LONGER = 1e-6
"""Share of a step by which they are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpreadRows:
    """Paths of one case: what they take with the fewest layers, [J], and for every layer more in a
    chunk, [J, V], under full recomputation followed by every one more that is repeated there."""

    fixed_s: Floats
    each_s: Floats

    def some(self, which: Ints) -> SpreadRows:
        return SpreadRows(fixed_s=self.fixed_s[which], each_s=self.each_s[which])

    def joined(self, more: SpreadRows) -> SpreadRows:
        return SpreadRows(
            fixed_s=np.append(self.fixed_s, more.fixed_s),
            each_s=np.concatenate((self.each_s, more.each_s)),
        )

    def beyond(self, given: Floats) -> SpreadRows:
        """Of spreads beyond those layers and repeated ones that are `given` in any case."""
        return SpreadRows(fixed_s=self.fixed_s + self.each_s @ given, each_s=self.each_s)

    def seconds(self, spread: Floats) -> Floats:
        """[J]: with so many layers beyond the fewest of every chunk, and repeated ones."""
        return self.fixed_s + self.each_s @ spread


class Spread(NamedTuple):
    """Layers of every chunk beyond its fewest, [V], under full recomputation followed by how many
    more of them are repeated than are so in any case, and what the longest path takes."""

    layers: Floats
    seconds: float


class SpreadProgram:
    """The least that the longest of `rows` takes over all spreads of one case; `near`: a spread
    whose longest rows it is stated with. `used`: the rows that it has so far."""

    def __init__(self, rows: SpreadRows, parts: Parts, near: Floats, solver: Solver) -> None:
        self.rows = rows
        unit_s = float(rows.fixed_s.max() + parts.number * rows.each_s.max())
        places = len(near) // (1 if parts.owed is None else 2)
        self._division = Division(parts, places, unit_s, solver)
        self.used = np.zeros(0, dtype=np.int64)
        self._use(np.argsort(-rows.seconds(near), kind="stable")[:FIRST])
        self.shares = np.zeros(0)

    def add(self, rows: SpreadRows) -> None:
        """Add paths, of which it uses all."""
        known = len(self.rows.fixed_s)
        self.rows = self.rows.joined(rows)
        self._use(np.arange(known, len(self.rows.fixed_s)))

    def solved(self) -> Spread | None:
        """The spread with the least longest row, and what that takes; None without an answer. Then
        `shares` are those of the rows used in the average that is longest."""
        more = max(MORE, self.rows.each_s.shape[1] // 2)
        while True:
            found = self._division.solved()
            if found is None:
                return None
            self.shares = found.shares
            seconds = self.rows.seconds(found.entries)
            least_s = float(seconds[self.used].max())
            longer = np.flatnonzero(seconds > least_s * (1 + LONGER))
            longer = np.setdiff1d(longer, self.used)
            if not len(longer):
                return Spread(found.entries, least_s)
            self._use(longer[np.argsort(-seconds[longer], kind="stable")[:more]])

    def _use(self, more: Ints) -> None:
        used = self.rows.some(more)
        self._division.add(used.fixed_s, used.each_s)
        self.used = np.concatenate((self.used, more))
