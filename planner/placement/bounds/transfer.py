"""Carries the bound of one placement problem over to another on the same nodes and grid.

Let no placement of problem B take less than V. If for some λ ≥ 0 and κ every path w of B has a path
w' of A whose links cost at least λ times as much between all pairs of classes, and which takes at
least λ times as long plus κ without links, and if every hop of A's waits costs at least λ times
that of B's, then no placement of A takes less than λ V + κ: the objective is made of maxima, of
sums, and of maxima with 0, all of which are monotone and positively homogeneous. Where a wait of A
hides h more than λ times what B's does, it is at most h shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.bounds.reach import between_two_nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem, Wait


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SolvedProblem:
    """A problem whose waits are all added to the slowest path, and a bound on its placements."""

    problem: PlacementProblem
    bound_s: float


def transferred_s(known: SolvedProblem, problem: PlacementProblem) -> float:
    """Lower bound on every placement of `problem`; 0 where the solved problem implies none."""
    other = known.problem
    same = (other.rows, other.columns, other.lockstep) == (
        problem.rows,
        problem.columns,
        problem.lockstep,
    )
    if not same or len(other.waits) != len(problem.waits):
        return 0.0
    if not np.array_equal(other.node_class, problem.node_class):
        return 0.0
    if not (problem.row_class_allowed <= other.row_class_allowed).all():
        return 0.0
    apart = between_two_nodes(problem.node_class, problem.classes)
    pairs = zip(problem.waits, other.waits, strict=True)
    shares = [_of_wait(*wait, apart) for wait in pairs]
    link = _least_share(problem.link_s[apart], other.link_s[apart])
    longer = _path_shares(problem, other)
    share = min([link * float(longer.max(axis=1).min()), *shares])
    if not 0 < share < np.inf:
        return 0.0
    enough = longer * link >= share * (1 - ROUNDING)
    more_s = np.where(enough, problem.path_s - share * other.path_s[:, None], -np.inf)
    hidden_s = sum(
        max(0.0, float((own.hidden_s - share * theirs.hidden_s).max()))
        for own, theirs in zip(problem.waits, other.waits, strict=True)
    )
    bound_s = share * known.bound_s + float(more_s.max(axis=1).min()) - hidden_s
    return max(0.0, bound_s * (1 - ROUNDING))


ROUNDING = 1e-9
"""Share of a bound that rounding may take away."""


def _path_shares(problem: PlacementProblem, other: PlacementProblem) -> NDArray[np.float64]:
    """[other's paths, paths]: for each pair of paths, the least share of the other path's crossings
    that the path has."""
    found = np.full((len(other.path_s), len(problem.path_s)), np.inf)
    for boundary in range(problem.rows - 1):
        own, theirs = problem.path_links[:, boundary], other.path_links[:, boundary, None]
        free = np.full(found.shape, np.inf)
        crossed = np.broadcast_to(theirs > 0, found.shape)
        shares = np.divide(own, theirs, out=free, where=crossed)
        found = np.minimum(found, shares)
    return found


def _of_wait(wait: Wait, other: Wait, apart: NDArray[np.bool_]) -> float:
    """The least share of the other wait's hop costs that the hops of a wait have; 0 for waits of
    other rings."""
    rings = [family.rings for family in wait.families]
    if rings != [family.rings for family in other.families]:
        return 0.0
    share = np.inf
    for family, known in zip(wait.families, other.families, strict=True):
        hops = _least_share(family.hop_s[apart], known.hop_s[apart])
        share = min(share, hops * _least_share(family.scale, known.scale))
    return float(share)


def _least_share(own: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The least value of `own` as a share of `other`, where that is not 0."""
    takes = other > 0
    return float((own[takes] / other[takes]).min(initial=np.inf))
