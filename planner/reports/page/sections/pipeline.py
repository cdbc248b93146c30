"""One step as it passes: every stage's passes, what they wait for, reductions and the optimizer.

The picture is drawn by the page's script from columns: of each pass the gap before it, and the
number of its (duration, kind) among the few that there are. Both are in units of 10 us.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from planner.plan_document.page import packed
from planner.reports.page.bars import legend
from planner.reports.page.html import Html, element
from planner.reports.page.palette import PASSES
from planner.reports.page.parts import note, same_as_table, section, table
from planner.schedule.passes import PassKind
from planner.training.timeline.spans import OPTIMIZER, StageSpans, reductions, stage_spans, updates
from planner.wording.units import count, percent, plural, seconds, time_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.reports.page.content import PageContent
    from planner.training.timeline import StepTimeline

UNIT_S = 1e-5
CRITICAL = 1 << 15
"""Added to the number of a pass that the step waits for."""
KINDS = {
    PassKind.FORWARD: "forward",
    PassKind.BACKWARD: "backward",
    PassKind.BACKWARD_INPUT: "backward",
    PassKind.BACKWARD_WEIGHT: "weight_gradient",
    PassKind.VOCAB_FORWARD: "vocabulary",
    PassKind.VOCAB_BACKWARD: "vocabulary",
    PassKind.RECOMPUTE: "recompute",
}
"""The colour of every kind of pass."""
LABELS = {
    "forward": "forward",
    "backward": "backward",
    "weight_gradient": "weight gradients",
    "recompute": "recomputation",
    "vocabulary": "shared vocabulary",
    "reduction": "gradient reduction, weights gathered",
    "optimizer": "optimizer",
}
ROW, AXIS = 18, 24
"""Pixels of a stage and of the axis."""
HEIGHTS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of stages for which the style has a height; more stages share the tallest."""


def pipeline(content: PageContent) -> Html | None:
    """Of plan 1. None for a document without plans."""
    if not content.answer.plans:
        return None
    title = "Pipeline of one step"
    if content.inputs is None:
        return section("pipeline", title, note(content.left_out), wide=True)
    step = content.inputs.timeline
    rows = stage_spans(step.timeline)
    data, header = encoded(step, rows)
    passes = sum(len(row.start_s) for row in rows)
    tall = next((most for most in HEIGHTS if len(rows) <= most), HEIGHTS[-1])
    return section(
        "pipeline",
        title,
        note(
            f"Plan 1: {plural(passes, 'pass', 'es')} on {plural(len(rows), 'stage')}. The step "
            "waits for passes with a line below them; where a row is empty its stage is idle. "
            f"Device jitter ({seconds(step.jitter_s)}) has no place of its own, so the picture "
            "ends that much before the step."
        ),
        element(
            "p",
            *(
                element("button", said, type="button", data_zoom=name, aria_label=words)
                for name, said, words in (
                    ("in", "+", "Zoom in"),
                    ("out", "−", "Zoom out"),
                    ("all", "Whole step", "Show the whole step"),
                    ("first", "First passes", "Show the first passes"),
                    ("last", "Last passes", "Show the last passes"),
                )
            ),
            element("span", "", id="pipeline-shown", class_="note", role="status"),
            class_="controls tools",
        ),
        element(
            "div",
            element(
                "canvas",
                id="pipeline-picture",
                class_=f"rows{tall}",
                tabindex=0,
                role="img",
                aria_label=f"{plural(len(rows), 'stage')} over time; + and − zoom, arrows move, "
                "Home shows the whole step. The table below has the idle time of each stage.",
                data_config=json.dumps(header, separators=(",", ":")),
            ),
            class_="picture",
        ),
        element("p", "", id="pipeline-readout", class_="note readout", aria_hidden="true"),
        legend(PASSES, LABELS, _used(rows, step)),
        element("script", Html(data), type="text/plain", id="pipeline-data"),
        same_as_table(_table(step, rows)),
        wide=True,
    )


def encoded(step: StepTimeline, rows: Sequence[StageSpans]) -> tuple[str, dict[str, object]]:
    """The columns, packed, and what is needed to read them: passes of each stage, the durations
    and kinds that occur, other spans, all times in units of `UNIT_S`.

    The columns are little-endian: the gaps of all stages as int32, then as many numbers as uint16.
    """
    known: dict[tuple[int, str], int] = {}
    gaps, codes = [], []
    for row in rows:
        starts = np.rint(row.start_s / UNIT_S).astype(np.int64)
        lasting = np.rint((row.end_s - row.start_s) / UNIT_S).astype(np.int64)
        ends = starts + lasting
        gaps.append(starts - np.concatenate(([0], ends[:-1])))
        pairs = zip(lasting.tolist(), row.kind.tolist(), strict=True)
        numbers = [
            known.setdefault((length, KINDS[PassKind(kind)]), len(known)) for length, kind in pairs
        ]
        codes.append(np.array(numbers, dtype=np.int64) + CRITICAL * row.critical)
    columns = (
        np.concatenate(gaps).astype("<i4").tobytes() + np.concatenate(codes).astype("<u2").tobytes()
    )
    extra = [
        (
            one.stage,
            "optimizer" if one.activity == OPTIMIZER else "reduction",
            round(one.start_s / UNIT_S),
            round(one.end_s / UNIT_S),
            one.activity.replace("_", " "),
        )
        for one in (*reductions(step.timeline), *updates(step))
    ]
    header: dict[str, object] = {
        "unit": UNIT_S,
        "critical": CRITICAL,
        "counts": [len(row.start_s) for row in rows],
        "lasting": list(known),
        "extra": extra,
        "end": round((step.step_s - step.jitter_s) / UNIT_S),
    }
    return packed(columns), header


def _used(rows: Sequence[StageSpans], step: StepTimeline) -> list[str]:
    used = {KINDS[PassKind(kind)] for row in rows for kind in np.unique(row.kind).tolist()}
    used |= {"optimizer"}
    if any(True for _ in reductions(step.timeline)) or step.gather_s:
        used.add("reduction")
    return sorted(used)


def _table(step: StepTimeline, rows: Sequence[StageSpans]) -> Html:
    end_s = step.timeline.pass_span_s
    scale = time_scale(end_s)
    busy = step.timeline.busy_s.tolist()
    body = [
        (
            str(stage),
            count(len(row.start_s)),
            scale.number(float(row.start_s[0])),
            scale.number(float(row.end_s[-1])),
            scale.number(busy[stage]),
            percent(1 - busy[stage] / end_s),
        )
        for stage, row in enumerate(rows)
    ]
    return table(
        f"Passes of each stage, {scale.unit}; idle is a share of the {scale.text(end_s)} until the "
        "last pass",
        ["stage", "passes", "first starts", "last ends", "busy", "idle"],
        body,
    )
