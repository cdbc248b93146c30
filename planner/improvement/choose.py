"""The fastest plan of a search that a script can say."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import TYPE_CHECKING

from planner.comparison.side import Side
from planner.errors import InputError, PlannerError
from planner.improvement.writing import ScriptReading, Written, written_in
from planner.training.estimate import estimate as price
from planner.wording.labels import one_line
from planner.wording.units import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.importers.launch import LaunchedPlan
    from planner.importers.source import Source
    from planner.plan import RankedPlan

_TIGHT = "fits tightly, the range of its peak reaches into the headroom"
WORTH = 5e-4
"""Shares of a step below this are no gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The best plan of a script and the new texts that say it, by path: None and no texts where
    there is no better one. `look_at`: what else may follow from them. `left_out`: faster plans that
    the script could not be given, and why."""

    then: Side | None
    files: Mapping[str, str]
    look_at: tuple[str, ...]
    left_out: tuple[str, ...]


def best_written(
    reading: ScriptReading,
    source: Source,
    launched: LaunchedPlan,
    now: Side,
    plans: tuple[RankedPlan, ...],
) -> Chosen:
    """The fastest of the plans that the script can say. Raises: InputError where there are faster
    ones and none of them can be written."""
    problems: list[InputError] = []
    left_out: list[str] = []
    tightly: list[str] = []
    best: tuple[Side, Written] | None = None
    tight: tuple[Side, Written] | None = None
    anywhere = launched.scenario.ideal is launched.scenario
    for ranked in plans:
        if not _is_better(ranked.estimate.step_s, now, best):
            continue
        try:
            written = written_in(reading, source, launched, ranked)
            side = side_of(written.launched, source.path)
        except PlannerError as error:
            left_out.append(f"{seconds(ranked.estimate.step_s)}/step: {error}")
            problems.append(error if isinstance(error, InputError) else InputError(str(error)))
            continue
        if not side.estimate.memory.fits or not _is_better(side.estimate.step_s, now, best):
            continue
        if side.estimate.fit_class != "fits":
            tight = tight or (side, written)
            tightly.append(
                f"{seconds(side.estimate.step_s)}/step ({one_line(side.plan)}): {_TIGHT}"
            )
            continue
        best = side, written
        if anywhere and isclose(side.estimate.step_s, ranked.estimate.step_s):
            break
    if best is None and tight is None and problems:
        raise problems[0]
    if best is None and now.estimate.fit_class != "fits":
        best, tightly = tight, []
    return Chosen(
        then=None if best is None else best[0],
        files={} if best is None else best[1].files,
        look_at=() if best is None else best[1].look_at,
        left_out=(*left_out, *tightly),
    )


def _is_better(step_s: float, now: Side, best: tuple[Side, Written] | None) -> bool:
    """Whether a step is worth a change; where the script does not fit, any that does is."""
    if best is not None:
        return step_s < best[0].estimate.step_s
    return not now.estimate.memory.fits or step_s < now.estimate.step_s * (1 - WORTH)


def side_of(launched: LaunchedPlan, name: str) -> Side:
    """What a script launches, with its estimate, under a name."""
    return Side(
        name=name,
        scenario=launched.scenario,
        plan=launched.plan,
        estimate=price(launched.scenario, launched.plan),
    )
