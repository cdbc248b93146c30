"""The JSON document of `planner explain`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from planner import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.explanation.levers import Lever
    from planner.plan import RankedPlan

SCHEMA_ID = "planner/explanation/1"


def to_document(
    ranked: RankedPlan,
    *,
    hardware: Sequence[Lever],
    decisions: Sequence[Lever],
    why_not: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Seconds and bytes; a gain is a share of the time per token and device. `time` has the parts
    of the step."""
    binding = ranked.estimate.memory.binding
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "step_s": ranked.estimate.step_s,
        "time": asdict(ranked.estimate.time),
        "peak_bytes": binding.peak_bytes,
        "capacity_bytes": binding.capacity_bytes,
        "binding_stage": binding.stage,
        "hardware": [asdict(lever) for lever in hardware],
        "decisions": [asdict(lever) for lever in decisions],
        "why_not": why_not,
    }
