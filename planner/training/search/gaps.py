"""By what share plans may be better than those that a search lists: all that is printed of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.plan import RankedPlan


def placement_gap(plan: RankedPlan) -> float:
    """Other hosts make the plan faster by this share at most."""
    return max((proof.gap or 0.0 for proof in plan.proofs), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Shares by which plans may be better than those listed: by other combinations, by choices of
    modules that were not priced, by such layouts, and by other hosts; and by which any may be
    better than the first of those listed."""

    combination: float
    modules: float
    layout: float
    placement: float
    best: float

    @classmethod
    def unknown(cls) -> Gaps:
        """Of a search that did not come to bound all combinations."""
        return cls(combination=1.0, modules=0.0, layout=0.0, placement=0.0, best=1.0)

    @classmethod
    def of(
        cls,
        plans: Sequence[RankedPlan],
        values: Sequence[float],
        *,
        unlisted: float,
        modules: float,
        layout: float,
        floors: Iterable[float],
    ) -> Gaps:
        """`values` are what the plans are ranked by, seconds or money. In the same unit, no
        combination that is not listed is below `unlisted`, and no choice of modules or layout that
        was not priced below the `floors`; `modules` and `layout` are their shares. Listed plans may
        gain by other hosts."""
        if not plans:
            return cls(combination=0.0, modules=0.0, layout=0.0, placement=0.0, best=0.0)
        moved = (
            value * (1 - placement_gap(plan)) for plan, value in zip(plans, values, strict=True)
        )
        return cls(
            combination=max(0.0, 1 - unlisted / values[-1]),
            modules=modules,
            layout=layout,
            placement=max(map(placement_gap, plans)),
            best=max(0.0, 1 - min((*moved, unlisted, *floors)) / values[0]),
        )

    @property
    def none(self) -> bool:
        """Whether no plan is better."""
        return not (self.combination or self.modules or self.layout or self.placement)
