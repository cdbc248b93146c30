"""Lower bounds from sets of nodes, for clusters small enough to list all sets.

A row needs a set of nodes that its rings run through; a column needs a set that a path runs
through. The rows share the nodes among themselves, and so do the columns. Both problems are solved
exactly over sets (Held and Karp 1962), each as if the other did not exist.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem, RingFamily, Wait

CHUNK = 1 << 21
"""Pairs of a set and a subset of it that are evaluated together."""


@dataclass(frozen=True, slots=True, eq=False)
class Subsets:
    """All sets of N nodes as bits: the sets of each size, and the index of each set among those of
    its size."""

    nodes: int
    by_size: tuple[NDArray[np.int64], ...]
    place: NDArray[np.int64]


def subsets_of(nodes: int) -> Subsets:
    every = np.arange(1 << nodes)
    size = np.bitwise_count(every) if hasattr(np, "bitwise_count") else _bits(every, nodes).sum(1)
    by_size = tuple(np.flatnonzero(size == count) for count in range(nodes + 1))
    place = np.empty(len(every), dtype=np.int64)
    for sets in by_size:
        place[sets] = np.arange(len(sets))
    return Subsets(nodes=nodes, by_size=by_size, place=place)


def wait_by_unused(
    problem: PlacementProblem, wait: Wait, subsets: Subsets, budget: Budget = UNLIMITED
) -> NDArray[np.float64]:
    """[2^N] seconds by the set of unused nodes: the least that the rows not yet filled take when
    rows are filled from the first on; −inf where no rows are left. Only sets as large as the unused
    set before some row have a meaning. Raises: OutOfTime."""
    hops_s = [_rings_s(problem, family, subsets, budget) for family in wait.families]
    sets = subsets.by_size[problem.columns]

    def row_s(row: int) -> NDArray[np.float64]:
        seconds = np.full(len(sets), -wait.hidden_s[row])
        for family, hop_s in zip(wait.families, hops_s, strict=True):
            seconds = seconds + family.scale[row] * hop_s
        allowed = problem.row_class_allowed[row, problem.node_class]
        barred = int((1 << np.flatnonzero(~allowed)).sum())
        seconds[(sets & barred) != 0] = np.inf
        return seconds

    return _shared_out(subsets, problem.columns, problem.rows, row_s, budget)


def pipeline_by_unused(
    problem: PlacementProblem, paths: list[int], subsets: Subsets, budget: Budget = UNLIMITED
) -> NDArray[np.float64]:
    """[2^N] seconds: the same as `wait_by_unused` for columns that are filled one after another,
    priced by `paths` only. Raises: OutOfTime."""
    seconds = np.max([_column_s(problem, path, subsets, budget) for path in paths], axis=0)
    return _shared_out(subsets, problem.rows, problem.columns, lambda _: seconds, budget)


def _shared_out(
    subsets: Subsets,
    size: int,
    parts: int,
    cost: Callable[[int], NDArray[np.float64]],
    budget: Budget,
) -> NDArray[np.float64]:
    """[2^N], by the set of nodes available: the smallest possible maximum of `cost(part)` over
    `parts` disjoint sets of `size` nodes taken from that set."""
    least = np.full(1 << subsets.nodes, -np.inf)
    for part in range(parts - 1, -1, -1):
        cost_of = cost(part)
        width = subsets.nodes - part * size
        chosen = np.array(list(combinations(range(width), size)))
        indicator = np.zeros((width, len(chosen)))
        indicator[chosen.T, np.arange(len(chosen))] = 1.0
        sets = subsets.by_size[width]
        step = max(1, CHUNK // len(chosen))
        for first in range(0, len(sets), step):
            budget.check()
            some = sets[first : first + step]
            members = members_of(subsets, some, width)
            taken = (np.ldexp(1.0, members) @ indicator).astype(np.int64)
            left = least[some[:, None] - taken]
            least[some] = np.maximum(cost_of[subsets.place[taken]], left).min(axis=1)
    return least


def _column_s(
    problem: PlacementProblem, path: int, subsets: Subsets, budget: Budget
) -> NDArray[np.float64]:
    """Seconds of the best column by one path, for each set of `rows` nodes."""
    ends = deque(_ends_s(problem, path, subsets, budget), maxlen=1).pop()
    return np.asarray(problem.path_s[path] + ends.min(axis=1))


def _ends_s(
    problem: PlacementProblem, path: int, subsets: Subsets, budget: Budget
) -> Iterator[NDArray[np.float64]]:
    """For every row in turn, [sets, N]: what the links up to it add, for each set of nodes in the
    rows so far and the node in the last of them."""
    link_s = problem.link_s[problem.node_class][:, problem.node_class]
    allowed = problem.row_class_allowed[:, problem.node_class]
    nodes = subsets.nodes
    ends = np.where(np.eye(nodes, dtype=bool) & allowed[0], 0.0, np.inf)
    yield ends
    for row in range(1, problem.rows):
        coefficient = problem.path_links[path, row - 1]
        more = np.full((len(subsets.by_size[row + 1]), nodes), np.inf)
        for node in np.flatnonzero(allowed[row]):
            budget.check()
            place, of = without(subsets, row, int(node))
            more[place, node] = (ends[of] + coefficient * link_s[:, node]).min(axis=1)
        ends = more
        yield ends


def best_walk(
    problem: PlacementProblem, path: int, subsets: Subsets, budget: Budget
) -> NDArray[np.int64]:
    """Int [rows]: the nodes of the fastest column by one path. Raises: OutOfTime."""
    link_s = problem.link_s[problem.node_class][:, problem.node_class]
    kept = list(_ends_s(problem, path, subsets, budget))
    place, node = np.unravel_index(int(kept[-1].argmin()), kept[-1].shape)
    walk = [int(node)]
    at = int(subsets.by_size[problem.rows][place])
    for row in range(problem.rows - 1, 0, -1):
        at -= 1 << walk[0]
        before = kept[row - 1][subsets.place[at]]
        reached = before + problem.path_links[path, row - 1] * link_s[:, walk[0]]
        walk.insert(0, int(reached.argmin()))
    return np.array(walk)


def _rings_s(
    problem: PlacementProblem, family: RingFamily, subsets: Subsets, budget: Budget
) -> NDArray[np.float64]:
    """Seconds, before scaling, of the slowest hop of a family under its best arrangement, for each
    set of `columns` nodes: over all its rings where they share no column, over the longest ring
    where they do."""
    hop_s = family.hop_s[problem.node_class][:, problem.node_class]
    rings = sorted((ring for ring in family.rings if len(ring) > 1), key=len, reverse=True)
    if not rings:
        return np.zeros(len(subsets.by_size[problem.columns]))
    if len({column for ring in rings for column in ring}) < sum(map(len, rings)):
        rings = rings[:1]
    cycles = _cycles_s(hop_s, len(rings[0]), subsets, budget)
    size = len(rings[0])
    best = cycles[size]
    for ring in rings[1:]:
        best = _joined(subsets, best, size, cycles[len(ring)], len(ring), budget)
        size += len(ring)
    while size < problem.columns:
        best = _widened(subsets, best, size)
        size += 1
    return best


def _cycles_s(
    hop_s: NDArray[np.float64], longest: int, subsets: Subsets, budget: Budget
) -> dict[int, NDArray[np.float64]]:
    """Slowest hop of the best cycle through each set of 2 to `longest` nodes. A cycle starts at the
    lowest node of its set."""
    nodes = subsets.nodes
    ends = np.where(np.eye(nodes, dtype=bool), 0.0, np.inf)
    found = {}
    for size in range(2, longest + 1):
        sets = subsets.by_size[size]
        more = np.full((len(sets), nodes), np.inf)
        for node in range(nodes):
            budget.check()
            place, of = without(subsets, size - 1, node)
            lower = (sets[place] & ((1 << node) - 1)) != 0
            place, of = place[lower], of[lower]
            more[place, node] = np.maximum(ends[of], hop_s[:, node]).min(axis=1)
        ends = more
        start = _bits(sets, nodes).argmax(axis=1)
        found[size] = np.maximum(ends, hop_s[:, start].T).min(axis=1)
    return found


def members_of(subsets: Subsets, sets: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Int [n, size]: the nodes of sets that all hold `size` nodes."""
    return np.nonzero(_bits(sets, subsets.nodes))[1].reshape(len(sets), size)


