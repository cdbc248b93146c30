"""What the search for stage layouts has to know of combinations, and of the plans found so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.plan import Plan
    from planner.training.batch import Batch
    from planner.training.search.layouts.choose import DefaultStep


class LayoutWalk(Protocol):
    """Combinations by index."""

    def recomputed_layers(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of combinations whose bounds were tightened, the layers per chunk that these assume; −1
        of others."""

    def plan(self, index: int, recomputed_layers: int) -> Plan:
        """A combination's plan with the layout that is known of it."""

    def batch(self, index: int, plan: Plan) -> Batch:
        """A plan of a combination as a batch, which points into the table of costs."""

    def default_step(self, index: int) -> DefaultStep | None:
        """What is known of a combination with its default layout."""

    def replace(self, index: int, plan: Plan) -> None:
        """Let a combination have a plan with another stage layout, if that is faster. Raises:
        OutOfTime."""


class KnownPlans(Protocol):
    """What plans have to take less than to be of use, in seconds."""

    @property
    def slowest_s(self) -> float:
        """Any plan."""

    @property
    def first_s(self) -> float:
        """The best one."""

    def wanted_s(self, index: int) -> float:
        """One of a combination."""
