"""Local search over placements: exchange nodes where the placement is slowest, move whole columns
and rows, and restart from the best placement with some nodes exchanged at random.

The same seed and the same work give the same placement; the clock can only end the search early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.placement.local.arrangements import arrangements
from planner.placement.local.swaps import Swaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.budget import Meter
    from planner.placement.problem.problem import PlacementProblem
    from planner.placement.problem.terms import Terms

TOLERANCE = 1e-12
"""Relative differences below this are rounding."""
BATCH = 96
"""Moves of many nodes that are drawn and evaluated together."""
KICK_EXCHANGES = 4
"""Most random exchanges before a restart."""


def polish(
    terms: Terms, order: NDArray[np.int64], moves: Meter, *, enough_s: float = 0.0, seed: int = 0
) -> NDArray[np.int64]:
    """Int [N], no worse than `order`, int [N]: the nodes at the positions, then the unused nodes.
    Ends once the objective reaches `enough_s` or the evaluations of `moves` are spent."""
    rng = np.random.default_rng(seed)
    now = Swaps(terms, order)
    descend(now, moves, rng)
    best, best_s = now.order.copy(), now.objective_s
    kept, kept_s = best, best_s
    while not moves.ended and best_s > enough_s * (1 + TOLERANCE):
        now = Swaps(terms, kicked(Swaps(terms, kept), rng))
        descend(now, moves, rng)
        if now.objective_s <= kept_s * (1 + 0.01 * rng.random() ** 4):
            kept, kept_s = now.order.copy(), now.objective_s
        if now.objective_s < best_s * (1 - TOLERANCE):
            best, best_s = now.order.copy(), now.objective_s
    return best


def kicked(now: Swaps, rng: np.random.Generator) -> NDArray[np.int64]:
    """The placement after some random exchanges, the first of them where it is slowest."""
    order, problem = now.order.copy(), now.problem
    places = now.critical_places()
    for number in range(1 + int(rng.integers(KICK_EXCHANGES))):
        one = int(rng.choice(places)) if number == 0 else int(rng.integers(problem.positions))
        partner = int(rng.integers(len(order)))
        if _may_exchange(problem, order, one, partner):
            order[[one, partner]] = order[[partner, one]]
    return order


def _may_exchange(
    problem: PlacementProblem, order: NDArray[np.int64], one: int, partner: int
) -> bool:
    """Whether both rows allow the nodes of two places to be exchanged."""
    return all(
        place >= problem.positions
        or bool(problem.row_class_allowed[place // problem.columns, problem.node_class[node]])
        for place, node in ((one, order[partner]), (partner, order[one]))
    )


def descend(now: Swaps, moves: Meter, rng: np.random.Generator) -> None:
    """Move to better neighbours until there is none."""
    steps: tuple[Callable[[Swaps, Meter, np.random.Generator], bool], ...] = (exchanged, arranged)
    while not moves.ended and any(step(now, moves, rng) for step in steps):
        pass


def exchanged(now: Swaps, moves: Meter, rng: np.random.Generator) -> bool:
    """Exchange a node at a critical place where that lowers the objective, or the crowd at equal
    objective; returns whether it did."""
    for place in rng.permutation(now.critical_places()):
        objective, crowd = now.neighbours(int(place))
        moves.spend(len(objective))
        lowest = objective.min()
        if lowest > now.objective_s * (1 + TOLERANCE):
            if moves.late:
                break
            continue
        level = np.flatnonzero(objective <= lowest * (1 + TOLERANCE))
        partner = int(level[crowd[level].argmin()])
        if lowest < now.objective_s * (1 - TOLERANCE) or crowd[partner] < -1e-6:
            now.exchange(int(place), partner)
            return True
        if moves.ended:
            break
    return False


def arranged(now: Swaps, moves: Meter, rng: np.random.Generator) -> bool:
    """Move many nodes together where that lowers the objective; returns whether it did."""
    problem = now.problem
    places = arrangements(problem, now.critical_places(), rng, BATCH)
    grids = now.classes[places].reshape(-1, problem.rows, problem.columns)
    objective = now.terms.objectives_s(grids)
    moves.spend(len(objective))
    lowest = int(objective.argmin())
    if objective[lowest] >= now.objective_s * (1 - TOLERANCE):
        return False
    order = now.order.copy()
    order[: problem.positions] = order[places[lowest]]
    now.replace(order)
    return True
