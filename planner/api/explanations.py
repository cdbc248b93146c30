"""Why a plan takes the time it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.api.answers import PricedPlan
from planner.api.comparisons import PlanComparison, compare, priced_like
from planner.api.keywords import CheckKeywords, takes
from planner.errors import InputError, RuleError
from planner.explanation.alternatives import best_with
from planner.explanation.document import to_document
from planner.explanation.levers import hardware_levers, plan_levers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.api.plans import PlanLike
    from planner.explanation.levers import Lever
    from planner.plan import Plan
    from planner.training.search.search import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """Why another plan is not better. `refused`: the rule of the framework that it breaks;
    otherwise `comparison` sets the two side by side, the explained plan first. `taken`: the plan
    that was found for the decisions asked for; None where the other plan was given whole."""

    asked: str
    refused: str | None = None
    comparison: PlanComparison | None = None
    taken: Plan | None = None

    @property
    def fits(self) -> bool:
        """Whether it can run and fits."""
        return self.comparison is not None and self.comparison.sides[1].estimate.memory.fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What bounds a plan (`priced.estimate`), what better hardware and other decisions would gain,
    the largest gain first, and why another plan is not better, where that was asked."""

    priced: PricedPlan = field(repr=False)
    hardware: tuple[Lever, ...]
    decisions: tuple[Lever, ...]
    why_not: WhyNot | None = None

    @property
    def document(self) -> dict[str, Any]:
        """What `planner explain --json` prints."""
        asked = self.why_not
        return to_document(
            self.priced.ranked,
            hardware=self.hardware,
            decisions=self.decisions,
            why_not=None
            if asked is None
            else {
                "asked": asked.asked,
                "refused": asked.refused,
                "fits": asked.fits,
                "taken": None if asked.taken is None else dict(asked.taken.choices),
                "comparison": asked.comparison.document if asked.comparison else None,
            },
        )


@takes(CheckKeywords)
def explain(
    plan: PlanLike,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    why_not: Mapping[str, Any] | PlanLike | None = None,
    note: Callable[[str], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[CheckKeywords],
) -> Explanation:
    """What bounds a plan, and what would make it faster: each part of the hardware 10% better, and
    each decision that can be taken otherwise on its own.

    The plan is given as to `compare`. `why_not` is another plan, or decisions such as
    `{"tensor": 4, "pipeline": 4}`. A search, which calls `progress`, finds the best plan with them;
    they break a rule, do not fit, or take longer for reasons that a comparison names.

    Raises: InputError, with its place.

    >>> from planner import api
    >>> priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    >>> found = api.explain(priced, why_not={"tensor": 3})
    >>> found.hardware[0].gain > 0, found.why_not.refused is not None
    (True, True)
    """
    priced = priced_like(plan, cluster, model, note, options)
    scenario, chosen, cost = priced.scenario, priced.plan, priced.estimate
    return Explanation(
        priced=priced,
        hardware=hardware_levers(scenario, chosen, cost),
        decisions=plan_levers(scenario, chosen, cost),
        why_not=None if why_not is None else _why_not(priced, why_not, note, progress),
    )


def _why_not(
    priced: PricedPlan,
    other: Mapping[str, Any] | PlanLike,
    note: Callable[[str], None] | None,
    progress: Callable[[Progress], None] | None,
) -> WhyNot:
    scenario = priced.scenario
    if not isinstance(other, Mapping):
        name = str(other) if isinstance(other, str | Path) else "the other plan"
        found = compare(priced, other, cluster=scenario.cluster, model=scenario.model, note=note)
        return WhyNot(asked=name, comparison=_named(found, name))
    if not other:
        raise InputError("--why-not names no decision")
    asked = ", ".join(f"{name} {value}" for name, value in other.items())
    try:
        ranked = best_with(scenario, other, progress)
    except RuleError as error:
        return WhyNot(asked=asked, refused=str(error))
    if ranked is None:
        return WhyNot(asked=asked, refused="no plan with it fits")
    found = compare(priced, PricedPlan(scenario=scenario, ranked=ranked))
    return WhyNot(asked=asked, comparison=_named(found, asked), taken=ranked.plan)


def _named(found: PlanComparison, asked: str) -> PlanComparison:
    first, other = found.sides
    return replace(found, sides=(replace(first, name="the plan"), replace(other, name=asked)))
