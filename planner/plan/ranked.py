"""A plan among others: its rank, its estimate, and how far from the best it may be."""

from __future__ import annotations

from dataclasses import dataclass

from planner.plan.decisions import Plan
from planner.plan.estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How far from the best one decision of a plan ("placement", "stage layout") may be, given its
    other decisions: no other choice takes less than 1 − `gap` of the step. None: nothing is known.
    `method` says how the decision was taken. `gain`: the share by which the framework's own choice
    takes longer; None: it was not priced."""

    decision: str
    gap: float | None
    method: str
    gain: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPlan:
    """A plan with its rank. `tied_with_best`: it is too close to the plan of rank 1 to tell which
    is faster; None when there was nothing to compare with. `worst_step_s`: the step in the worst
    case, where plans were ranked by it; None where they were ranked by the estimate."""

    rank: int
    plan: Plan
    estimate: Estimate
    tied_with_best: bool | None = None
    proofs: tuple[Proof, ...] = ()
    worst_step_s: float | None = None
