"""The report when nothing fits: what is missing, what came closest, what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.budget import Stopped
from planner.reports.layout import bullets, heading, paragraph
from planner.reports.search import currency_of, cut_short, within
from planner.reports.sentences import plan_answer
from planner.wording.amounts import money
from planner.wording.labels import one_line
from planner.wording.units import count, plural, seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

    from planner.plan import RankedPlan
    from planner.plan_document import RecordedInputs
    from planner.training.search.result import Change, NearMiss, RankedBy, SearchResult


def nothing_report(inputs: RecordedInputs, result: SearchResult) -> RenderableType:
    """For a result without plans."""
    where = (
        f"{inputs.model.name} on {plural(inputs.job.devices, 'device')} of {inputs.cluster.name}"
    )
    combinations = plural(result.candidates, "valid combination")
    if not result.nothing_fits:
        return Group(
            paragraph(f"No answer yet: {_end(result)}.", style="bold"),
            paragraph(f"{where}: {combinations}{_so_far(result)}."),
        )
    if result.ranked is not None and result.ranked.closest is not None:
        return _beyond_limits(where, result.ranked, result.ranked.closest)
    parts: list[RenderableType] = [
        paragraph(first_line(result), style="bold"),
        paragraph(f"{where}: none of {combinations} fits."),
    ]
    if result.nearest:
        parts += [heading("Closest"), bullets(map(_miss, result.nearest))]
    if result.changes:
        parts += [
            heading("Changes that would fit, the cheapest first"),
            bullets(map(_change, result.changes)),
        ]
    if result.stopped is not Stopped.PROVEN:
        cut = cut_short(result.stopped).capitalize()
        parts.append(paragraph(f"{cut} before every change that might fit was tried."))
    if result.nearest:
        assumptions = (*inputs.assumptions, *result.nearest[0].estimate.assumptions)
        parts += [heading("Assumptions"), bullets(assumptions)]
    return Group(*parts)


def _beyond_limits(where: str, ranked: RankedBy, near: RankedPlan) -> RenderableType:
    """Plans fit, but none keeps within the limits."""
    currency, of_job = currency_of(near.estimate), ranked.job_budget is not None
    spent = near.estimate.job_spent if of_job else near.estimate.step_spent
    price = None if spent is None else spent[0].price
    what = "for the job" if of_job else "a step"
    cost = "" if price is None else f", {money(currency, price)[0]} {what}"
    return Group(
        paragraph(f"No plan has {within(ranked, currency)}.", style="bold"),
        paragraph(
            f"{where}: the closest is {one_line(near.plan)} on "
            f"{plural(len(near.plan.placement.hosts), 'node')}, "
            f"{count(near.estimate.tokens_per_s)} tokens/s{cost}."
        ),
    )


def _end(result: SearchResult) -> str:
    """What ended a search that found no plan and does not know that there is none."""
    if result.refined:
        priced = plural(result.refined, "combination")
        return f"{cut_short(result.stopped)}, and none of the {priced} priced in full fits"
    return f"{cut_short(result.stopped)} before any plan was priced"


def _so_far(result: SearchResult) -> str:
    """What it knows."""
    if result.bound_s is None:
        return f" bounded so far, {count(result.fitting)} of them fit"
    return f", {count(result.fitting)} fit; no plan can be below {seconds(result.bound_s)}/step"


def first_line(result: SearchResult) -> str:
    """The binding constraint of the closest plan, in words."""
    if not result.nearest:
        return "Nothing fits."
    return f"Nothing fits: {result.nearest[0].reason}"


def _miss(miss: NearMiss) -> str:
    maybe = "; within its error of fitting" if miss.estimate.fit_class == "tight" else ""
    return f"{one_line(miss.plan)}: {miss.reason}{maybe}"


def _change(change: Change) -> str:
    return f"{change.description} gives {plan_answer(change.plan, change.estimate)}"
