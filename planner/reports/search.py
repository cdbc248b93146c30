"""The report of a search: the answer, the ranking, why the winner wins, on what it rests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.budget import Stopped
from planner.reports.breakdown import time_table
from planner.reports.families import folded, roomy_tied, table_rows
from planner.reports.hosts import named_hosts
from planner.reports.job import job_line
from planner.reports.layout import bullets, heading, paragraph
from planner.reports.lifetime import lifetime
from planner.reports.ranking import RankingTable, legend, marks, shared
from planner.reports.reasons import why
from planner.reports.scaling import scaling_table
from planner.reports.sentences import headline, ranges, with_room
from planner.wording.amounts import money
from planner.wording.labels import one_line
from planner.wording.units import at_most, count, plural, seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

    from planner.plan import Estimate
    from planner.plan_document import RecordedInputs
    from planner.solver import EngineRecord, SolverRecord
    from planner.training.search.result import RankedBy, SearchResult


def search_report(
    inputs: RecordedInputs, result: SearchResult, *, variants: bool = False
) -> RenderableType:
    """For a result with at least one plan; `nothing_report` is for the others. `variants`: a row
    for every plan, not for the fastest of each family alone."""
    best = result.plans[0]
    rows = table_rows(result.plans, variants=variants)
    listed = [row.ranked for row in rows]
    plans = [ranked.plan for ranked in listed]
    roomy = roomy_tied(result.plans)
    trouble = bool(result.solver.unanswered or _passed_over(result.solver))
    name = "Best on all devices" if result.fewer_devices else "Best"
    parts: list[RenderableType] = [
        *(paragraph(text, style="bold") for text in _without_types(result)),
        paragraph(headline(name, best.plan, best.estimate), style="bold"),
        paragraph(ranges(best.estimate)),
        *(paragraph(text) for text in lifetime(best.estimate)),
        *([paragraph(with_room(roomy))] if roomy is not None else []),
        paragraph(job_line(inputs, best.plan)),
        *(
            paragraph(text)
            for text in (*_idle(result), *_near_batches(result, inputs.job.global_batch_size))
        ),
        *(paragraph(text) for text in ranked_by(result)),
        paragraph(how_sure(result)),
        *([paragraph(solvers(result.solver))] if trouble else []),
        heading("Ranked plans"),
        RankingTable(rows),
        paragraph(legend(plans), style="dim"),
        *(paragraph(text, style="dim") for text in marks(listed, result.tied_within)),
    ]
    if folded(rows):
        parts.append(paragraph(folded(rows), style="dim"))
    common = shared(plans)
    if common:
        parts.append(paragraph(common))
    if result.scaling:
        parts += [heading("Tokens a second by nodes"), scaling_table(result.scaling)]
    parts += [heading("Why plan 1 wins"), bullets(why(result)), paragraph("")]
    parts.append(time_table(best.estimate.time))
    parts += [heading("Assumptions"), bullets((*inputs.assumptions, *best.estimate.assumptions))]
    if result.solver.programs and not trouble:
        parts += [paragraph(""), paragraph(solvers(result.solver), style="dim")]
    return Group(*parts)


def _without_types(result: SearchResult) -> list[str]:
    """What is faster than every plan listed, on fewer devices."""
    if not result.fewer_devices:
        return []
    fewer, devices = result.fewer_devices[0], result.plans[0].estimate.devices
    return [
        f"Faster without the {' and '.join(fewer.without)}: {seconds(fewer.step_s)}/step on "
        f"{count(fewer.devices)} of {count(devices)} devices."
    ]


def ranked_by(result: SearchResult) -> list[str]:
    """By what plans were ranked, where it is not the step alone."""
    known = result.ranked
    if known is None or not result.plans:
        return []
    currency = currency_of(result.plans[0].estimate)
    said = {
        "step": "Ranked by the step",
        "goodput": "Ranked by the step with failures",
        "cost": "Ranked by the price of a step",
    }[known.by]
    limits = within(known, currency)
    text = f"{said}{f', {limits}' if limits else ''}"
    if known.by == "cost":
        return [f"{text}: {money(currency, known.values[0])[0]}."]
    return [f"{text}: {seconds(known.values[0])}."]


def currency_of(estimate: Estimate) -> str:
    """Empty where there are no prices."""
    known = estimate.spending
    return "" if known is None or known.currency is None else known.currency


def within(known: RankedBy, currency: str) -> str:
    """The limits of a search in words."""
    limits = []
    if known.at_least is not None:
        limits.append(f"at least {count(known.at_least)} tokens/s")
    if known.step_budget is not None:
        limits.append(f"at most {money(currency, known.step_budget)[0]} a step")
    if known.job_budget is not None:
        limits.append(f"at most {money(currency, known.job_budget)[0]} for the job")
    return " and ".join(limits)


def how_sure(result: SearchResult) -> str:
    """How many combinations were looked at and what is known about those that were not priced."""
    text = (
        f"{plural(result.candidates, 'valid combination')}, {count(result.fitting)} fit, "
        f"{count(result.refined)} priced in full"
    )
    which = "the plan is" if len(result.plans) == 1 else f"the {len(result.plans)} plans are"
    if result.needs_offloading:
        text += "; nothing fits without offloading"
    if result.proven:
        return f"{text}; {which} proven best under the model."
    ended = result.stopped is not Stopped.WORK_LIMIT
    cut = f"; {cut_short(result.stopped)}" if ended else ""
    if result.gap == 1:
        return f"{text}{cut or '; stopped'} before all plans were bounded."
    near = f"within {at_most(result.gap)} of the best" if result.gap else "the best"
    if len(result.plans) > 1 and at_most(result.best_gap) != at_most(result.gap):
        first = f"within {at_most(result.best_gap)}" if result.best_gap else "the best"
        which, near = f"plan 1 is {first}, all {len(result.plans)} are", near
    others = "" if result.gap_from is None else f"; the gap is from {OTHERS[result.gap_from]}"
    by_step = result.ranked is None and result.robustness is None
    floor = f", and no plan takes less than {seconds(result.floor_s)}" if ended and by_step else ""
    return f"{text}{cut}; {which} {near} under the model{others}{floor}."


OTHERS = {
    "combination": "combinations that were not priced",
    "modules": "choices of modules that were not priced",
    "layout": "stage layouts that were not priced",
    "placement": "hosts that were not tried",
}
"""What may be faster, by the decision that a gap comes from."""


def _idle(result: SearchResult) -> list[str]:
    """Which nodes the best plan leaves idle."""
    counts = result.nodes
    if counts is None or not counts.idle_hosts:
        return []
    hosts = counts.idle_hosts
    named = named_hosts(hosts)
    stay = f"{named} stays idle" if len(hosts) == 1 else f"{count(len(hosts))} stay idle ({named})"
    used = counts.given - len(hosts)
    verb = "is" if used == 1 else "are"
    return [f"{count(used)} of {plural(counts.given, 'node')} {verb} used; {stay}."]


def _near_batches(result: SearchResult, batch: int) -> list[str]:
    """What a batch slightly different from that of the job would give."""
    best = result.plans[0]
    rate = best.estimate.tokens_per_s
    said = []
    for one in result.near_batches:
        share = one.global_batch_size / batch - 1
        said.append(
            f"A batch of {count(one.global_batch_size)} ({share:+.1%}) trains "
            f"{count(one.tokens_per_s)} tokens/s on {plural(one.nodes, 'node')}, "
            f"{one.tokens_per_s / rate - 1:+.1%} ({one_line(one.plan)}): "
            f"--global-batch-size {one.global_batch_size}."
        )
    return said


def cut_short(stopped: Stopped) -> str:
    """What ended a search before it was done."""
    return "interrupted" if stopped is Stopped.INTERRUPTED else f"stopped by {stopped}"


def solvers(record: SolverRecord) -> str:
    """Who answered the integer programs of a search."""
    parts = [
        f"{count(one.answered)} by {one.name} {one.version}"
        for one in record.engines
        if one.answered
    ]
    if record.unanswered:
        parts.append(f"{count(record.unanswered)} by none")
    said = [f"{plural(record.programs, 'integer program')} answered: {', '.join(parts)}."]
    said += [f"{one.name} was passed over: {one.passed_over}." for one in _passed_over(record)]
    return " ".join(said)


def _passed_over(record: SolverRecord) -> list[EngineRecord]:
    return [one for one in record.engines if one.passed_over is not None]
