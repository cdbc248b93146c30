"""The report of a study: the front, how its series scale, and why points have no plan."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.reports.layout import FirstThatFits, bullets, heading, numbers_table, paragraph
from planner.sweeps.curves import NODES, crossovers, curves
from planner.wording.amounts import carbon, energy, money
from planner.wording.units import count, duration, percent, plural, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.specs.study.file import Objective
    from planner.sweeps.answers import PointAnswer
    from planner.sweeps.curves import Crossover, Curve
    from planner.sweeps.sweep import SweepResult

MOST_CURVES = 6
MOST_ROWS = 40
MOST_BESIDE = 8
"""Points that are so few that those outside the front are shown as well."""
MOST_REASONS = 8

_BETTER: dict[Objective, str] = {
    "time": "is faster",
    "cost": "costs less",
    "energy": "takes less energy",
    "carbon": "emits less carbon",
    "devices": "takes fewer devices",
}


def sweep_report(result: SweepResult) -> RenderableType:
    """The answer first: what nothing beats."""
    front = result.front
    parts: list[RenderableType] = [
        paragraph(f"{result.study.name}: {plural(len(result.points), 'point')}", style="bold"),
        paragraph(f"{tally(result)}."),
    ]
    if front:
        parts += [
            heading(f"Front: no other point beats these in {objective_words(result)}"),
            _points_table(result, front[:MOST_ROWS]),
        ]
        same = [
            axis.name for axis in result.study.axes if axis.name not in _differing(result, front)
        ]
        if same and len(result.study.axes) > 1:
            parts.append(
                paragraph(f"All: {_values({name: front[0].axes[name] for name in same})}.")
            )
        if len(front) > MOST_ROWS:
            parts.append(paragraph(f"{MOST_ROWS} of {plural(len(front), 'point')} are shown."))
    planned = [one for one in result.points if one.outcome == "planned"]
    if len(front) < len(planned) <= MOST_BESIDE:
        parts += [heading("Side by side"), _points_table(result, planned)]
    found = curves(result)
    if found:
        shown = worth_showing(found)
        parts += [heading("Tokens a second by nodes"), _curve_table(shown)]
        parts.append(bullets(curve_name(index, one) for index, one in enumerate(shown)))
        if len(shown) < len(found):
            parts.append(
                paragraph(f"{len(shown)} of {plural(len(found), 'series', '')} are shown.")
            )
    crossings = crossovers(result)
    if crossings:
        parts += [heading("Where the better one changes"), bullets(map(crossing, crossings))]
    said = reasons(result.points)
    if said:
        parts += [heading("Points without a plan"), bullets(said)]
    return Group(*parts)


def tally(result: SweepResult) -> str:
    """`24 have a plan (20 proven best); 8 are beaten by others whatever the plan`"""
    outcomes = Counter(one.outcome for one in result.points)
    planned = [one for one in result.points if one.outcome == "planned"]
    proven = sum(1 for one in planned if one.proven)
    worst = max((one.gap or 0.0 for one in planned), default=0.0)
    said = [f"{_points(len(planned), 'has', 'have')} a plan"]
    if planned:
        others = "other" if len(planned) - proven == 1 else "others"
        rest = (
            f", the {others} within {percent(worst)} of the best" if proven < len(planned) else ""
        )
        said[0] += f" ({count(proven)} proven best under the model{rest})"
    if outcomes["dominated"]:
        beaten = _points(outcomes["dominated"], "is", "are")
        said.append(f"{beaten} beaten by others whatever the plan")
    if outcomes["nothing fits"]:
        said.append(f"nothing fits on {count(outcomes['nothing fits'])}")
    if outcomes["refused"]:
        said.append(f"{count(outcomes['refused'])} cannot be asked for")
    over = sum(1 for one in planned if one.over_limits)
    if over:
        said.append(f"{_points(over, 'is', 'are')} beyond a limit")
    if result.reused:
        said.append(f"{_points(result.reused, 'was', 'were')} known before")
    return "; ".join(said)


def _points(number: int, one: str, several: str) -> str:
    """`1 has`, `24 have`."""
    return f"{count(number)} {one if number == 1 else several}"


def _points_table(result: SweepResult, points: Sequence[PointAnswer]) -> RenderableType:
    """Where not all of it fits, less of it: first without gaps and degrees, then what is no
    objective."""
    columns = list(figures(result, points))
    timed = any(name == "time" for name, _ in columns)
    wanted = {*result.study.objectives, *(() if timed else ("step",))}
    named = [one for one in columns if one[0] in wanted]
    return FirstThatFits(
        _point_rows(result, points, columns, proof=True),
        _point_rows(result, points, columns, proof=False),
        _point_rows(result, points, named, proof=True),
        _point_rows(result, points, named, proof=False),
    )


def _point_rows(
    result: SweepResult,
    points: Sequence[PointAnswer],
    columns: Sequence[tuple[str, list[str]]],
    *,
    proof: bool,
) -> Table:
    """`proof`: with degrees and gap."""
    axes = _differing(result, points)
    table = numbers_table(1 + len(axes) + len(columns) + 2 * proof)
    table.add_column("#", justify="right", no_wrap=True)
    for axis in axes:
        table.add_column(axis, overflow="fold")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    if proof:
        table.add_column("degrees", no_wrap=True)
        table.add_column("gap", justify="right", no_wrap=True)
    for index, one in enumerate(points):
        table.add_row(
            count(one.number),
            *(Text(one.axes[axis]) for axis in axes),
            *(texts[index] for _, texts in columns),
            *((Text(degrees(one)), percent(one.gap or 0.0)) if proof else ()),
        )
    return table


def _differing(result: SweepResult, points: Sequence[PointAnswer]) -> list[str]:
    """Axes in which points differ."""
    names = [axis.name for axis in result.study.axes]
    return [name for name in names if len({one.axes[name] for one in points}) > 1]


def figures(result: SweepResult, points: Sequence[PointAnswer]) -> Iterator[tuple[str, list[str]]]:
    """Columns of what is known: seconds of a step, and what the objectives are about."""
    yield "step", [seconds(one.step_s or 0.0) for one in points]
    if any(one.time_s != one.step_s for one in points):
        yield "time", [duration(one.time_s or 0.0) for one in points]
    if all(one.cost is not None for one in points):
        yield "cost", [money(one.currency or "", one.cost or 0.0)[0] for one in points]
    if all(one.energy_kwh is not None for one in points):
        yield "energy", [energy(one.energy_kwh or 0.0)[0] for one in points]
    if all(one.carbon_kg is not None for one in points):
        yield "carbon", [carbon(one.carbon_kg or 0.0)[0] for one in points]
    if "devices" in result.study.objectives:
        yield "devices", [count(one.devices or 0) for one in points]


def degrees(one: PointAnswer) -> str:
    """`t4 p8 d4 e8`: degrees above 1, the first three always."""
    chosen = {} if one.plan is None else one.plan["degrees"]
    always, letters = ("tensor", "pipeline", "data"), {"context": "c", "expert": "e"}
    parts = [f"{name[0]}{chosen.get(name, 1)}" for name in always]
    parts += [f"{short}{chosen[name]}" for name, short in letters.items() if chosen[name] > 1]
    return " ".join(parts)


def worth_showing(found: Sequence[Curve]) -> list[Curve]:
    """Curves with points on the front first, then those with most plans; in the order of the
    study."""

    def merit(curve: Curve) -> tuple[int, int]:
        fronts = sum(1 for one in curve.points if one.on_front)
        return fronts, sum(1 for one in curve.points if one.outcome == "planned")

    best = sorted(range(len(found)), key=lambda index: (*(-n for n in merit(found[index])), index))
    return [found[index] for index in sorted(best[:MOST_CURVES])]


def _curve_table(shown: Sequence[Curve]) -> RenderableType:
    table = numbers_table(1 + len(shown))
    table.add_column(NODES, justify="right", no_wrap=True)
    for index in range(len(shown)):
        table.add_column(_letter(index), justify="right", no_wrap=True)
    nodes = sorted({number for curve in shown for number in curve.by_nodes})
    for number in nodes:
        cells = (curve.by_nodes.get(number) for curve in shown)
        table.add_row(count(number), *(_rate(one) for one in cells))
    return table


def _rate(one: PointAnswer | None) -> str:
    if one is None or one.tokens_per_s is None:
        return "beaten" if one is not None and one.outcome == "dominated" else "-"
    return count(one.tokens_per_s)


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _values(axes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in axes.items()) or "the study"


def crossing(one: Crossover) -> str:
    rest = f" ({_values(one.rest)})" if one.rest else ""
    return (
        f"{one.axis} {one.one} {_BETTER[one.objective]} than {one.other} up to "
        f"{plural(one.before, 'node')}; from {count(one.after)} on {one.other} does{rest}"
        if one.objective != "time"
        else f"{one.axis} {one.one} is faster than {one.other} up to {plural(one.before, 'node')}; "
        f"from {count(one.after)} on {one.other} is{rest}"
    )


def reasons(points: Sequence[PointAnswer]) -> list[str]:
    """Why points have no plan, the most frequent first."""
    found = Counter(
        one.reason for one in points if one.outcome in ("nothing fits", "refused") and one.reason
    )
    said = [
        f"{plural(number, 'point')}: {reason}" for reason, number in found.most_common(MOST_REASONS)
    ]
    if len(found) > MOST_REASONS:
        said.append(plural(len(found) - MOST_REASONS, "other reason"))
    return said


def objective_words(result: SweepResult) -> str:
    """`time and cost`"""
    return " and ".join(", ".join(result.study.objectives).rsplit(", ", 1))


def curve_name(index: int, curve: Curve) -> str:
    """`A: cluster dgx-h100-16`"""
    return f"{_letter(index)}: {_values(curve.axes)}"
