"""The report of `planner calibrate`: what was refitted, its gain, what the runs cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rich.console import Group
from rich.text import Text

from planner.calibration.serving.document import figures_of
from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.reports.validation import signed
from planner.validation.compare import MEMORY_KINDS
from planner.validation.serving.figures import RATE, TPOT, TTFT
from planner.validation.statistics import mean
from planner.wording.units import percent, plural, time_scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.calibration.calibrate import Calibration
    from planner.calibration.identify import Verdict
    from planner.calibration.observations import Observation
    from planner.calibration.serving.constants import EngineOnDevice
    from planner.specs.device import DeviceSpec
    from planner.specs.runs.spec import RunError


FIGURES = {TPOT: "TPOT", TTFT: "TTFT", RATE: "device seconds of a token"}
"""What is fitted of serving runs, as users call it."""


def calibration_report(
    found: Calibration[DeviceSpec], *, written: str | None, left_out: Sequence[RunError] = ()
) -> RenderableType:
    """`written`: the device file; None when nothing was."""
    memory = memory_errors(found)
    said = [] if memory is None else [memory]
    return _report(found, written, left_out, gain(found), "Step time, run by run", said)


def engine_calibration_report(
    found: Calibration[EngineOnDevice], *, written: str | None, left_out: Sequence[RunError] = ()
) -> RenderableType:
    """`written`: the engine file; None when nothing was."""
    gained = _gain_by_figure(found)
    return _report(found, written, left_out, gained, "TPOT and TTFT, run by run", ())


def _report(
    found: Calibration[Any],
    written: str | None,
    left_out: Sequence[RunError],
    gained: str,
    title: str,
    said: Iterable[str],
) -> RenderableType:
    refitted = [verdict for verdict in found.verdicts if verdict.status == "refitted"]
    others = [verdict for verdict in found.verdicts if verdict.status != "refitted"]
    parts: list[RenderableType] = [paragraph(calibration_answer(found, written), style="bold")]
    if refitted:
        changed = "What the fit would change" if found.refusal else "Refitted constants"
        parts += [paragraph(gained), heading(changed), _constants(refitted)]
    parts += [heading("Left as they are"), bullets(map(_left, others))]
    parts += [heading(title), _runs(found)]
    parts += map(paragraph, said)
    if left_out:
        parts += [
            heading(f"Not used: {plural(len(left_out), 'run')}"),
            bullets(f"{error.id}: {error.message}" for error in left_out),
        ]
    return Group(*parts)


def calibration_answer(found: Calibration[Any], written: str | None) -> str:
    """The first line: what was written, or why nothing was."""
    if found.refusal is not None:
        return f"Not calibrated: {found.refusal}."
    names = [verdict.name for verdict in found.verdicts if verdict.status == "refitted"]
    return (
        f"{found.holder.name}: {', '.join(names)} refitted to {plural(found.runs, 'run')}, written "
        f"to {written}."
    )


def gain(found: Calibration[DeviceSpec]) -> str:
    """The errors before and after, and on runs that the fit did not see."""
    before, after, held_out = (percent(found.mean_error(one)) for one in _predicted(found))
    return (
        f"Mean step-time error {before} before, {after} after, {held_out} on runs left out of the "
        f"fit (one {found.folds_by} of {found.folds} at a time)."
    )


def _gain_by_figure(found: Calibration[EngineOnDevice]) -> str:
    """The same of every figure that was fitted."""
    said = []
    for figure, at in figures_of(found):
        errors = (found.errors(one) for one in _predicted(found))
        means = (percent(mean([abs(one[position]) for position in at])) for one in errors)
        before, after, held_out = means
        said.append(
            f"{FIGURES[figure]} {before} before, {after} after, {held_out} on runs left out"
        )
    return f"Mean error of {'; of '.join(said)} (one {found.folds_by} of {found.folds} at a time)."


def _predicted(found: Calibration[Any]) -> tuple[tuple[float, ...], ...]:
    return found.before_s, found.after_s, found.held_out_s


def memory_errors(found: Calibration[DeviceSpec]) -> str | None:
    """How far peaks are off, which no constant of the device file changes."""
    said = []
    observed = cast("Sequence[Observation]", found.observations)
    for kind in MEMORY_KINDS:
        errors = [abs(one.memory[kind].error) for one in observed if kind in one.memory]
        if errors:
            said.append(f"{kind} {percent(mean(errors))} mean error of {len(errors)}")
    if not said:
        return None
    return f"Peak memory, which these constants do not change: {'; '.join(said)}."


def _constants(refitted: Sequence[Verdict]) -> Table:
    table = numbers_table(5)
    table.add_column("constant", no_wrap=True)
    for header in ("before", "after", "±"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for verdict in refitted:
        table.add_row(
            verdict.name,
            f"{verdict.before:.3g}",
            f"{verdict.after:.3g}",
            f"{verdict.error:.2g}",
            verdict.reason or "",
        )
    return table


def _left(verdict: Verdict) -> str:
    if verdict.status == "kept":
        limit = f", {verdict.reason}" if verdict.reason else ""
        return (
            f"{verdict.name}: {verdict.before:.3g}{limit}; no other value explains the runs better"
        )
    return f"{verdict.name}: not identified; {verdict.reason}"


def _runs(found: Calibration[Any]) -> Table:
    table = numbers_table(5)
    table.add_column("run", overflow="fold")
    for header in ("measured", "before", "after", "left out"):
        table.add_column(header, justify="right", no_wrap=True)
    errors = zip(*map(found.errors, _predicted(found)), strict=True)
    for one, row in zip(found.observations, errors, strict=True):
        scale = time_scale(one.measured_s)
        table.add_row(Text(one.id), scale.text(one.measured_s), *map(signed, row))
    return table
