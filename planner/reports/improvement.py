"""The report of `planner improve`, above the diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.reports.comparison import VERDICTS
from planner.reports.layout import bullets, heading, paragraph
from planner.wording.labels import one_line
from planner.wording.units import capacity, gib, percent, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from planner.comparison.checkpoints import Loading
    from planner.comparison.decisions import Decided
    from planner.comparison.side import Side


def improvement_report(
    now: Side,
    then: Side | None,
    *,
    gain: float,
    gain_range: tuple[float, float],
    decisions: Sequence[Decided],
    checkpoint: Loading | None,
    look_at: Sequence[str],
    left_out: Sequence[str],
    written: bool,
) -> RenderableType:
    """What changes and what it gains. `written`: the script was changed."""
    faster: list[RenderableType] = []
    if left_out:
        faster = [heading("Faster, and left out"), bullets(left_out)]
    if then is None or checkpoint is None:
        return Group(
            paragraph(f"{now.name} stays: no better plan was found for its job.", style="bold"),
            paragraph(f"It takes {_figures(now)}: {one_line(now.plan)}."),
            *faster,
        )
    parts: list[RenderableType] = [
        paragraph(_gain(now, then, gain, gain_range, written), style="bold"),
        paragraph(f"Now {_figures(now)}; then {_figures(then)}."),
        heading("What changes"),
        bullets(f"{one.name.replace('_', ' ')}: {' → '.join(one.values)}" for one in decisions),
        paragraph(f"A checkpoint {VERDICTS[checkpoint.verdict]}: {checkpoint.reason}."),
    ]
    if look_at:
        parts += [heading("Look at"), bullets(look_at)]
    return Group(*parts, *faster)


def _gain(
    now: Side, then: Side, gain: float, gain_range: tuple[float, float], written: bool
) -> str:
    which = f"{now.name}, as changed," if written else f"{now.name} with these changes"
    if not now.estimate.memory.fits:
        return (
            f"{which} fits: {gib(then.estimate.memory.binding.peak_bytes)} of "
            f"{capacity(then.estimate.memory.binding.capacity_bytes)} GiB."
        )
    low, high = gain_range
    doubt = "; too close to tell" if low <= 0 else ""
    return (
        f"{which} takes {percent(gain)} less time per step (90% range: {_less(low)} to "
        f"{_less(high)}{doubt})."
    )


def _less(share: float) -> str:
    return f"{percent(-share)} more" if share < 0 else f"{percent(share)} less"


def _figures(side: Side) -> str:
    binding = side.estimate.memory.binding
    fits = "" if side.estimate.memory.fits else " (does not fit)"
    return (
        f"{seconds(side.estimate.step_s)}/step, peak {gib(binding.peak_bytes)} of "
        f"{capacity(binding.capacity_bytes)} GiB{fits}"
    )
