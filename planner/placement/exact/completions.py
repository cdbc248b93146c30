"""Lower bounds on the columns begun, exact for few columns and for the paths considered.

The least cost of a path from a node through the nodes of a set is tabulated over sets (Held and
Karp 1962). One column takes the whole set. Two columns share it: where there are few ways to share
it, all are tried.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.placement.bounds.sets import members_of, without

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.bounds.sets import Subsets
    from planner.placement.problem.problem import PlacementProblem

MOST_SPLITS = 1000
"""Most ways to share the nodes between two columns that are tried."""
CHUNK = 1 << 21
"""Pairs of a set and a share of it that are evaluated together."""


class Completions:
    """Lower bounds after whole rows, when rows are filled from the first on."""

    def __init__(
        self,
        problem: PlacementProblem,
        paths: list[int],
        subsets: Subsets,
        budget: Budget = UNLIMITED,
    ) -> None:
        """Raises: OutOfTime."""
        self.problem, self.paths, self.subsets = problem, paths, subsets
        self.budget = budget
        self.link_s = problem.link_s[problem.node_class][:, problem.node_class]
        self.allowed = problem.row_class_allowed[:, problem.node_class]
        self.spare = subsets.nodes - problem.positions
        self.tables = {
            (path, links, size): table
            for path in paths
            for size, links, table in self._tables(path)
        }

    def _unused(self, links: int) -> int:
        """Number of unused nodes when every column still needs `links` links."""
        return self.spare + self.problem.columns * links

    def _wanted(self) -> set[tuple[int, int]]:
        """The tables needed, as pairs: number of links, number of nodes to choose from."""
        found = set()
        for links in range(1, self.problem.rows):
            found.add((links, self._unused(links)))
            if self._splits(links):
                found |= {(links, links), (links, links + self.spare)}
        return found

    def _splits(self, links: int) -> int:
        """Ways to give one of two columns its nodes; 0 where they are not tried."""
        ways = comb(self._unused(links), links)
        return ways if self.problem.columns == 2 and ways <= MOST_SPLITS else 0

    def _tables(self, path: int) -> list[tuple[int, int, NDArray[np.float64]]]:
        wanted = self._wanted()
        found = []
        for excess in sorted({size - links for links, size in wanted}):
            last = max(links for links, size in wanted if size - links == excess)
            table = np.zeros((len(self.subsets.by_size[excess]), self.subsets.nodes))
            for links in range(1, last + 1):
                table = self._longer(table, path, links, excess + links)
                if (links, excess + links) in wanted:
                    found.append((excess + links, links, table))
        return found

    def _longer(
        self, table: NDArray[np.float64], path: int, links: int, size: int
    ) -> NDArray[np.float64]:
        """[sets of `size`, N]: least cost of the last `links` links from each node through nodes of
        the set, computed from `table`, which has one link and one node less."""
        subsets = self.subsets
        row = self.problem.rows - links
        longer = np.full((len(subsets.by_size[size]), subsets.nodes), np.inf)
        for node in np.flatnonzero(self.allowed[row]):
            self.budget.check()
            place, of = without(subsets, size - 1, int(node))
            first = self.problem.path_links[path, row - 1] * self.link_s[:, node]
            longer[place] = np.minimum(longer[place], first + table[of, node, None])
        return longer

    def pipeline_s(
        self,
        row: int,
        unused: NDArray[np.int64],
        last: NDArray[np.int64],
        links_s: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """[n]: lower bound on the slowest column, with the rows up to `row` filled. `last` [n,
        columns]: the nodes of that row; `links_s` [n, row, columns]: the links so far."""
        problem, subsets = self.problem, self.subsets
        links = problem.rows - 1 - row
        bound_s = np.zeros(len(unused))
        for path in self.paths:
            spent_s = problem.path_s[path] + np.einsum(
                "nrc,r->nc", links_s, problem.path_links[path, :row]
            )
            table = self.tables[path, links, self._unused(links)]
            alone = spent_s + table[subsets.place[unused][:, None], last]
            bound_s = np.maximum(bound_s, alone.max(axis=1))
            if self._splits(links):
                bound_s = np.maximum(bound_s, self._shared(path, links, unused, last, spent_s))
        return bound_s

    def _shared(
        self,
        path: int,
        links: int,
        unused: NDArray[np.int64],
        last: NDArray[np.int64],
        spent_s: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """[n]: the slower of two columns that share the unused nodes in the best way."""
        subsets, width = self.subsets, self._unused(links)
        chosen = np.array(list(combinations(range(width), links)))
        indicator = np.zeros((width, len(chosen)))
        indicator[chosen.T, np.arange(len(chosen))] = 1.0
        own = self.tables[path, links, links]
        other = self.tables[path, links, links + self.spare]
        found = np.empty(len(unused))
        step = max(1, CHUNK // len(chosen))
        for first in range(0, len(unused), step):
            some = slice(first, first + step)
            taken = (np.ldexp(1.0, members_of(subsets, unused[some], width)) @ indicator).astype(
                np.int64
            )
            left = unused[some, None] - taken
            one = own[subsets.place[taken], last[some, :1]] + spent_s[some, :1]
            two = other[subsets.place[left], last[some, 1:]] + spent_s[some, 1:]
            found[some] = np.maximum(one, two).min(axis=1)
        return found
