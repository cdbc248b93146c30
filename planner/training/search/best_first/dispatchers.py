"""Bounds of combinations that hold for others with another dispatcher of experts.

Memory does not depend on the dispatcher, and no step gets shorter when passes get longer. So where
two combinations differ in nothing else and one takes no longer in any pass, on any device type,
what bounds its step bounds that of the other one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.plan import Plan
    from planner.training.costs import CostTable

LATER = 1 + 1e-10
"""By how much what a bound is carried to comes after what it comes from; less than bounds are
lowered for rounding (`planner.training.search.mixed.found.BELOW`)."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Known:
    """A combination: its passes in seconds, a bound on its step, and what its best plan known takes
    at least."""

    passes_s: Floats
    bound_s: float
    candidate_s: float = inf


class DispatcherBounds:
    """What a search knows of combinations, by their plans without the dispatcher."""

    def __init__(self) -> None:
        self._alike: dict[Plan, dict[int, _Known]] = {}

    def note(
        self, index: int, plan: Plan, passes_s: Floats, bound_s: float, candidate_s: float
    ) -> None:
        """Remember what a program told of a combination."""
        of_plan = self._alike.setdefault(replace(plan, dispatcher=None), {})
        known = of_plan.setdefault(index, _Known(passes_s=passes_s, bound_s=bound_s))
        known.bound_s = bound_s
        known.candidate_s = min(known.candidate_s, candidate_s)

    def bound_s(self, index: int, plan: Plan, passes_s: Floats, below_s: float) -> float:
        """A bound in seconds on the step of a combination by those of others, of which no plan is
        known that takes less than `below_s`: its own plans would take no less. 0 without any."""
        others = self._alike.get(replace(plan, dispatcher=None), {})
        return max(
            (
                one.bound_s * LATER
                for other, one in others.items()
                if other != index
                and one.candidate_s >= below_s
                and bool((one.passes_s <= passes_s).all())
            ),
            default=0.0,
        )


def passes_s(tables: Sequence[CostTable], rows: Sequence[int]) -> Floats:
    """The seconds of all passes of one row of each table, in one order."""
    parts = [
        part[..., row, :].ravel()
        for table, row in zip(tables, rows, strict=True)
        for part in (
            table.type_forward_s,
            table.type_backward_s,
            table.type_selective_s,
            table.forward_s,
            table.backward_s,
            table.backward_s.sum(axis=0) - table.weight_gradient_s,
            table.weight_gradient_s,
            table.forward_alone_s,
            table.backward_alone_s,
            table.selective_s,
            table.full_s,
        )
    ]
    return np.concatenate(parts)
