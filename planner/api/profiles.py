"""A search under each of several software profiles: which one is the fastest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.api.answers import FoundPlans
from planner.errors import RuleError
from planner.training.search.result import ComparedProfile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def named_profiles(software: object) -> tuple[str, ...]:
    """The profiles of a text with commas; none for anything else."""
    if not isinstance(software, str) or "," not in software or Path(software).is_file():
        return ()
    return tuple(dict.fromkeys(part.strip() for part in software.split(",")))


def fastest_profile(names: Sequence[str], search: Callable[[str], FoundPlans]) -> FoundPlans:
    """What `search` finds under the profile with the fastest plan, with all compared. Raises: what
    it raises for a profile, but RuleError only where no profile allows any combination."""
    found: dict[str, FoundPlans] = {}
    refused: dict[str, RuleError] = {}
    for name in names:
        try:
            found[name] = search(name)
        except RuleError as error:
            refused[name] = error
    if not found:
        raise next(iter(refused.values()))
    best = min(found.values(), key=_step_s)
    profiles = tuple(
        _compared(name, found[name])
        if name in found
        else ComparedProfile(software=name, reason=str(refused[name]))
        for name in names
    )
    return FoundPlans(scenario=best.scenario, search=replace(best.search, profiles=profiles))


def _step_s(found: FoundPlans) -> float:
    plans = found.search.plans
    return plans[0].estimate.step_s if plans else float("inf")


def _compared(name: str, found: FoundPlans) -> ComparedProfile:
    if found.search.plans:
        best = found.search.plans[0]
        return ComparedProfile(software=name, plan=best.plan, step_s=best.estimate.step_s)
    nearest = found.search.nearest
    return ComparedProfile(
        software=name, reason=nearest[0].reason if nearest else f"stopped: {found.search.stopped}"
    )
