"""Mixtures of ways that keep the longest of several rows short, and averages of rows that no
mixture keeps short.

Each of several parts takes one of its ways, or a mixture of them, and adds what that way costs to
every row. Letters: J rows, I ways of a part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.solver.longest_row import LongestRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.solver.solver import Solver


class Mixture(NamedTuple):
    """The shares of the ways by part in the mixture whose longest row is least, and the shares [J]
    of the rows in the average that is longest when parts take their best ways. Any shares of rows
    give a bound; these give the best."""

    ways: tuple[Floats, ...]
    rows: Floats


class Mixtures(LongestRow):
    """The program of parts with so many ways each; its entries are the shares of all ways, part by
    part. Rows take up to about `unit_s`."""

    def __init__(self, counts: Sequence[int], unit_s: float, solver: Solver) -> None:
        self._ends = np.cumsum(counts)
        given = np.repeat(np.eye(len(counts)), counts, axis=1)
        one = np.ones(len(counts))
        super().__init__(given, one, one, unit_s, solver)

    def mixture(self) -> Mixture | None:
        """None where the solver has no answer."""
        found = self.solved()
        if found is None:
            return None
        ways = np.split(found.entries, self._ends[:-1])
        return Mixture(tuple(held / held.sum() for held in ways), found.shares)
