"""Plans as a page that people look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from planner.api.answers import FoundPlans, PricedPlan
from planner.api.documents import to_text
from planner.api.exports import export_all, scenario_of
from planner.api.plans import GivenPlan
from planner.errors import InputError, PlannerError
from planner.plan_document import ReadPlan
from planner.plan_document.answer import ReadAnswer, parse_answer, read_answer
from planner.plan_document.nodes import read_file, split_rank
from planner.reports.page.content import Mine, PageContent, PlanInputs
from planner.reports.page.page import page_text
from planner.wording.units import plural

if TYPE_CHECKING:
    from planner.api.inputs import ClusterLike, ModelLike, SoftwareLike

PlansLike: TypeAlias = "str | Path | FoundPlans | PricedPlan"


def report(
    plans: PlansLike,
    *,
    mine: str | Path | PricedPlan | None = None,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    software: SoftwareLike | None = None,
) -> str:
    """The text of one HTML file that shows plans: the answer and why, the ranking, where time and
    memory go, how sure the figures are, what launches the first plan. It asks no network, and the
    plans can be read back from it (`load_plans`, `planner check`).

    `plans` is the file of a search or an estimate, or what was found. `mine` is the user's own
    plan beside them: a plan of a file (`mine.json#1`) or one that was estimated. Cluster, model and
    software profile are those the plans were made for; ones of a file that is not shipped are to be
    given, or what needs them is left out, and the page says so.

    Raises: InputError for a file that is none of plans, and for inputs that are not those the plans
    were made for.

    >>> from planner import api
    >>> found = api.search("dgx-a100-8", "gpt-7.5b", nodes=1, top=2)
    >>> page = api.report(found, mine=api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8))
    >>> page.startswith("<!doctype html>")
    True
    """
    text, answer = _document(plans)
    inputs, without = _inputs(answer, plans, cluster, model, software)
    return page_text(
        PageContent(
            answer=answer,
            text=text,
            mine=None if mine is None else _mine(mine),
            inputs=inputs,
            without=without,
        )
    )


def _document(plans: PlansLike) -> tuple[str, ReadAnswer]:
    if isinstance(plans, FoundPlans | PricedPlan):
        text = to_text(plans)
        return text, parse_answer(text, Path("plans"))
    path = Path(plans)
    text = read_file(path).text
    return text, parse_answer(text, path)


def _mine(mine: str | Path | PricedPlan) -> Mine:
    if isinstance(mine, PricedPlan):
        return Mine(name="mine", ranked=parse_answer(to_text(mine), Path("mine")).plans[0])
    path, rank = split_rank(str(mine))
    plans = read_answer(path).plans
    if rank > len(plans):
        held = plural(len(plans), "plan")
        raise InputError(f"rank {rank} is asked for, but the document holds {held}", path=path)
    return Mine(name=path.name, ranked=plans[rank - 1])


def _inputs(
    answer: ReadAnswer,
    plans: PlansLike,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    software: SoftwareLike | None,
) -> tuple[PlanInputs | None, str]:
    """What the inputs of the plans add, or why it is left out."""
    if not answer.plans:
        return None, ""
    try:
        scenario = scenario_of(_first(answer, plans), cluster, model, software)
    except PlannerError as error:
        if (cluster, model, software) != (None, None, None):
            raise
        return None, str(error)
    launches = export_all(PricedPlan(scenario=scenario, ranked=answer.plans[0]))
    return PlanInputs(launches=launches), ""


def _first(answer: ReadAnswer, plans: PlansLike) -> GivenPlan:
    """Plan 1, with its scenario where that came with it."""
    if isinstance(plans, FoundPlans | PricedPlan):
        return GivenPlan.of(plans.best if isinstance(plans, FoundPlans) else plans)
    first = answer.plans[0]
    return GivenPlan.of(ReadPlan(path=answer.path, rank=1, plan=first.plan, inputs=answer.inputs))
