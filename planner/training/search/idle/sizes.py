"""One job on several numbers of nodes, as one search.

A plan on 96 nodes is a plan on 128 too, with 32 idle: the best plan on 128 nodes is the best of
those that use any number up to 128. So a search on more nodes has only to look at the numbers that
were not looked at before, and there only at combinations that may be faster than the best so far.
What layers cost, and the least step on every number of nodes, is worked out once.
"""

from __future__ import annotations

from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from planner.budget import UNLIMITED
from planner.training.search.bounding.tables import GrowingTable
from planner.training.search.idle.bounds import WorkBounds, below

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.run import SearchRun
    from planner.training.search.space.restrictions import Restrictions


class SharedSizes:
    """What searches for the best plan of a job share, from the fewest nodes to the most, which
    `largest` has. All nodes have to be alike (`may_idle`)."""

    def __init__(
        self, largest: Scenario, restrictions: Restrictions, budget: Budget = UNLIMITED
    ) -> None:
        self._largest, self._restrictions, self._budget = largest, restrictions, budget
        self._growing = GrowingTable(largest.ideal, budget)
        self._runs: dict[int, SearchRun] = {}

    @cached_property
    def work(self) -> WorkBounds:
        """What combinations take at least. Raises: OutOfTime."""
        return WorkBounds(self._largest, self._restrictions, self._growing, self._budget)

    @cached_property
    def least_s(self) -> dict[int, float]:
        """The least step of every number of nodes that has a combination. Raises: OutOfTime."""
        return self.work.by_nodes()

    @property
    def best_s(self) -> float:
        """The step of the fastest plan found so far; infinite without any."""
        steps = (one.step_s for run in self._runs.values() for one in run.best.kept)
        return min(steps, default=inf)

    def limits(self) -> dict[str, Any]:
        """What a search on more nodes need not look at, as options of its `SearchRun`."""
        best_s = self.best_s
        if best_s == inf:
            return {"priced": self._growing}
        return {
            "priced": self._growing,
            "hopeful": below(self.work, best_s),
            "enough_s": best_s,
        }

    def below(self, nodes: int) -> tuple[SearchRun, ...]:
        """The searches made on fewer nodes."""
        return tuple(run for count, run in sorted(self._runs.items()) if count < nodes)

    def keep(self, run: SearchRun) -> None:
        """A search that came to its end."""
        self._runs[run.scenario.topology.nodes] = run
