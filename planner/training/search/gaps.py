"""By what share of the best plan another one may be faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.plan import RankedPlan


def placement_gap(plan: RankedPlan) -> float:
    """Other hosts make the plan faster by this share at most."""
    return max((proof.gap or 0.0 for proof in plan.proofs), default=0.0)


def best_gap(
    plans: Sequence[RankedPlan], values: Sequence[float], bounds: Iterable[float]
) -> float:
    """The share by which any plan may be better than the first of those listed. `values` are what
    they are ranked by, seconds or money; `bounds`, in the same unit, are of what is not listed, and
    of other layouts of what is. Listed plans may gain by other hosts."""
    moved = (value * (1 - placement_gap(plan)) for plan, value in zip(plans, values, strict=True))
    return max(0.0, 1 - min((*moved, *bounds)) / values[0])
