"""Things divided among places with parts that limit how many they take, so that the longest of
several rows is short, and the average of rows that no division keeps short.

Letters: J rows, I places, P parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.solver.longest_row import LongestRow

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver.solver import Solver


class Parts(NamedTuple):
    """A `number` of equal things to be divided among places. Place i belongs to part i modulo the
    number of parts; a part takes at least `floors` [P] of them and has room for `rooms` [P]. With
    `owed` [2, P] there are things of a second kind, of which a part owes, at any of its places, the
    first number and the second for each that it takes of the first kind."""

    number: float
    floors: Floats
    rooms: Floats
    owed: Floats | None = None


class Division(LongestRow):
    """The program of `parts` whose entries, [I] or [2 · I], are how many things each of so many
    `places` gets. Rows take up to about `unit_s`."""

    def __init__(self, parts: Parts, places: int, unit_s: float, solver: Solver) -> None:
        part_of = np.arange(places) % len(parts.rooms) == np.arange(len(parts.rooms))[:, None]
        given = np.concatenate((np.ones((1, places)), part_of))
        lower = np.append(parts.number, parts.floors)
        upper = np.append(parts.number, np.minimum(parts.rooms, parts.number))
        if parts.owed is not None:
            owing = np.column_stack((-parts.owed[1][:, None] * part_of, part_of))
            given = np.concatenate((np.column_stack((given, np.zeros(given.shape))), owing))
            lower = np.append(lower, parts.owed[0])
            upper = np.append(upper, np.full(len(owing), np.inf))
        super().__init__(given, lower, upper, unit_s, solver)
