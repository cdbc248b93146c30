"""The JSON document of `planner compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.comparison.checkpoints import Loading
    from planner.comparison.decisions import Decided
    from planner.comparison.parts import DifferingPart
    from planner.comparison.side import Side

SCHEMA_ID = "planner/comparison/1"


def to_document(
    sides: Sequence[Side],
    *,
    decisions: Sequence[Decided],
    time: Sequence[DifferingPart],
    memory: Sequence[DifferingPart],
    checkpoints: Sequence[Loading],
    flags: Sequence[tuple[str, str | None]],
) -> dict[str, Any]:
    """Seconds and bytes; lists of values are in the order of `plans`. `changes` has an entry for
    each plan after the first: whether the first plan's checkpoint loads, and how its launch
    arguments change (`flags` are pairs of a unified diff and why there is none)."""
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "plans": [_plan(side) for side in sides],
        "differences": {one.name: list(one.values) for one in decisions},
        "time": {part.name: list(part.amounts) for part in time},
        "memory": {part.name: list(part.amounts) for part in memory},
        "changes": [
            {
                "plan": side.name,
                "checkpoint": loads.verdict,
                "checkpoint_reason": loads.reason,
                "flags": None if problem else diff,
                "flags_problem": problem,
            }
            for side, loads, (diff, problem) in zip(sides[1:], checkpoints, flags, strict=True)
        ],
    }


def _plan(side: Side) -> dict[str, Any]:
    binding = side.estimate.memory.binding
    return {
        "name": side.name,
        "step_s": side.estimate.step_s,
        "tokens_per_s_per_device": side.estimate.tokens_per_s_per_device,
        "peak_bytes": binding.peak_bytes,
        "capacity_bytes": binding.capacity_bytes,
        "binding_stage": binding.stage,
        "fits": side.estimate.memory.fits,
        "fit_class": side.estimate.fit_class,
    }
