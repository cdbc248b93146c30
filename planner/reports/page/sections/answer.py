"""The first section: the answer in a sentence, how far it is proven, four figures, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.estimate import fit_verdict
from planner.reports.families import roomy_tied
from planner.reports.page.bars import range_bar
from planner.reports.page.html import Html, element, join
from planner.reports.page.parts import bullets, note, section
from planner.reports.reasons import why
from planner.reports.search import how_sure
from planner.reports.sentences import binding, bound_by, plan_answer, with_room
from planner.wording.labels import degrees, one_line, recompute, schedule
from planner.wording.units import capacity, count, gib, percent, plural, time_scale

if TYPE_CHECKING:
    from planner.plan import Estimate, RankedPlan
    from planner.reports.page.content import PageContent
    from planner.training.search.result import SearchResult

WHOLE = 1.35
"""How much of its largest mark a track is long."""
TERA = 1e12


def header(content: PageContent) -> Html:
    """What is trained on what."""
    inputs, job = content.answer.inputs, content.answer.inputs.job
    plans = content.answer.plans
    nodes = f"{plural(len(plans[0].plan.placement.hosts), 'node')}, " if plans else ""
    facts = (
        f"{nodes}{plural(job.devices, 'device')} · batch {count(job.global_batch_size)} × "
        f"{count(job.seq_length)} tokens · {job.precision} · {job.software}"
    )
    return element(
        "header",
        element("p", "planner report", class_="kicker"),
        element(
            "h1",
            inputs.model.name,
            element("span", " on ", class_="soft"),
            inputs.cluster.name,
        ),
        element("p", facts, class_="facts"),
        element(
            "button",
            "◐",
            type="button",
            id="theme",
            aria_label="Light or dark page",
            title="Light or dark page",
        ),
    )


def answer(content: PageContent) -> Html:
    """The verdict. For a document without plans, what came closest and what would fit."""
    found = content.answer
    if not found.plans:
        return _nothing(content)
    best = content.best
    search = found.search
    return section(
        "answer",
        join(*_title(best, search)),
        _status(best, search),
        _figures(best),
        *_warnings(content),
        *_another_job(content),
        _why(best, search),
    )


def _title(best: RankedPlan, search: SearchResult | None) -> tuple[Html | str, ...]:
    plan = best.plan
    rest = [f"micro-batch {plan.micro_batch_size}", schedule(plan)]
    if plan.recompute.granularity != "none":
        rest.append(f"recompute {recompute(plan)}")
    word = "Use "
    if search is None:
        word = "Estimate of "
    elif not search.settled:
        word = "Best so far: "
    return word, element("code", degrees(plan.degrees)), f", {', '.join(rest)}"


def _status(best: RankedPlan, search: SearchResult | None) -> Html:
    if search is None:
        fits = best.estimate.memory.fits
        return _sign(fits, fit_verdict(best.plan, best.estimate))
    return _sign(search.settled, how_sure(search), "✓" if search.proven else "≈")


def _sign(good: bool, text: str, sign: str = "✓") -> Html:
    mark = element("span", f"{sign if good else '▲'} ", class_="good" if good else "warn")
    return element("p", mark, text, class_="status")


def _figures(best: RankedPlan) -> Html:
    estimate = best.estimate
    return element("div", *_cards(estimate), class_="figures")


def _cards(estimate: Estimate) -> tuple[Html, ...]:
    stage, known = estimate.memory.binding, estimate.confidence
    scale = time_scale(estimate.step_s)
    ranges: list[tuple[Html, str]] = [(join(), "no range: nothing like it was measured")] * 2
    if known is not None:
        low_s, high_s = known.step.around(estimate.step_s)
        low, high = known.memory.around(stage.peak_bytes)
        level = f"{known.level:.0%} range"
        usable = stage.capacity_bytes - stage.headroom_bytes
        ranges = [
            (
                range_bar(low=low_s, value=estimate.step_s, high=high_s, whole=WHOLE * high_s),
                f"{level}: {scale.number(low_s)} to {scale.text(high_s)}",
            ),
            (
                range_bar(
                    low=low,
                    value=stage.peak_bytes,
                    high=high,
                    whole=max(high, stage.capacity_bytes) * 1.05,
                    limit=usable,
                ),
                f"{level}: {gib(round(low))} to {gib(round(high))} GiB; {gib(usable)} may be used",
            ),
        ]
    return (
        _card("Step", scale.number(estimate.step_s), f" {scale.unit}", *ranges[0]),
        _card(
            "Peak memory",
            gib(stage.peak_bytes),
            f" of {capacity(stage.capacity_bytes)} GiB",
            *ranges[1],
        ),
        _card(
            "Throughput",
            count(estimate.tokens_per_s),
            " tokens/s",
            join(),
            f"{count(estimate.tokens_per_s_per_device)} a device",
        ),
        _card(
            "Model FLOPs utilisation",
            percent(estimate.mfu).removesuffix("%"),
            " %",
            join(),
            f"{count(estimate.model_flops_per_device / TERA)} TFLOP/s a device",
        ),
    )


def _card(name: str, figure: str, unit: str, bar: Html, below: str) -> Html:
    return element(
        "div",
        element("p", name, class_="name"),
        element("p", element("b", figure), element("span", unit, class_="soft"), class_="figure"),
        bar,
        element("p", below, class_="below"),
        class_="card",
    )


def _warnings(content: PageContent) -> list[Html]:
    """Of a plan that fits and may not: the best plan with room that is tied with it."""
    best, search = content.best, content.answer.search
    if best.estimate.fit_class != "tight" or not best.estimate.memory.fits:
        return []
    text = (
        "Tight: the range of the peak reaches into the headroom or beyond, so that the plan may "
        "run out of memory."
    )
    roomy = roomy_tied(content.answer.plans)
    if roomy is not None:
        text += f" {with_room(roomy)}"
    elif search is not None:
        text += " No plan listed is tied with it and fits with room."
    return [element("p", element("b", "! "), text, class_="warning")]


def _another_job(content: PageContent) -> list[Html]:
    if content.mine is None or not content.mine.differs:
        return []
    text = f"mine ({content.mine.name}) is another job: {'; '.join(content.mine.differs)}."
    return [element("p", element("b", "! "), text, class_="warning")]


def _why(best: RankedPlan, search: SearchResult | None) -> Html:
    cost = best.estimate
    reasons = [bound_by(cost), binding(cost)] if search is None else why(search)
    return join(element("h3", "Why"), bullets(reasons))


def _nothing(content: PageContent) -> Html:
    search = content.answer.search
    if search is None or not search.nothing_fits:
        return section("answer", "No answer yet", note("The search ended before it priced a plan."))
    reason = search.nearest[0].reason if search.nearest else ""
    closest = [f"{one_line(miss.plan)}: {miss.reason}" for miss in search.nearest]
    changes = [
        f"{change.description} gives {plan_answer(change.plan, change.estimate)}"
        for change in search.changes
    ]
    return section(
        "answer",
        f"Nothing fits{': ' if reason else ''}{reason}",
        _sign(False, f"None of {plural(search.candidates, 'valid combination')} fits."),
        join(element("h3", "Closest"), bullets(closest)) if closest else None,
        join(element("h3", "Changes that would fit, the cheapest first"), bullets(changes))
        if changes
        else None,
    )
