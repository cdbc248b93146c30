"""The chunks of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import Plan


def chunk_layers(plan: Plan) -> tuple[int, ...]:
    """Layers of every chunk in virtual-stage order, the order in which they hold the layers."""
    ranges = sorted(chunk for stage in plan.stages for chunk in stage.chunks)
    return tuple(end - start for start, end in ranges)
