"""Step time against peak memory of every combination that fits.

What is drawn of a combination that was not priced in full is a lower bound of its step. Where the
bounds of the listed plans lie close below their steps, the fastest of the cloud may be called a
front; where they do not, a front of bounds would suggest plans that there are not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planner.reports.page.html import Html, element
from planner.reports.page.parts import note, same_as_table, section, table
from planner.wording.labels import one_line
from planner.wording.units import GIB, count, gib, percent, plural, time_scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from planner.plan import Plan, RankedPlan
    from planner.reports.page.content import PageContent
    from planner.training.search.result import Cloud

CLOSE = 0.05
"""How far below the steps of the listed plans bounds may lie for the cloud to have a front."""
JUDGED = 10
"""The fastest plans, by which the bounds are judged."""
SLOWEST = 4.0
"""Combinations that take this many times as long as the fastest are not drawn."""
LISTED = 40
"""Points of the front that the table lists."""

MODULES = (
    "Dots have no modules chosen: plans that recompute or offload single modules are rings alone, "
    "and may be faster than every dot."
)

Point = tuple[float, int]
"""Seconds of a step and bytes of its peak."""


def cloud(content: PageContent) -> Html | None:
    """None for a document without plans."""
    search = content.answer.search
    if not content.answer.plans or search is None:
        return None
    known = search.cloud
    if known is None or not known.step_bound_s:
        return section(
            "cloud",
            "Time against memory",
            note(
                "Left out: the file holds the listed plans alone. planner search --cloud adds "
                "every combination that fits."
            ),
        )
    loose = looseness(known, content.answer.plans[:JUDGED])
    tight_bounds = loose <= CLOSE
    slowest_s = SLOWEST * min(known.step_bound_s)
    usable = max(
        stage.capacity_bytes - stage.headroom_bytes
        for one in content.answer.plans
        for stage in one.estimate.memory.per_stage
    )
    every = list(zip(known.step_bound_s, known.peak_bytes, strict=True))
    points = [point for point in every if point[1] <= usable]
    drawn = sum(1 for bound_s, _ in points if bound_s <= slowest_s)
    priced = [(one.estimate.step_s, _peak(one)) for one in content.answer.plans]
    line = front([*priced, *points] if tight_bounds else priced)
    return section(
        "cloud",
        "Time against memory",
        note(_said(drawn, len(points) - drawn, loose, tight_bounds)),
        note(MODULES) if any(one.plan.chooses_modules for one in content.answer.plans) else None,
        note(_elsewhere(len(every) - len(points))) if len(points) < len(every) else None,
        element(
            "div",
            element(
                "canvas",
                id="cloud-picture",
                role="img",
                aria_label=f"{count(drawn)} combinations by step time and peak memory; the table "
                "below lists the fastest for their memory.",
                data_config=_config(content, line, slowest_s, usable, tight_bounds),
            ),
            class_="picture",
        ),
        element("p", "", id="cloud-readout", class_="note readout", aria_hidden="true"),
        same_as_table(_table(line, known, content)),
    )


USUAL: dict[str, object] = {
    "expert_overlap": False,
    "dispatch_pieces": 1,
    "shard_over": "all",
    "optimizer_offload": 0.0,
    "weight_offload": False,
    "activation_offload": 0.0,
}
"""Values of axes that a cloud leaves out where all combinations agree."""


def looseness(known: Cloud, plans: Sequence[RankedPlan]) -> float:
    """The largest share by which the bound of one of some plans lies below its step."""
    names = list(known.axes)
    axes = {*USUAL, *names}
    wanted = {_key(one.plan, axes): one.estimate.step_s for one in plans}
    found = 0.0
    for bound_s, values in zip(
        known.step_bound_s, zip(*known.axes.values(), strict=True), strict=True
    ):
        combination = {**USUAL, **dict(zip(names, values, strict=True))}
        step_s = wanted.get(_sorted(combination, axes))
        if step_s is not None:
            found = max(found, 1 - bound_s / step_s)
    return found


def front(points: Sequence[Point]) -> list[Point]:
    """Of points, those that no other is both faster and smaller than, the fastest first."""
    least: int | None = None
    found = []
    for step_s, peak in sorted(points):
        if least is None or peak < least:
            least = peak
            found.append((step_s, peak))
    return found


def _key(plan: Plan, axes: Set[str]) -> tuple[tuple[str, object], ...]:
    """A plan's values of these axes."""
    return _sorted(plan.choices, axes)


