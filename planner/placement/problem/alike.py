"""Merges classes of nodes with equal costs, so that searches skip swaps that change nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem, RingFamily


def with_alike_merged(problem: PlacementProblem, budget: Budget = UNLIMITED) -> PlacementProblem:
    """The same problem with as few classes as possible; every placement keeps its cost.

    Two classes are alike when the same rows allow both and exchanging a node of one for a node of
    the other changes no cost: to and from all others, to each other, and within each class.

    Raises: OutOfTime.
    """
    costs = [problem.link_s] + [family.hop_s for wait in problem.waits for family in wait.families]
    closing = problem.closing
    costs += [] if closing is None else [closing.family.hop_s]
    count = np.bincount(problem.node_class, minlength=problem.classes)
    kept: list[int] = []
    becomes = np.zeros(problem.classes, dtype=np.int64)
    groups: dict[bytes, list[int]] = {}
    for kind, signature in enumerate(_signatures(problem, costs)):
        group = groups.setdefault(signature, [])
        for other in group:
            budget.check()
            if _alike(costs, count, kind, other):
                becomes[kind] = becomes[other]
                break
        else:
            group.append(kind)
            becomes[kind] = len(kept)
            kept.append(kind)
    if len(kept) == problem.classes:
        return problem
    partner = {int(becomes[kind]): kind for kind in range(problem.classes) if kind not in set(kept)}

    def merged(cost: NDArray[np.float64]) -> NDArray[np.float64]:
        small = cost[np.ix_(kept, kept)]
        for place, other in partner.items():
            small[place, place] = cost[kept[place], other]
        return small

    def merged_family(family: RingFamily) -> RingFamily:
        return replace(family, hop_s=merged(family.hop_s))

    return replace(
        problem,
        node_class=becomes[problem.node_class],
        link_s=merged(problem.link_s),
        waits=tuple(
            replace(wait, families=tuple(map(merged_family, wait.families)))
            for wait in problem.waits
        ),
        closing=None if closing is None else replace(closing, family=merged_family(closing.family)),
        row_class_allowed=problem.row_class_allowed[:, kept],
    )


def _signatures(problem: PlacementProblem, costs: list[NDArray[np.float64]]) -> list[bytes]:
    """Equal for alike classes: the rows that allow them, and their sorted costs to and from
    others."""
    parts = [problem.row_class_allowed.T]
    for cost in costs:
        apart = cost.copy()
        np.fill_diagonal(apart, np.inf)
        parts += [np.sort(apart, axis=1), np.sort(apart.T, axis=1)]
    return [b"".join(part[kind].tobytes() for part in parts) for kind in range(problem.classes)]


def _alike(
    costs: list[NDArray[np.float64]], count: NDArray[np.int64], one: int, other: int
) -> bool:
    rest = np.ones(len(count), dtype=bool)
    rest[[one, other]] = False
    for cost in costs:
        between = cost[one, other]
        inside = [cost[kind, kind] for kind in (one, other) if count[kind] > 1]
        if cost[other, one] != between or any(value != between for value in inside):
            return False
        if not np.array_equal(cost[one, rest], cost[other, rest]):
            return False
        if not np.array_equal(cost[rest, one], cost[rest, other]):
            return False
    return True
