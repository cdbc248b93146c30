"""The ranked plans as a table that sorts and filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.reports.page.html import Html, element, join
from planner.reports.page.parts import note, section
from planner.reports.ranking import TIED, legend, marks, shared, varying
from planner.reports.ranking_columns import TIGHT
from planner.wording.labels import degrees, one_line
from planner.wording.units import capacity, count, gib, percent, plural, time_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Plan, RankedPlan
    from planner.reports.page.content import PageContent
    from planner.reports.ranking_columns import Decision

PRINTED = 25
"""Rows of the table on paper."""


@dataclass(frozen=True, slots=True)
class TableCell:
    """What a cell shows, and the number by which its column is sorted; None: by its text."""

    text: str
    number: float | None = None
    mark: str = ""


def ranking(content: PageContent) -> Html | None:
    """None for a document without plans."""
    plans = content.answer.plans
    if not plans:
        return None
    search = content.answer.search
    shown = content.shown
    columns = _columns(content)
    said = [] if search is None else marks(plans, search.tied_within)
    common = shared([one.plan for one in plans])
    body = [_row(name, one, content) for name, one in shown]
    head = [
        element(
            "th",
            element("button", text, type="button", title=f"Sort by {title}"),
            scope="col",
            class_="number" if number else None,
            aria_sort="ascending" if text == "#" else None,
        )
        for text, title, number in columns
    ]
    return section(
        "plans",
        "Ranked plans" if search is not None else "The plan",
        *(note(text) for text in (*said, *([common] if common else []))),
        _controls(len(shown)) if len(shown) > 1 else None,
        element(
            "div",
            element(
                "table",
                element("caption", "Ranked plans", class_="hidden"),
                element("thead", element("tr", *head)),
                element("tbody", *body),
                id="ranking",
            ),
            class_="scroll tall",
        ),
        note(
            legend([one.plan for one in plans]),
            f" mine is the plan of {content.mine.name}." if content.mine else None,
            f" On paper: the first {PRINTED} rows." if len(shown) > PRINTED else None,
        ),
        wide=True,
    )


def _controls(rows: int) -> Html:
    return element(
        "p",
        element("label", "Filter ", for_="filter"),
        element("input", type="search", id="filter", placeholder="t4, interleaved, none …"),
        element(
            "label",
            element("input", type="checkbox", id="without-tight"),
            " without tight ones",
            class_="choice",
        ),
        element("span", plural(rows, "plan"), id="shown", role="status"),
        class_="controls",
        id="controls",
    )


def _columns(content: PageContent) -> list[tuple[str, str, bool]]:
    """(header, what it is in words, whether it holds numbers)."""
    plans = [one for _, one in content.shown]
    scale = time_scale(max(one.estimate.step_s for one in plans))
    return [
        ("#", "rank", True),
        (f"step {scale.unit}", "step time", True),
        ("vs 1", "step time against plan 1", True),
        ("peak GiB", "peak memory of the stage with the least room", True),
        *((one.header, one.name, one.number) for one in _decisions(content)),
        ("spare GiB", "memory left below the headroom", True),
        ("tokens/s", "tokens a second", True),
        ("MFU", "model FLOPs utilisation", True),
    ]


def _decisions(content: PageContent) -> tuple[Decision, ...]:
    return varying([one.plan for _, one in content.shown])


def _row(name: str, ranked: RankedPlan, content: PageContent) -> Html:
    cells = _cells(name, ranked, content)
    numbers = [number for _, _, number in _columns(content)]
    first, *rest = cells
    return element(
        "tr",
        element(
            "th",
            _shown(first),
            scope="row",
            class_="number",
            data_value=first.number,
        ),
        *(
            element(
                "td",
                _shown(cell),
                class_="number" if number else None,
                data_value=None if cell.number is None else repr(cell.number),
            )
            for cell, number in zip(rest, numbers[1:], strict=True)
        ),
        data_plan=name,
        data_tight=ranked.estimate.fit_class != "fits",
        data_words=_words(ranked.plan),
        class_="mine" if name == "mine" else ("first" if name == "1" else None),
        aria_label=f"Plan {name}: {one_line(ranked.plan)}",
        tabindex=0 if name == "1" else -1,
    )


def _shown(cell: TableCell) -> Html:
    return join(element("span", cell.mark, class_="mark") if cell.mark else None, cell.text)


def _cells(name: str, ranked: RankedPlan, content: PageContent) -> list[TableCell]:
    estimate, best = ranked.estimate, content.best.estimate
    stage = estimate.memory.binding
    scale = time_scale(max(one.estimate.step_s for _, one in content.shown))
    tied = ranked.rank > 1 and bool(ranked.tied_with_best)
    slower = estimate.step_s / best.step_s - 1
    order = float(ranked.rank) if name != "mine" else 0.0
    capacities = {capacity(one.estimate.memory.binding.capacity_bytes) for _, one in content.shown}
    peak = gib(stage.peak_bytes)
    if len(capacities) > 1:
        peak += f"/{capacity(stage.capacity_bytes)}"
    return [
        TableCell(name, order, TIED if tied else ""),
        TableCell(scale.number(estimate.step_s), estimate.step_s),
        TableCell("" if name == "1" else f"{slower:+.1%}", slower),
        TableCell(peak, float(stage.peak_bytes), TIGHT if estimate.fit_class != "fits" else ""),
        *(
            TableCell(one.show(ranked.plan), _number(one.show(ranked.plan)))
            for one in _decisions(content)
        ),
        TableCell(gib(stage.spare_bytes), float(stage.spare_bytes)),
        TableCell(count(estimate.tokens_per_s), estimate.tokens_per_s),
        TableCell(percent(estimate.mfu), estimate.mfu),
    ]


def _number(text: str) -> float | None:
    return float(text) if text.isdecimal() else None


def _words(plan: Plan) -> str:
    """What the filter looks through: `t4 p8 d32 mb1 interleaved×6 none …`."""
    more: Sequence[str] = [one.show(plan) for one in varying([plan]) if not one.number]
    return " ".join((degrees(plan.degrees), f"mb{plan.micro_batch_size}", one_line(plan), *more))
