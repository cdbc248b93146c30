"""Markdown for the summary of a GitHub Actions step or a comment on a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.checks.baseline import Figures
from planner.reports.checks.outcome import findings_of, tally
from planner.reports.layout import bar
from planner.reports.markdown import code, html, plain, table
from planner.wording.binding import fit_words
from planner.wording.labels import TIME_LABELS, one_line
from planner.wording.units import capacity, gib, percent, plural, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.checks.check import Checked
    from planner.checks.finding import Finding
    from planner.plan import Estimate

LARGEST_BYTES = 1_000_000
"""GitHub drops a summary above 1 MiB."""

MOST_STAGES = 64


def summary(checked: Sequence[Checked]) -> str:
    """A table of plans, the findings of each, its time by cause against the baseline's, and what
    fills the memory of its stages."""
    passed = all(one.passed for one in checked)
    lines = [f"## planner check: {'passed' if passed else 'failed'}", "", f"{tally(checked)}."]
    lines += ["", *table(("plan", "degrees", "step", "peak GiB", "verdict"), map(_row, checked))]
    for one in checked:
        if one.findings:
            lines += ["", f"### {code(one.reference)}", "", *map(_finding, one.findings)]
    for one in checked:
        if one.estimate is not None and one.before is not None and one.before.time:
            lines += ["", *_against(one.reference, one.before, Figures.of(one.estimate))]
    for one in checked:
        if one.estimate is not None:
            lines += ["", *_memory(one.reference, one.estimate)]
    return _cut("\n".join(lines) + "\n", len(findings_of(checked)))


def _row(one: Checked) -> tuple[str, ...]:
    verdict = _verdict(one)
    if one.slower_than_best is not None and one.slower_than_best > 0:
        verdict += f", {percent(one.slower_than_best)} above the best"
    described = "" if one.subject is None else plain(one_line(one.subject.plan))
    if one.estimate is None:
        return (code(one.reference), described, "", "", verdict)
    stage = one.estimate.memory.binding
    peak = f"{gib(stage.peak_bytes)} of {capacity(stage.capacity_bytes)}"
    return (code(one.reference), described, seconds(one.estimate.step_s), peak, verdict)


def _verdict(one: Checked) -> str:
    """`fits`; `fits, tight`; `**fail**, tight: needs 80.5 of 79.2 GiB`."""
    words = "" if one.estimate is None else fit_words(one.estimate)
    if one.passed:
        return words or "ok"
    return "**fail**" if words in ("", "fits") else f"**fail**, {words}"


def _finding(one: Finding) -> str:
    fix = one.rule.fix if one.hint is None else plain(one.hint)
    return (
        f"- **{one.severity} {one.code}** {one.rule.name}, {code(one.region.text)}: "
        f"{plain(one.message)}\n  - {fix}"
    )


def _against(reference: str, before: Figures, now: Figures) -> Iterator[str]:
    """Bars of a step's seconds by cause, of the baseline and of today, largest change first. A
    baseline of another size of job counts at its device time per token."""
    then, today = before.seconds_as(now), now.time
    total, step = sum(then.values()), sum(today.values())
    change = f"{seconds(total)} in the baseline, {seconds(step)} now ({step / total - 1:+.1%})"
    yield f"<details open><summary>Step of {html(reference)}: {change}</summary>"
    yield ""
    yield "```text"
    longest = max(*then.values(), *today.values())
    causes = sorted(TIME_LABELS, key=lambda cause: -abs(today[cause] - then[cause]))
    for cause in (cause for cause in causes if then[cause] or today[cause]):
        more = today[cause] - then[cause]
        sign = "-" if more < 0 else "+"
        label = TIME_LABELS[cause]
        yield f"{label:22s} {bar(then[cause] / longest):24s} {seconds(then[cause]):>8} baseline"
        yield (
            f"{'':22s} {bar(today[cause] / longest):24s} {seconds(today[cause]):>8} now, "
            f"{sign}{seconds(abs(more))}"
        )
    yield "```"
    if (before.devices, before.tokens_per_step) != (now.devices, now.tokens_per_step):
        yield ""
        yield "The baseline is of another number of devices or tokens, and counts per token."
    yield ""
    yield "</details>"


def _memory(reference: str, estimate: Estimate) -> Iterator[str]:
    stages = estimate.memory.per_stage
    yield f"<details><summary>Memory of the stages of {html(reference)}</summary>"
    yield ""
    yield "```text"
    for stage in stages[:MOST_STAGES]:
        share = min(stage.peak_bytes / stage.capacity_bytes, 1.0)
        yield (
            f"stage {stage.stage:3d} {bar(share):24s} {gib(stage.peak_bytes):>7} of "
            f"{capacity(stage.capacity_bytes)} GiB"
        )
    if len(stages) > MOST_STAGES:
        yield f"and {plural(len(stages) - MOST_STAGES, 'more stage')}"
    yield "```"
    yield ""
    yield "</details>"


def _cut(text: str, findings: int) -> str:
    if len(text.encode()) <= LARGEST_BYTES:
        return text
    kept = text.encode()[:LARGEST_BYTES].decode(errors="ignore").rpartition("\n")[0]
    return f"{kept}\n\nCut here; {plural(findings, 'finding')} in all.\n"
