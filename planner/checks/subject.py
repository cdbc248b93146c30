"""The subject of a check: a plan, what it was made from, and the places of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.checks.finding import Finding
from planner.checks.places import related_places
from planner.checks.registry import rules

if TYPE_CHECKING:
    from planner.checks.places import Places
    from planner.plan import Plan
    from planner.plan_document import RecordedInputs
    from planner.specs.files.document import Location
    from planner.specs.files.source import SourceFile
    from planner.training.scenario import Scenario
    from planner.training.search.plans.problems import PlanProblem


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Plan `rank` (1 for a script) of the file `path`, and the scenario it is checked against.
    `reference` is what messages call it. `recorded` is what the file says it was made from, None
    for a launch file. `problem` is why the scenario is not of the plan's own size, `refused` what
    the framework refuses in a launch file and no plan can say."""

    reference: str
    path: str
    rank: int
    plan: Plan
    places: Places
    scenario: Scenario
    recorded: RecordedInputs | None = None
    problem: PlanProblem | None = None
    refused: tuple[PlanProblem, ...] = ()

    def finding(
        self, code: str, field: Location, message: str, *, hint: str | None = None
    ) -> Finding:
        """A finding about a field of the plan, with its place and the lines it rests on."""
        rule = rules()[code]
        files = {
            "cluster": _path(self.scenario.cluster.source),
            "model": _path(self.scenario.model.source),
        }
        return Finding(
            code=code,
            severity=rule.severity,
            subject=self.reference,
            field=field,
            message=message,
            region=self.places.region(field),
            hint=hint,
            related=related_places(rule.reads, files),
        )


def _path(source: SourceFile | None) -> str | None:
    return None if source is None else source.path
