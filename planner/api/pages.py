"""Plans as an HTML page."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from planner.api.answers import FoundPlans, PricedPlan
from planner.api.documents import to_text
from planner.api.estimates import estimate
from planner.api.exports import export_all, scenario_of
from planner.api.plans import GivenPlan
from planner.api.serving_pages import report_serving
from planner.errors import InputError, PlannerError
from planner.importers.launch_file import is_launch
from planner.plan_document import ReadPlan
from planner.plan_document.answer import ReadAnswer, parse_answer, read_answer
from planner.plan_document.nodes import read_file, split_rank
from planner.plan_document.serving.kind import is_serving_document
from planner.reports.page.content import Mine, PageContent, PlanInputs
from planner.reports.page.page import page_text
from planner.training.timeline import step_timeline
from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.api.inputs import ClusterLike, ModelLike, SoftwareLike
    from planner.plan_document import RecordedInputs
    from planner.training.scenario import Scenario

GIVE_CLUSTER = "give the cluster of the plans with --cluster"

PlansLike: TypeAlias = "str | Path | FoundPlans | PricedPlan"


def report(
    plans: PlansLike,
    *,
    mine: str | Path | PricedPlan | None = None,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    software: SoftwareLike | None = None,
    note: Callable[[str], None] | None = None,
) -> str:
    """The text of one HTML file that shows plans: the answer and the reasons, the ranking, where
    time and memory go, how sure the figures are, and what launches the first plan. The page needs
    no network, and the plans can be read back from it (`load_plans`, `planner check`).

    `plans` is the file of a search or an estimate, or what was found; of serving plans the page has
    the plans, pools, the front and what launches them. `mine` is the user's own
    plan, for comparison: a plan of a file (`mine.json#1`), a launch script on the same cluster, or
    one that was estimated. Cluster, model and software profile are those the plans were made for.
    If a file of these is not shipped, it has to be given; otherwise the page leaves out what needs
    it, and says so. `note` is called with the flags of a launch script that a plan has no field
    for.

    Raises: InputError for a file that holds no plans, and for inputs that the plans were not made
    for.

    >>> from planner import api
    >>> found = api.search("dgx-a100-8", "gpt-7.5b", nodes=1, top=2)
    >>> page = api.report(found, mine=api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8))
    >>> page.startswith("<!doctype html>")
    True
    """
    if isinstance(plans, str | Path) and is_serving_document(str(plans)):
        if mine is not None or software is not None:
            raise InputError("--mine and --software are for training plans; these serve")
        return report_serving(str(plans), cluster=cluster, model=model)
    text, answer = _document(plans)
    scenario, without = _scenario(answer, plans, cluster, model, software)
    return page_text(
        PageContent(
            answer=answer,
            text=text,
            mine=None if mine is None else _mine(mine, answer, scenario, note),
            inputs=None if scenario is None else _inputs(answer, scenario),
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


def _mine(
    mine: str | Path | PricedPlan,
    answer: ReadAnswer,
    scenario: Scenario | None,
    note: Callable[[str], None] | None,
) -> Mine:
    if isinstance(mine, str | Path) and is_launch(str(mine)):
        if scenario is None:
            raise InputError(
                "a launch file does not say which cluster it runs on", path=mine, hint=GIVE_CLUSTER
            )
        launched = estimate(scenario.cluster, plan=mine, software=scenario.job.software, note=note)
        own, name, rank = parse_answer(to_text(launched), Path(mine)), Path(mine).name, 1
    elif isinstance(mine, PricedPlan):
        own, name, rank = parse_answer(to_text(mine), Path("mine")), "mine", 1
    else:
        path, rank = split_rank(str(mine))
        own, name = read_answer(path), path.name
    if rank > len(own.plans):
        held = plural(len(own.plans), "plan")
        raise InputError(f"rank {rank} is asked for, but the document holds {held}", path=own.path)
    return Mine(
        name=name, ranked=own.plans[rank - 1], differs=tuple(_differs(own.inputs, answer.inputs))
    )


def _differs(own: RecordedInputs, plans: RecordedInputs) -> Iterator[str]:
    """How the job of a plan differs from that of the others."""
    for kind in ("model", "cluster"):
        one, other = getattr(own, kind), getattr(plans, kind)
        if one != other:
            files = "" if one.name != other.name else " of another file"
            yield f"{kind} {one.name}{files}"
    for field in fields(plans.job):
        one, other = getattr(own.job, field.name), getattr(plans.job, field.name)
        if one != other and field.name != "software_sha256":
            yield f"{field.name.replace('_', ' ')} {one}, not {other}"


def _scenario(
    answer: ReadAnswer,
    plans: PlansLike,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    software: SoftwareLike | None,
) -> tuple[Scenario | None, str]:
    """The scenario that the plans were made for, or why it is not available."""
    if not answer.plans:
        return None, ""
    try:
        return scenario_of(_first(answer, plans), cluster, model, software), ""
    except PlannerError as error:
        if (cluster, model, software) != (None, None, None):
            raise
        return None, str(error)


def _first(answer: ReadAnswer, plans: PlansLike) -> GivenPlan:
    """Plan 1, with its scenario if it has one."""
    if isinstance(plans, FoundPlans | PricedPlan):
        return GivenPlan.of(plans.best if isinstance(plans, FoundPlans) else plans)
    first = answer.plans[0]
    return GivenPlan.of(ReadPlan(path=answer.path, rank=1, plan=first.plan, inputs=answer.inputs))


def _inputs(answer: ReadAnswer, scenario: Scenario) -> PlanInputs:
    """What the inputs of the plans add to their document."""
    first = PricedPlan(scenario=scenario, ranked=answer.plans[0])
    return PlanInputs(
        scenario=scenario, launches=export_all(first), timeline=step_timeline(scenario, first.plan)
    )
