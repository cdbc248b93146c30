"""Plans of a document against a scenario, with the place in the document in every error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError, RuleError
from planner.plan_document.nodes import read_file
from planner.specs.files.json_file import nearest_value
from planner.specs.files.text_file import place_of
from planner.training.search.plans.problems import plan_problems

if TYPE_CHECKING:
    from planner.plan_document.read import ReadPlan
    from planner.specs.files.document import Location
    from planner.training.scenario import Scenario


def check_read_plan(scenario: Scenario, read: ReadPlan) -> None:
    """Raises InputError or RuleError, with the place in the file, when the plan does not belong to
    the scenario or breaks a rule of the framework."""
    for problem in plan_problems(scenario, read.plan):
        raise placed(problem.error, read, problem.field)


def placed(error: InputError | RuleError, read: ReadPlan, field: str) -> InputError | RuleError:
    """The error with the place of a field of the plan, such as degrees.tensor, or of what is
    nearest around it."""
    file = read_file(Path(read.path))
    text = file.text
    at: Location = ("plans", read.rank - 1, *field.split("."))
    span = None if file.packed else nearest_value(text, at)
    line, column = None, None
    if span is not None:
        place = place_of(text, span.start)
        line, column = place.line, place.column
    if isinstance(error, RuleError):
        return error.placed(read.path, line, column)
    return InputError(error.message, path=read.path, line=line, column=column, hint=error.hint)
