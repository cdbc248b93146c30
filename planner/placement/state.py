"""A placement while it is being improved, and the problem as every part of the search sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from planner.placement.bounds.simpler import at_most, likely
from planner.placement.exact.sweep import TOLERANCE
from planner.placement.problem.terms import terms_of
from planner.placement.truth import checked_bound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem
    from planner.placement.problem.terms import Terms

PROVEN_GAP = 1e-5
"""A placement this close to its bound, relatively, counts as proven. Solvers overlook less than
this, and programs are kept this far below what they must not reach."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacementState:
    """A placement while it is being improved, with its bound. `order` int [N]: the nodes at the
    positions, then the unused nodes."""

    order: NDArray[np.int64]
    objective_s: float
    bound_s: float
    method: str
    enough_s: float = inf
    own_s: float = 0.0
    """The bound that the problem itself gives without a search."""

    @property
    def settled(self) -> bool:
        """Whether the bound is reached, up to rounding, or nobody asks for a higher one."""
        return self.bound_s >= min(self.objective_s * (1 - TOLERANCE), self.enough_s)

    @property
    def proven(self) -> bool:
        return self.bound_s >= self.objective_s * (1 - PROVEN_GAP)

    def bounded(self, bound_s: float, method: str) -> PlacementState:
        if bound_s <= self.bound_s:
            return self
        bound_s = checked_bound(bound_s, self.objective_s)
        return replace(self, bound_s=max(bound_s, self.bound_s), method=method)


@dataclass(frozen=True, slots=True, eq=False)
class ProblemViews:
    """The same problem in three forms: as it is priced, as local search sees it, and as bounds see
    it."""

    problem: PlacementProblem
    likely: Terms
    at_most: Terms

    @classmethod
    def of(cls, problem: PlacementProblem, order: NDArray[np.int64]) -> ProblemViews:
        bounding = at_most(problem, order)
        return cls(problem, terms_of(likely(problem)), terms_of(bounding))

    def at(self, state: PlacementState, order: NDArray[np.int64]) -> PlacementState:
        objective_s = self.problem.objective_s(order[: self.problem.positions])
        return replace(state, order=order, objective_s=objective_s)

    def better(self, state: PlacementState, order: NDArray[np.int64]) -> PlacementState:
        """The state moved to an order, if that is better."""
        found = self.at(state, order)
        return found if found.objective_s < state.objective_s else state

    def room_s(self, state: PlacementState) -> float:
        """Seconds by which a bound on the placements can still rise: no bound is above what this
        placement takes."""
        order = state.order[: self.problem.positions]
        return self.at_most.problem.objective_s(order) - state.bound_s