def _sorted(values: Mapping[str, object], axes: Set[str]) -> tuple[tuple[str, object], ...]:
    """Values of these axes, without the dispatcher where there is nothing to dispatch."""
    left_out = ("dispatcher",) if values["expert"] == 1 else ()
    return tuple(sorted((k, v) for k, v in values.items() if k in axes and k not in left_out))


def _peak(ranked: RankedPlan) -> int:
    return ranked.estimate.memory.binding.peak_bytes


def _said(drawn: int, slower: int, loose: float, tight_bounds: bool) -> str:
    out = f" ({count(slower)} slower by more than {SLOWEST:g} times left out)" if slower else ""
    dots = f"Each dot is one of {count(drawn)} combinations that fit{out}; rings are listed plans."
    if tight_bounds:
        return (
            f"{dots} Dots are lower bounds of the step (where nodes are alike, with the usual "
            f"stage layout), for the fastest plans at most {percent(loose)} below it. The line is "
            "the front: no dot or ring lies left of it, and less time takes more memory."
        )
    return (
        f"{dots} A combination cannot be faster than its dot and may be much slower: the dots of "
        f"the fastest plans lie up to {percent(loose)} below their steps. The line joins listed "
        "plans alone."
    )


def _elsewhere(number: int) -> str:
    return (
        f"Not drawn: {plural(number, 'combination')} that fit with another stage layout than the "
        "usual one."
    )


def _config(
    content: PageContent, line: Sequence[Point], slowest_s: float, usable: int, close: bool
) -> str:
    """What the picture adds to the cloud of the document."""
    capacity_bytes = max(one.capacity_bytes for one in content.best.estimate.memory.per_stage)
    marks = []
    for name, ranked in content.shown:
        estimate, known = ranked.estimate, ranked.estimate.confidence
        mark: dict[str, object] = {
            "name": name,
            "x": estimate.step_s,
            "y": _peak(ranked),
            "words": one_line(ranked.plan),
        }
        if known is not None:
            mark["xs"] = known.step.around(estimate.step_s)
            mark["ys"] = known.memory.around(_peak(ranked))
        marks.append(mark)
    return json.dumps(
        {
            "front": line,
            "close": close,
            "slowest": slowest_s,
            "capacity": capacity_bytes,
            "usable": usable,
            "marks": marks,
            "gib": GIB,
        },
        separators=(",", ":"),
    )


def _table(line: Sequence[Point], known: Cloud, content: PageContent) -> Html:
    names = {(one.estimate.step_s, _peak(one)): one_line(one.plan) for one in content.answer.plans}
    names |= {
        point: _words({axis: values[at] for axis, values in known.axes.items()})
        for at, point in enumerate(zip(known.step_bound_s, known.peak_bytes, strict=True))
        if point not in names
    }
    scale = time_scale(max(step_s for step_s, _ in line))
    return table(
        "The fastest for their memory" + (f", the first {LISTED}" if len(line) > LISTED else ""),
        ["combination", f"step {scale.unit}", "peak GiB"],
        [(names[point], scale.number(point[0]), gib(point[1])) for point in line[:LISTED]],
    )


def _words(values: dict[str, int | float | str | bool]) -> str:
    letters = {"tensor": "t", "pipeline": "p", "data": "d"}
    more = {"context": "c", "expert": "e", "expert_tensor": "et"}
    degrees = [f"{letter}{values[axis]}" for axis, letter in letters.items()]
    degrees += [f"{letter}{values[axis]}" for axis, letter in more.items() if values[axis] != 1]
    chunks = values["virtual_stages"]
    schedule = f"{values['schedule']}{f'×{chunks}' if chunks != 1 else ''}"
    return (
        f"{' '.join(degrees)}, micro-batch {values['micro_batch_size']}, {schedule}, "
        f"recompute {values['recompute']}"
    )
