"""A plan with its hosts, and how they were decided where no program was needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import Plan

ALIKE = "all orders of the hosts are alike"
CLOSE = "no links are better than those of the listed order"
AS_LISTED = "hosts stay as listed, since time ran out"
UNCHANGED = "hosts are those of the plan before its modules were chosen"
OVER_ALL = "bound over all placements"
UNALIGNED = "stages and nodes do not align, so hosts stay as listed"
TYPES = "bound over all of them"
ALIKE_BY_TYPE = "nodes of one device type are alike"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPlan:
    """A plan on the hosts chosen for it. By the placement program, no placement of the plan takes
    less than `bound_s`; `method` says how that is known."""

    plan: Plan
    bound_s: float
    method: str
