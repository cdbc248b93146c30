"""What the figures rest on: how sure they are, the assumptions, the inputs and their hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.page.html import Html, element
from planner.reports.page.parts import bullets, note, section, table
from planner.reports.page.sections.time import label
from planner.wording.units import count, gib, percent, plural, time_scale

if TYPE_CHECKING:
    from planner.plan import RankedPlan
    from planner.reports.page.content import PageContent

HASHED = 12
"""Digits of a SHA-256 that are shown."""
RANGED = 5
"""Plans whose ranges are listed."""


def confidence(content: PageContent) -> Html | None:
    """The range of every figure; None for a document without plans."""
    if not content.answer.plans:
        return None
    plans = [one for one in content.shown if one[1].estimate.confidence is not None]
    if not plans:
        return section(
            "accuracy",
            "How sure are these figures?",
            note("The document states no ranges: there were no measured runs to compare with."),
        )
    listed = [one for one in plans if one[1].rank <= RANGED or one[0] == "mine"]
    known = listed[0][1].estimate.confidence
    notes = known.notes if known is not None else ()
    level = known.level if known is not None else 0.0
    return section(
        "accuracy",
        "How sure are these figures?",
        note(
            f"With a probability of {level:.0%} a measurement lies inside its range. The ranges "
            "come from how far estimates like these were from measured runs."
        ),
        _ranges(listed),
        bullets(notes),
    )


def _ranges(plans: list[tuple[str, RankedPlan]]) -> Html:
    scale = time_scale(max(one.estimate.step_s for _, one in plans))
    rows = []
    for name, ranked in plans:
        estimate, known = ranked.estimate, ranked.estimate.confidence
        if known is None:
            continue
        low_s, high_s = known.step.around(estimate.step_s)
        peak = estimate.memory.binding.peak_bytes
        low, high = known.memory.around(peak)
        rows.append(
            (
                label(name, ranked),
                scale.number(estimate.step_s),
                f"{scale.number(low_s)}–{scale.number(high_s)}",
                gib(peak),
                f"{gib(round(low))}–{gib(round(high))}",
                estimate.fit_class,
            )
        )
    return table(
        "Estimates and their ranges",
        ["plan", f"step {scale.unit}", "range", "peak GiB", "range", "memory"],
        rows,
    )


def assumptions(content: PageContent) -> Html:
    """What the figures take for granted, and from which files they come."""
    found = content.answer
    said = list(found.inputs.assumptions)
    if found.plans:
        known = content.best.estimate.confidence
        notes = known.notes if known is not None else ()
        said += [one for one in content.best.estimate.assumptions if one not in notes]
    elif found.search is not None and found.search.nearest:
        said += found.search.nearest[0].estimate.assumptions
    return section(
        "assumptions",
        "Assumptions and inputs",
        bullets(dict.fromkeys(said)),
        _inputs(content),
        _space(content),
    )


def _inputs(content: PageContent) -> Html:
    inputs, job = content.answer.inputs, content.answer.inputs.job
    rows = [
        ("cluster", inputs.cluster.name, _hash(inputs.cluster.sha256)),
        ("model", inputs.model.name, _hash(inputs.model.sha256)),
        ("software", job.software, _hash(job.software_sha256)),
        ("devices", count(job.devices), ""),
        ("batch", f"{count(job.global_batch_size)} × {count(job.seq_length)} tokens", ""),
        ("precision, optimizer", f"{job.precision}, {job.optimizer}", ""),
        ("headroom", percent(job.headroom), ""),
        ("busiest expert over the mean", f"{job.expert_imbalance:g}", ""),
    ]
    return table("Inputs", ["input", "value", "SHA-256 of its file"], rows, text_columns=3)


def _hash(sha256: str | None) -> Html:
    if sha256 is None:
        return element("span", "no file")
    return element("code", sha256[:HASHED], title=sha256)


def _space(content: PageContent) -> Html | None:
    search = content.answer.search
    if search is None:
        return None
    own = [one for one in search.space.dimensions if one.restricted_by_user]
    restricted = [
        f"{one.name.replace('_', ' ')} {', '.join(_value(value) for value in one.values)}"
        for one in own
    ]
    excluded = [
        (one.rule, one.sentence, count(one.excluded))
        for one in search.space.exclusions
        if one.excluded
    ]
    return element(
        "details",
        element("summary", f"What was searched: {plural(search.candidates, 'valid combination')}"),
        note(f"Restricted by options: {'; '.join(restricted)}.") if restricted else None,
        table(
            "Combinations that each rule left out, in its turn",
            ["rule", "what it says", "combinations"],
            excluded,
            text_columns=2,
        )
        if excluded
        else None,
    )


def _value(value: int | float | str | bool) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
