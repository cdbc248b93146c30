"""Ranked plans by family: plans with the same degrees and schedule are one idea in variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Degrees, RankedPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedRow:
    """A plan that the table shows, with the number of slower plans of its family that it stands
    for: they differ from it in micro-batch size, virtual stages, recomputation or sharding."""

    ranked: RankedPlan
    variants: int = 0


def family_key(ranked: RankedPlan) -> tuple[Degrees, str]:
    return ranked.plan.degrees, ranked.plan.schedule


def table_rows(plans: Sequence[RankedPlan], *, variants: bool) -> list[RankedRow]:
    """Every plan with `variants`; else the fastest of each family, and the plan that is named as
    the best with room. In the order of their ranks."""
    if variants:
        return [RankedRow(ranked=ranked) for ranked in plans]
    families: dict[tuple[Degrees, str], list[RankedPlan]] = {}
    roomy = roomy_tied(plans)
    for ranked in plans:
        if ranked is not roomy:
            families.setdefault(family_key(ranked), []).append(ranked)
    rows = [RankedRow(ranked=first, variants=len(others)) for first, *others in families.values()]
    if roomy is not None:
        rows.append(RankedRow(ranked=roomy))
    return sorted(rows, key=lambda row: row.ranked.rank)


def folded(rows: Sequence[RankedRow]) -> str:
    """What a table with one row a family leaves out; empty where it leaves out nothing."""
    left_out = sum(row.variants for row in rows)
    if not left_out:
        return ""
    return (
        "+n counts slower variants with the same degrees and schedule; --variants shows all "
        f"{plural(len(rows) + left_out, 'plan')}."
    )


def rival(plans: Sequence[RankedPlan]) -> RankedPlan | None:
    """The plan that the winner is compared with: the best of another family, else its best
    variant."""
    winner, *others = plans
    strangers = (ranked for ranked in others if family_key(ranked) != family_key(winner))
    return next(strangers, others[0] if others else None)


def roomy_tied(plans: Sequence[RankedPlan]) -> RankedPlan | None:
    """Of a winner that fits tightly, the first plan in the ranking that is tied with it and fits
    with room."""
    if plans[0].estimate.fit_class != "tight":
        return None
    sure = (one for one in plans[1:] if one.tied_with_best and one.estimate.fit_class == "fits")
    return next(sure, None)
