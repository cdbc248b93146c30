"""The result of a study as JSON, as lines of JSON, and as tables."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.plan_document.text import rounded
from planner.sweeps.curves import crossovers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.sweeps.answers import PointAnswer
    from planner.sweeps.sweep import SweepResult

SCHEMA_ID = "planner/sweep/1"

_LEFT_OUT = ("rivals", "axes", "plan", "over_limits", "number", "digest", "outcome", "reason")
"""What tables hold in another form."""


def sweep_document(result: SweepResult) -> dict[str, Any]:
    """What `planner sweep --json` prints."""
    study = result.study
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "study": study.name,
        "axes": {axis.name: list(axis.texts) for axis in study.axes},
        "objectives": list(study.objectives),
        "points": [point_fields(one) for one in result.points],
        "front": [one.number for one in result.front],
        "crossovers": [asdict(one) for one in crossovers(result)],
    }


def point_fields(one: PointAnswer) -> dict[str, Any]:
    """A point in the order of its fields. Times are seconds, sizes are bytes."""
    fields: dict[str, Any] = rounded(asdict(one))
    del fields["rivals"]
    return fields


def json_lines(points: Sequence[PointAnswer]) -> str:
    """A line for every point."""
    lines = (json.dumps(point_fields(one), ensure_ascii=False) for one in points)
    return "".join(f"{line}\n" for line in lines)


def csv_text(result: SweepResult, points: Sequence[PointAnswer]) -> str:
    """A row for every point: its number, its axes, what came out, and the figures of its plan."""
    axes = [axis.name for axis in result.study.axes]
    rows = [_row(one, axes) for one in points]
    text = io.StringIO()
    names = list(rows[0]) if rows else ["point", *axes]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(one: PointAnswer, axes: Sequence[str]) -> dict[str, Any]:
    figures = {key: value for key, value in point_fields(one).items() if key not in _LEFT_OUT}
    plan = one.plan or {}
    degrees = plan.get("degrees", {})
    decided = {name: degrees.get(name) for name in ("tensor", "pipeline", "data", "context")}
    decided |= {name: degrees.get(name) for name in ("expert", "expert_tensor")}
    decided |= {name: plan.get(name) for name in ("micro_batch_size", "schedule", "virtual_stages")}
    return {
        "point": one.number,
        **{axis: one.axes[axis] for axis in axes},
        "outcome": one.outcome,
        **figures,
        **decided,
        "over_limits": " ".join(one.over_limits),
        "reason": one.reason,
        "digest": one.digest[:32],
    }
