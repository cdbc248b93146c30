"""The report of `planner validate` for serving runs: how far off in sum and by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.reports.validation import number, signed
from planner.wording.units import count, percent, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.specs.runs.spec import RunError
    from planner.validation.serving.compare import ServingValidation
    from planner.validation.statistics import ErrorSummary

LABELS = {
    "tpot": "time of an output token, mean",
    "tpot_median": "time of an output token, median",
    "tpot_p99": "time of an output token, 99th percentile",
    "ttft": "time to the first token, mean",
    "ttft_median": "time to the first token, median",
    "ttft_p99": "time to the first token, 99th percentile",
    "output_tokens_per_s_per_device": "output tokens per second and device",
}
LEGEND = (
    "Errors in %: predicted / measured - 1. TPOT: time of an output token, mean of the requests; "
    "bias: mean error with its sign. TTFT: time to the first token, mean of the requests. rate: "
    "output tokens per second and device. Means are of errors without sign."
)
_SHOWN_IDS = 3
_NARROWEST = 20
"""Columns that names have at least."""


def serving_validation_report(validation: ServingValidation) -> RenderableType:
    """The sum, each cell of model, device and engine, and why rows are left out."""
    summary = validation.summary
    parts: list[RenderableType] = [
        paragraph(_answer(summary["tpot"]), style="bold"),
        bullets(_line(LABELS[name], errors) for name, errors in summary.items() if errors.count),
    ]
    if validation.cells:
        parts += [heading("By model, device and engine"), _cells(validation)]
        parts.append(paragraph(LEGEND, style="dim"))
    if validation.doubts:
        parts += [
            heading(
                f"Left out because of what was measured: {plural(len(validation.doubts), 'run')}"
            ),
            bullets(_reasons(validation.doubts)),
            paragraph(_with_doubtful(validation)),
        ]
    if validation.errors:
        parts += [
            heading(f"Not compared: {plural(len(validation.errors), 'run')}"),
            bullets(_reasons(validation.errors)),
        ]
    return Group(*parts)


def _answer(tpot: ErrorSummary) -> str:
    if tpot.mean_abs_error is None:
        return "Time of an output token: no run that can be compared states one."
    return (
        f"Time of an output token: {percent(tpot.mean_abs_error)} mean absolute error over "
        f"{plural(tpot.count, 'run')}."
    )


def _with_doubtful(validation: ServingValidation) -> str:
    summary = validation.summary_with_doubtful
    said = [
        f"the {label} is {percent(errors.mean_abs_error)} off over {plural(errors.count, 'run')}"
        for label, errors in (
            ("time of an output token", summary["tpot"]),
            ("time to the first token", summary["ttft"]),
        )
        if errors.mean_abs_error is not None
    ]
    return f"With them {', '.join(said)}." if said else "None of them states a latency."


def _line(label: str, errors: ErrorSummary) -> str:
    return (
        f"{label}: {percent(errors.mean_abs_error or 0.0)} mean of {count(errors.count)}, "
        f"90th percentile {percent(errors.p90_abs_error or 0.0)}, "
        f"worst {percent(errors.max_abs_error or 0.0)}, bias {signed(errors.bias or 0.0)}"
    )


def _cells(validation: ServingValidation) -> Table:
    table = numbers_table(7)
    table.add_column("model, device, engine", overflow="fold", min_width=_NARROWEST)
    for header in ("runs", "TPOT", "bias", "TTFT", "bias", "rate"):
        table.add_column(header, justify="right", no_wrap=True)
    for cell in validation.cells:
        tpot, ttft = cell.summary["tpot"], cell.summary["ttft"]
        rate = cell.summary["output_tokens_per_s_per_device"]
        pooled = "" if cell.mode == "agg" else " (pools)"
        table.add_row(
            Text(f"{cell.model}, {cell.device}, {cell.engine}{pooled}"),
            count(max(errors.count for errors in cell.summary.values())),
            number(tpot.mean_abs_error),
            number(tpot.bias, "+"),
            number(ttft.mean_abs_error),
            number(ttft.bias, "+"),
            number(rate.mean_abs_error),
        )
    return table


def _reasons(errors: Sequence[RunError]) -> list[str]:
    """Reasons with the rows they are about; of many rows the first ones."""
    runs: dict[str, list[str]] = {}
    for error in errors:
        runs.setdefault(error.message, []).append(error.id)
    return [
        f"{', '.join(ids[:_SHOWN_IDS])}"
        f"{f' and {count(len(ids) - _SHOWN_IDS)} more' if len(ids) > _SHOWN_IDS else ''}: {message}"
        for message, ids in runs.items()
    ]
