"""A study as one HTML page: its front, how its series scale, where the better one changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.page.html import element, join
from planner.reports.page.page import shell
from planner.reports.page.parts import bullets, note, same_as_table, section, table
from planner.reports.page.plot import Plot, picture
from planner.reports.sweep import (
    crossing,
    curve_name,
    degrees,
    figures,
    objective_words,
    reasons,
    tally,
    worth_showing,
)
from planner.sweeps.curves import crossovers, curves
from planner.wording.units import count, percent, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.reports.page.html import Html
    from planner.specs.study.file import Objective
    from planner.sweeps.answers import PointAnswer
    from planner.sweeps.curves import Curve
    from planner.sweeps.sweep import SweepResult

_UNITS: dict[Objective, tuple[str, float]] = {
    "time": ("hours", 3600.0),
    "cost": ("cost", 1.0),
    "energy": ("energy, kWh", 1.0),
    "carbon": ("carbon, kg", 1.0),
    "devices": ("devices", 1.0),
}
"""What an axis is labelled, and what its figures are divided by."""


def study_page(result: SweepResult) -> str:
    """The text of the HTML file; the same result gives the same text."""
    made = (_front(result), _scaling(result), _changes(result), _without_plan(result))
    title = f"{result.study.name}: {plural(len(result.points), 'point')}"
    body = join(
        element("header", element("h1", title), element("p", f"{tally(result)}.")),
        element("main", *(one for one in made if one is not None)),
    )
    return shell(f"{result.study.name}: planner sweep", body)


def _front(result: SweepResult) -> Html | None:
    if not result.front:
        return None
    objectives = result.study.objectives
    pictures: list[Html] = []
    if len(objectives) > 1:
        pictures = picture(_trade_off(result, objectives[0], objectives[1]))
    return section(
        "front",
        "Front",
        note(f"No other point beats these in {objective_words(result)}."),
        *pictures,
        _front_table(result),
    )


def _trade_off(result: SweepResult, across: Objective, up: Objective) -> Plot:
    """Every point with a plan; those of the front are joined."""
    (x_label, x_unit), (y_label, y_unit) = _unit(result, across), _unit(result, up)

    def places(points: Sequence[PointAnswer]) -> list[tuple[float, float]]:
        pairs = [(one.figure(across), one.figure(up)) for one in points]
        return sorted((x / x_unit, y / y_unit) for x, y in pairs if x is not None and y is not None)

    return Plot(
        x_label=x_label,
        y_label=y_label,
        curves={"": tuple(places(result.front))},
        others=tuple(places([one for one in result.points if not one.on_front])),
    )


def _unit(result: SweepResult, objective: Objective) -> tuple[str, float]:
    """The label of an axis, and what its figures are divided by."""
    longest_s = max((one.time_s or 0.0 for one in result.points), default=0.0)
    short = objective == "time" and longest_s < _UNITS["time"][1]
    return ("seconds", 1.0) if short else _UNITS[objective]


def _front_table(result: SweepResult) -> Html:
    axes = [axis.name for axis in result.study.axes]
    columns = list(figures(result, result.front))
    rows = [
        (
            str(one.number),
            *(one.axes[axis] for axis in axes),
            degrees(one),
            *(texts[index] for _, texts in columns),
            percent(one.gap or 0.0),
        )
        for index, one in enumerate(result.front)
    ]
    names = ["point", *axes, "degrees", *(name for name, _ in columns), "gap"]
    return table("Points of the front", names, rows, text_columns=len(axes) + 2)


def _scaling(result: SweepResult) -> Html | None:
    found = curves(result)
    shown = worth_showing(found)
    if not any(_rates(one) for one in shown):
        return None
    names = [curve_name(index, one) for index, one in enumerate(shown)]
    plot = Plot(
        x_label="nodes",
        y_label="tokens a second",
        curves={name[:1]: tuple(_rates(one)) for name, one in zip(names, shown, strict=True)},
    )
    left_out = len(found) - len(shown)
    return section(
        "scaling",
        "Tokens a second by nodes",
        bullets(names),
        *([note(f"{plural(left_out, 'more series', '')} are in the tables.")] if left_out else []),
        *picture(plot),
        same_as_table(_rate_table(shown)),
    )


def _rates(curve: Curve) -> list[tuple[float, float]]:
    rates = [(nodes, one.tokens_per_s) for nodes, one in curve.by_nodes.items()]
    return [(float(nodes), rate) for nodes, rate in rates if rate is not None]


def _rate_table(shown: Sequence[Curve]) -> Html:
    nodes = sorted({number for curve in shown for number in curve.by_nodes})
    rows = []
    for number in nodes:
        cells = [dict(_rates(curve)).get(float(number)) for curve in shown]
        rows.append((count(number), *("" if one is None else count(one) for one in cells)))
    names = ["nodes", *(curve_name(index, one)[:1] for index, one in enumerate(shown))]
    return table("Tokens a second of the best plan", names, rows)


def _changes(result: SweepResult) -> Html | None:
    said = [crossing(one) for one in crossovers(result)]
    return section("crossovers", "Where the better one changes", bullets(said)) if said else None


def _without_plan(result: SweepResult) -> Html | None:
    said = reasons(result.points)
    return section("without-plan", "Points without a plan", bullets(said)) if said else None
