"""From which limit on nodes reach enough others for a ring.

Where hops up to a limit join the nodes into parts, a ring of n nodes lies in a part of at least n.
As the limit rises, parts join in the order of a minimum spanning tree (Kruskal 1956)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.terms import Hops


def reached_s(
    hops: Hops, count: NDArray[np.int64], allowed: NDArray[np.bool_], nodes: int
) -> NDArray[np.float64]:
    """[K]: the least seconds of a hop from which on a class of nodes, `count` [K] of each, lies in
    a part of at least so many `nodes`; infinite where it never does. Classes that are not
    `allowed` [K] join no part."""
    there = allowed & (count > 0)
    joined = np.minimum(hops.seconds, hops.seconds.T)
    joined = np.where(there[:, None] & there, joined, np.inf)
    found = np.where(count >= nodes, joined.diagonal(), np.inf)
    parts = [frozenset((kind,)) for kind in range(len(count))]
    for seconds, one, two in _tree(joined):
        part = parts[one] | parts[two]
        for kind in part:
            parts[kind] = part
        members = list(part)
        if count[members].sum() >= nodes:
            found[members] = np.minimum(found[members], seconds)
    return found


def smallest_ring(hops: Hops) -> int:
    """Number of nodes in the smallest ring that the hops form."""
    following = dict(zip(hops.sender.tolist(), hops.receiver.tolist(), strict=True))
    if len(following) < len(hops.sender):
        return 2
    smallest = len(following)
    for start in following:
        length, at = 1, following[start]
        while at != start and at in following and length < smallest:
            length, at = length + 1, following[at]
        smallest = min(smallest, length)
    return smallest


def _tree(joined: NDArray[np.float64]) -> list[tuple[float, int, int]]:
    """The edges of finite length of a minimum spanning forest (Prim 1957) of a graph [K, K], the
    shortest first."""
    open_ = np.ones(len(joined), dtype=np.bool_)
    nearest = np.full(len(joined), np.inf)
    near = np.zeros(len(joined), dtype=np.int64)
    edges: list[tuple[float, int, int]] = []
    for _ in range(len(joined)):
        kind = int(np.where(open_, nearest, np.inf).argmin())
        if not open_[kind]:
            kind = int(open_.argmax())
        elif nearest[kind] < np.inf:
            edges.append((float(nearest[kind]), int(near[kind]), kind))
        open_[kind] = False
        closer = open_ & (joined[kind] < nearest)
        nearest[closer], near[closer] = joined[kind][closer], kind
    return sorted(edges)
