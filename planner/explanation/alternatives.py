"""The best plan with decisions that somebody names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.budget import Stopped
from planner.plan import RankedPlan
from planner.training.search.search import search
from planner.training.search.space.restrictions import restrictions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from planner.training.scenario import Scenario
    from planner.training.search.search import Progress


def best_with(
    scenario: Scenario,
    decisions: Mapping[str, Any],
    progress: Callable[[Progress], None] | None = None,
) -> RankedPlan | None:
    """The fastest plan with these decisions that fits; where none does, the one that comes closest
    to fitting, None where not even that is known. All other decisions take their best values.

    Raises: RuleError where the framework allows no plan with them, InputError for a value that
    makes no sense, KeyboardInterrupt when the search is interrupted.
    """
    found = search(
        scenario,
        restrictions=restrictions_of(decisions),
        top=1,
        idle=False,
        advise=False,
        progress=progress,
    )
    if found.stopped is Stopped.INTERRUPTED:
        raise KeyboardInterrupt
    if found.plans:
        return found.plans[0]
    closest = next(iter(found.nearest), None)
    if closest is None:
        return None
    return RankedPlan(rank=1, plan=closest.plan, estimate=closest.estimate)
