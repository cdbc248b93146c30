"""One of the plans that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import Estimate, Plan
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """`name`: what the user called it, such as `plans.json#2`, `train.sh` or `best`."""

    name: str
    scenario: Scenario
    plan: Plan
    estimate: Estimate