def without(subsets: Subsets, size: int, node: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the sets of `size` + 1 nodes that hold the node, and of the same sets without
    it."""
    larger = subsets.by_size[size + 1]
    place = np.flatnonzero((larger >> node) & 1)
    return place, subsets.place[larger[place] - (1 << node)]


def _joined(
    subsets: Subsets,
    one: NDArray[np.float64],
    one_size: int,
    other: NDArray[np.float64],
    other_size: int,
    budget: Budget,
) -> NDArray[np.float64]:
    """For each set of `one_size` + `other_size` nodes: the smallest possible maximum of the two
    costs over all ways to split it."""
    width = one_size + other_size
    chosen = np.array(list(combinations(range(width), other_size)))
    sets = subsets.by_size[width]
    members = members_of(subsets, sets, width)
    best = np.full(len(sets), np.inf)
    for some in chosen:
        budget.check()
        taken = (1 << members[:, some]).sum(axis=1)
        split = np.maximum(other[subsets.place[taken]], one[subsets.place[sets - taken]])
        best = np.minimum(best, split)
    return best


def _widened(subsets: Subsets, cost: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """For each set of `size` + 1 nodes: the smallest cost of a set with one node less."""
    best = np.full(len(subsets.by_size[size + 1]), np.inf)
    for node in range(subsets.nodes):
        place, of = without(subsets, size, node)
        best[place] = np.minimum(best[place], cost[of])
    return best


def _bits(sets: NDArray[np.int64], nodes: int) -> NDArray[np.bool_]:
    """Bool [n, nodes]: which nodes are in each set."""
    return ((sets[:, None] >> np.arange(nodes)) & 1).astype(bool)
