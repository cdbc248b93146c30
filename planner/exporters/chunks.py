"""The chunks of a plan: their layers, and how many of them are recomputed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import Plan


def chunk_layers(plan: Plan) -> tuple[int, ...]:
    """Layers of every chunk in virtual-stage order, the order in which they hold the layers."""
    ranges = sorted(chunk for stage in plan.stages for chunk in stage.chunks)
    return tuple(end - start for start, end in ranges)


def recomputed_per_chunk(plan: Plan) -> int | None:
    """The smallest n of 1 or more such that recomputing the first n layers of every chunk gives
    the plan's `layers_per_stage`; None where no n does."""
    sizes = [[end - start for start, end in stage.chunks] for stage in plan.stages]
    for count in range(1, max(chunk_layers(plan)) + 1):
        found = tuple(sum(min(size, count) for size in chunks) for chunks in sizes)
        if found == plan.recompute.layers_per_stage:
            return count
    return None
