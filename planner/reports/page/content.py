"""What a page is made of: the plan document as values, and what the inputs of its plans add."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import RankedPlan
    from planner.plan_document.answer import ReadAnswer
    from planner.training.scenario import Scenario
    from planner.training.timeline import StepTimeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """The user's own configuration: one plan of another document. `differs`: in what its job is not
    that of the other plans."""

    name: str
    ranked: RankedPlan
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """What the cluster, the model and the software profile add to the document of their plans.
    `launches`: the texts that launch plan 1, by the names of their files; `timeline`: its step."""

    scenario: Scenario
    launches: Mapping[str, str]
    timeline: StepTimeline


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
    """`text`: the document that the page carries and that can be read back from it. `inputs`: None
    where they are not at hand, and `without` then says why."""

    answer: ReadAnswer
    text: str
    mine: Mine | None = None
    inputs: PlanInputs | None = None
    without: str = ""

    @property
    def best(self) -> RankedPlan:
        return self.answer.plans[0]

    @property
    def shown(self) -> tuple[tuple[str, RankedPlan], ...]:
        """The ranked plans by their numbers, and the user's own."""
        plans = tuple((str(one.rank), one) for one in self.answer.plans)
        return plans if self.mine is None else (*plans, ("mine", self.mine.ranked))

    @property
    def left_out(self) -> str:
        """Why a section that needs the inputs is not there."""
        return f"Left out: it needs the files that the plans were made for. {self.without}."
