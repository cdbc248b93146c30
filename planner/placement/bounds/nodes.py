"""Lower bounds on a placement that need no search, for any number of nodes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.placement.bounds.large_parts import reached_s, smallest_ring
from planner.placement.bounds.reach import between_two_nodes, cheapest_hops, link_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem, Wait
    from planner.placement.problem.terms import Hops, Terms

BISECTIONS = 40
"""Halvings of the interval in which the bound of a wait is sought."""
MOST_PRODUCTS = 200_000_000
"""Most sums that the walks of all paths may take; beyond it, only the longest paths are used."""


def cheapest_s(terms: Terms) -> float:
    """Lower bound on any placement: charge every link and hop the cheapest cost between two
    nodes."""
    problem = terms.problem
    apart = between_two_nodes(problem.node_class, problem.classes)
    allowed = problem.row_class_allowed
    links_s, _ = link_range(terms, apart)
    if np.isinf(links_s).any():
        return float("inf")
    seconds = float((problem.path_s + problem.path_links @ links_s).max())
    for wait, families in zip(problem.waits, terms.waits, strict=True):
        rows_s = sum(
            (hops.scale * cheapest_hops(hops, apart, allowed) for hops in families), -wait.hidden_s
        )
        seconds += max(0.0, float(rows_s.max()))
    return seconds


def nodes_bound_s(terms: Terms, budget: Budget = UNLIMITED) -> float:
    """Lower bound from the nodes: each used node lies in some column, which is no faster than the
    best walk through that node, and the nodes of a ring must reach each other by hops no slower
    than their row allows. Raises: OutOfTime."""
    problem = terms.problem
    waits = zip(problem.waits, terms.waits, strict=True)
    waits_s = sum(_wait_bound_s(terms, *wait, budget) for wait in waits)
    return pipelines_bound_s(problem, budget) + waits_s


def pipelines_bound_s(problem: PlacementProblem, budget: Budget = UNLIMITED) -> float:
    """Lower bound on the slowest column. Rank the nodes by their best walk and use the fastest
    ones: the bound is the best walk of the slowest of these. A walk may visit a node twice. Raises:
    OutOfTime."""
    apart = between_two_nodes(problem.node_class, problem.classes)
    paths = _paths_affordable(problem)
    above = _walks_s(problem, apart, paths, range(problem.rows), budget)
    below = _walks_s(problem, apart, paths, range(problem.rows - 1, -1, -1), budget)
    through_s = np.min(
        [
            np.where(
                problem.row_class_allowed[row],
                (problem.path_s[paths] + above[row] + below[row]).max(axis=1),
                np.inf,
            )
            for row in range(problem.rows)
        ],
        axis=0,
    )
    return float(np.sort(through_s[problem.node_class])[problem.positions - 1])


def _paths_affordable(problem: PlacementProblem) -> NDArray[np.int64]:
    sums = problem.classes**2 * max(1, problem.rows)
    count = max(1, min(len(problem.path_s), MOST_PRODUCTS // sums))
    longest = problem.path_s + problem.path_links.sum(axis=1) * problem.link_s.min()
    return np.sort(np.argsort(-longest, kind="stable")[:count])


def _walks_s(
    problem: PlacementProblem,
    apart: NDArray[np.bool_],
    paths: NDArray[np.int64],
    rows: range,
    budget: Budget,
) -> dict[int, NDArray[np.float64]]:
    """By row, [K, paths]: the least that links add between the first of `rows` and a node of each
    class in that row."""
    coefficients = problem.path_links[paths]
    found = {rows[0]: np.zeros((problem.classes, len(paths)))}
    for before, row in pairwise(rows):
        boundary = min(before, row)
        link_s = problem.link_s if before < row else problem.link_s.T
        more = np.full_like(found[before], np.inf)
        for kind in np.flatnonzero(problem.row_class_allowed[before]):
            budget.check()
            reached = link_s[kind][:, None] * coefficients[:, boundary] + found[before][kind]
            more = np.minimum(more, np.where(apart[kind][:, None], reached, np.inf))
        found[row] = more
    return found


def _wait_bound_s(terms: Terms, wait: Wait, families: tuple[Hops, ...], budget: Budget) -> float:
    """Lower bound on one wait: for each family in turn, with the other families at their cheapest,
    the least value that every row could meet; the largest of these counts."""
    problem = terms.problem
    apart = between_two_nodes(problem.node_class, problem.classes)
    allowed = problem.row_class_allowed
    cheapest = [hops.scale * cheapest_hops(hops, apart, allowed) for hops in families]
    together = sum(cheapest, -wait.hidden_s)
    best_s = max(0.0, float(together.max()))
    for hops, own_s in zip(families, cheapest, strict=True):
        reached = _ring_limits_s(problem, hops) if len(hops.sender) else None
        if reached is None or best_s == np.inf:
            continue
        low_s = best_s
        high_s = best_s + float(hops.scale.max() * hops.seconds[apart].max())
        if _can_keep(problem, reached, _limits_s(low_s - together + own_s, hops.scale)):
            continue
        for _ in range(BISECTIONS):
            budget.check()
            middle_s = (low_s + high_s) / 2
            limits = _limits_s(middle_s - together + own_s, hops.scale)
            low_s, high_s = (
                (low_s, middle_s) if _can_keep(problem, reached, limits) else (middle_s, high_s)
            )
        best_s = low_s
    return best_s


def _limits_s(left_s: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """[rows]: the slowest hop allowed where a hop counts `scale` times and `left_s` remains. Where
    hops cost a row nothing, any hop is allowed if `left_s` is not negative, and none otherwise."""
    free = np.where(left_s >= 0, np.inf, -np.inf)
    return np.divide(left_s, scale, out=free, where=scale > 0)


def _ring_limits_s(
    problem: PlacementProblem, hops: Hops
) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """For every set of classes that some row allows, [sets, K]: from which hop on nodes reach
    enough others for a ring; and the set of every row. None where some column is in no ring."""
    ring = np.zeros(problem.columns, dtype=bool)
    ring[hops.sender] = True
    if not ring.all():
        return None
    count = np.bincount(problem.node_class, minlength=problem.classes)
    sets, set_of = np.unique(problem.row_class_allowed, axis=0, return_inverse=True)
    nodes = smallest_ring(hops)
    return np.array([reached_s(hops, count, each, nodes) for each in sets]), set_of.ravel()


def _can_keep(
    problem: PlacementProblem,
    reached: tuple[NDArray[np.float64], NDArray[np.int64]],
    limits_s: NDArray[np.float64],
) -> bool:
    """Whether enough nodes reach enough others for every row, tightest limits first."""
    count = np.bincount(problem.node_class, minlength=problem.classes)
    least_s, set_of = reached
    order = np.argsort(limits_s, kind="stable")
    near = least_s[set_of[order]] <= limits_s[order, None]
    enough = np.logical_or.accumulate(near, axis=0) @ count
    needed = (1 + np.arange(problem.rows)) * problem.columns
    return bool((enough >= needed).all())
