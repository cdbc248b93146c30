"""The report of `planner validate`: how far off in sum, by source, and run by run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.reports.layout import MANY_COLUMNS, bullets, heading, numbers_table, paragraph
from planner.validation.compare import MEMORY_KINDS
from planner.wording.labels import degrees
from planner.wording.units import count, gib, percent, plural, time_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.validation.compare import RunResult
    from planner.validation.statistics import ErrorSummary
    from planner.validation.summary import Summary
    from planner.validation.validate import FamilySummary, Validation

ABSENT = "-"
STAGE_LABELS = {
    "allocated_bytes": "allocated by stage",
    "forward_s": "forward pass of a stage",
    "backward_s": "backward pass of a stage",
}


def validation_report(validation: Validation, *, every_run: bool) -> RenderableType:
    """Errors in sum and by source; with `every_run` also a line for each run."""
    summary = validation.summary
    parts: list[RenderableType] = [
        paragraph(validation_answer(summary, validation.families), style="bold"),
        bullets(findings(summary)),
    ]
    if len(validation.sources) > 1:
        parts += [heading("By source"), source_table(validation), paragraph(LEGEND, style="dim")]
    if every_run:
        parts += _runs(validation.results)
    if validation.errors:
        parts += [
            heading(f"Not planned: {plural(len(validation.errors), 'run')}"),
            bullets(_reasons(validation)),
        ]
    return Group(*parts)


LEGEND = (
    "Errors in %: predicted / measured - 1 of the step time; mean, median and worst without sign. "
    "const: mean error of the best constant MFU on the same runs; skill: the share of it that the "
    "estimates remove. memory: mean error of the a(llocated), r(eserved) or d(evice) peak. tau: "
    "mean rank correlation in groups of four or more; regret: mean loss of the plan predicted "
    "fastest, in %."
)


def validation_answer(summary: Summary, families: FamilySummary | None = None) -> str:
    """The first line: how far off the step time is, the mean over several families first."""
    step = summary.step
    if step.mean_abs_error is None:
        return "Step time: no run states one."
    if families is not None and families.count > 1:
        return (
            f"Step time: {percent(families.mean_abs_error or 0.0)} mean absolute error, the mean "
            f"of {families.count} families; a constant MFU for each has "
            f"{percent(families.constant_mfu_error or 0.0)}. Over all {plural(step.count, 'run')}: "
            f"{percent(step.mean_abs_error)}."
        )
    text = (
        f"Step time: {percent(step.mean_abs_error)} mean absolute error over "
        f"{plural(step.count, 'run')}"
    )
    if summary.skill is None or summary.constant_mfu_error is None:
        return f"{text}."
    constant = percent(summary.constant_mfu_error)
    return f"{text}; the best constant MFU has {constant} (skill {summary.skill:.2f})."


def findings(summary: Summary) -> list[str]:
    """What else is known, a sentence each."""
    said = []
    if summary.step.count > 1:
        said.append(f"step time: {_spread(summary.step)}")
    for kind in MEMORY_KINDS:
        errors = summary.memory[kind]
        if errors.count:
            said.append(f"{kind} memory: {_mean(errors)}; {_spread(errors)}")
    for errors, label in (
        (summary.min_rank_allocated, "allocated on the emptiest rank"),
        *((summary.stages[name], label) for name, label in STAGE_LABELS.items()),
    ):
        if errors.count:
            said.append(f"{label}: {_mean(errors)}; {_spread(errors)}")
    fits = summary.fits
    if fits.count:
        said.append(
            f"fit: {count(fits.count)} known outcomes, {plural(fits.false_fit, 'false fit')}, "
            f"{plural(fits.false_oom, 'false out-of-memory', '')}"
        )
    loss = summary.regret
    if loss.mean is not None and loss.max is not None and loss.within_5_percent is not None:
        said.append(
            f"regret of the plan predicted fastest: {percent(loss.mean)} mean, "
            f"{percent(loss.max)} worst, within 5% in {percent(loss.within_5_percent)} of "
            f"{plural(loss.groups, 'group')}"
        )
    ranks = summary.ranks
    if ranks.mean_tau is not None and ranks.min_tau is not None:
        said.append(
            f"rank correlation (Kendall tau): {ranks.mean_tau:.2f} mean, {ranks.min_tau:.2f} worst "
            f"of {plural(ranks.groups, 'group')}"
        )
    return said


def _mean(errors: ErrorSummary) -> str:
    return f"{percent(errors.mean_abs_error or 0.0)} mean of {count(errors.count)}"


def _spread(errors: ErrorSummary) -> str:
    return (
        f"median {percent(errors.median_abs_error or 0.0)}, "
        f"90th percentile {percent(errors.p90_abs_error or 0.0)}, "
        f"worst {percent(errors.max_abs_error or 0.0)}, bias {signed(errors.bias or 0.0)}"
    )


def signed(share: float) -> str:
    return f"{100 * share:+.1f}%"


def source_table(validation: Validation) -> Table:
    headers = ("runs", "mean", "med.", "worst", "bias", "const", "skill", "memory", "tau", "regret")
    table = numbers_table(MANY_COLUMNS + 1)
    table.add_column("source", overflow="fold", min_width=20)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for source in validation.sources:
        table.add_row(Text(source.name), *source_cells(source.summary, len(source.results)))
    table.add_section()
    table.add_row("all", *source_cells(validation.summary, len(validation.results)))
    return table


def source_cells(summary: Summary, runs: int) -> tuple[str, ...]:
    """The figures of a row, in the order of the headers; errors in percent without the sign."""
    step = summary.step
    return (
        count(runs),
        number(step.mean_abs_error),
        number(step.median_abs_error),
        number(step.max_abs_error),
        number(step.bias, "+"),
        number(summary.constant_mfu_error),
        ABSENT if summary.skill is None else f"{summary.skill:.2f}",
        memory_cell(summary),
        ABSENT if summary.ranks.mean_tau is None else f"{summary.ranks.mean_tau:.2f}",
        number(summary.regret.mean),
    )


def memory_cell(summary: Summary) -> str:
    """`a 1.2`: mean error of the allocated peak, in percent; one entry for each kind measured."""
    return (
        "\n".join(
            f"{kind[0]} {number(summary.memory[kind].mean_abs_error)}"
            for kind in MEMORY_KINDS
            if summary.memory[kind].count
        )
        or ABSENT
    )


def number(share: float | None, sign: str = "") -> str:
    """A share in percent, with one decimal."""
    return ABSENT if share is None else f"{100 * share:{sign}.1f}"


def _reasons(validation: Validation) -> list[str]:
    """Why runs cannot be planned; those with the same reason together."""
    runs: dict[str, list[str]] = {}
    for error in validation.errors:
        runs.setdefault(error.message, []).append(error.id)
    return [f"{', '.join(ids)}: {message}" for message, ids in runs.items()]


def _runs(results: Sequence[RunResult]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if any(result.step for result in results):
        parts += [heading("Step time, run by run"), _step_table(results)]
    if any(any(result.memory.values()) for result in results):
        parts += [heading("Memory, run by run"), _memory_table(results)]
    wrong = [_wrong_fit(result) for result in results if result.fit_is_wrong]
    if wrong:
        parts += [heading("Fit predicted wrongly"), bullets(wrong)]
    return parts


def _step_table(results: Sequence[RunResult]) -> Table:
    table = numbers_table(6)
    table.add_column("run", overflow="fold")
    table.add_column("devices", justify="right", no_wrap=True)
    table.add_column("plan", overflow="fold")
    for header in ("predicted", "measured", "error"):
        table.add_column(header, justify="right", no_wrap=True)
    for result in results:
        if result.step is not None:
            scale = time_scale(result.step.measured)
            table.add_row(
                Text(result.id),
                count(result.plan.degrees.devices),
                f"{degrees(result.plan.degrees)} b{result.plan.micro_batch_size}",
                scale.number(result.step.predicted),
                scale.text(result.step.measured),
                signed(result.step.error),
            )
    return table


def _memory_table(results: Sequence[RunResult]) -> Table:
    table = numbers_table(5)
    table.add_column("run", overflow="fold")
    table.add_column("peak", no_wrap=True)
    for header in ("predicted", "measured", "error"):
        table.add_column(header, justify="right", no_wrap=True)
    for result in results:
        for kind, peak in result.memory.items():
            if peak is not None:
                table.add_row(
                    Text(result.id),
                    kind,
                    gib(round(peak.predicted)),
                    f"{gib(round(peak.measured))} GiB",
                    signed(peak.error),
                )
    return table


def _wrong_fit(result: RunResult) -> str:
    stage = result.fullest_stage
    peak, capacity = gib(stage.device_peak_bytes), gib(stage.capacity_bytes)
    outcome = "ran" if result.fits_measured else "ran out of memory"
    return f"{result.id} {outcome}; predicted {peak} GiB of {capacity} GiB on stage {stage.stage}"
