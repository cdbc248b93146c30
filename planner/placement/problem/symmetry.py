"""Finds the columns of a placement problem that can change places without changing any
objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.terms import Terms


def smaller_columns(terms: Terms) -> tuple[tuple[int, ...], ...]:
    """For each column, the earlier columns whose first-row node may be assumed to have the smaller
    number. Among placements that are images of each other under an exchange of columns, the
    lexicographically first has this property (Puget 2005, for variables that are all different)."""
    relations = column_relations(terms)
    columns = len(relations)
    found: list[list[int]] = [[] for _ in range(columns)]
    for fixed in range(columns):
        for column in range(fixed + 1, columns):
            if _can_map(relations, [*range(fixed), column]):
                found[column].append(fixed)
    return tuple(map(tuple, found))


def column_relations(terms: Terms) -> NDArray[np.int64]:
    """Int [columns, columns]: how two columns are related, as bits: one bit for lockstep and one
    for a hop of each family. An exchange of columns that preserves all relations preserves the
    objective."""
    problem = terms.problem
    block = np.arange(problem.columns) // problem.lockstep
    relations: NDArray[np.int64] = (block[:, None] == block).astype(np.int64)
    families = [hops for families in terms.waits for hops in families]
    for bit, hops in enumerate(families, start=1):
        relations[hops.sender, hops.receiver] |= 1 << bit
    return relations


def _can_map(relations: NDArray[np.int64], images: list[int]) -> bool:
    """Whether these images of the first columns extend to an exchange of all columns."""
    column = len(images)
    last = column - 1
    seen, image = relations[last, :column], relations[images[last], images]
    back, image_back = relations[:column, last], relations[images, images[last]]
    if not ((seen == image).all() and (back == image_back).all()):
        return False
    if column == len(relations):
        return True
    return any(
        _can_map(relations, [*images, candidate])
        for candidate in range(len(relations))
        if candidate not in images
    )
