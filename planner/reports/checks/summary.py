"""Markdown for the summary of a GitHub Actions step or a comment on a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.checks.outcome import findings_of, tally
from planner.reports.layout import bar
from planner.reports.markdown import code, html, plain, table
from planner.wording.labels import one_line
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
    """A table of plans, the findings of each, and what fills the memory of its stages."""
    passed = all(one.passed for one in checked)
    lines = [f"## planner check: {'passed' if passed else 'failed'}", "", f"{tally(checked)}."]
    lines += ["", *table(("plan", "degrees", "step", "peak GiB", "verdict"), map(_row, checked))]
    for one in checked:
        if one.findings:
            lines += ["", f"### {code(one.reference)}", "", *map(_finding, one.findings)]
    for one in checked:
        if one.estimate is not None:
            lines += ["", *_memory(one.reference, one.estimate)]
    return _cut("\n".join(lines) + "\n", len(findings_of(checked)))


def _row(one: Checked) -> tuple[str, ...]:
    verdict = "ok" if one.passed else "**fail**"
    if one.slower_than_best is not None and one.slower_than_best > 0:
        verdict += f", {percent(one.slower_than_best)} above the best"
    described = "" if one.subject is None else plain(one_line(one.subject.plan))
    if one.estimate is None:
        return (code(one.reference), described, "", "", verdict)
    stage = one.estimate.memory.binding
    peak = f"{gib(stage.peak_bytes)} of {capacity(stage.capacity_bytes)}"
    return (code(one.reference), described, seconds(one.estimate.step_s), peak, verdict)


def _finding(one: Finding) -> str:
    fix = one.rule.fix if one.hint is None else plain(one.hint)
    return (
        f"- **{one.severity} {one.code}** {one.rule.name}, {code(one.region.text)}: "
        f"{plain(one.message)}\n  - {fix}"
    )


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
