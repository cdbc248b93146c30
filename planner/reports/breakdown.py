"""Where the step goes and where the memory goes, as tables."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from planner.plan import MemoryComponents
from planner.reports.layout import Bar, numbers_table
from planner.reports.sentences import time_shares
from planner.wording.units import gib, percent, time_scale

if TYPE_CHECKING:
    from rich.table import Table

    from planner.plan import MemoryEstimate, Plan, StageMemory, TimeBreakdown

COMPONENT_HEADERS = {
    "weights": "weights",
    "gradients": "grads",
    "optimizer": "optim",
    "activations": "activ",
    "logits": "logits",
    "buffers": "buffers",
    "fixed": "fixed",
    "slack": "slack",
}


def time_table(time: TimeBreakdown) -> Table:
    """Exposed time by component, the largest first."""
    shares = time_shares(time)
    scale = time_scale(time.step_s)
    largest = shares[0][1]
    table = numbers_table(4)
    table.add_column("time", no_wrap=True)
    table.add_column(scale.unit, justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("")
    for label, share in shares:
        table.add_row(
            label, scale.number(share * time.step_s), percent(share), Bar(share / largest)
        )
    table.add_section()
    table.add_row("step", scale.number(time.step_s), percent(1.0), "")
    return table


def memory_table(plan: Plan, memory: MemoryEstimate) -> Table:
    """Peak memory by stage and component in GiB; equal neighbours share a row, components that
    are nowhere used have no column."""
    used = [
        field.name
        for field in fields(MemoryComponents)
        if any(getattr(stage.components, field.name) for stage in memory.per_stage)
    ]
    table = numbers_table(len(used) + 4)
    table.add_column("stage", justify="right", no_wrap=True)
    table.add_column("layers", justify="right", no_wrap=True)
    for name in used:
        table.add_column(COMPONENT_HEADERS[name], justify="right", no_wrap=True)
    table.add_column("peak", justify="right", no_wrap=True)
    table.add_column("spare", justify="right", no_wrap=True)
    layers = [stage.num_layers for stage in plan.stages]
    binding = memory.binding.stage
    for first, last, stage in _runs(memory, layers):
        table.add_row(
            str(first) if first == last else f"{first}-{last}",
            str(layers[first]),
            *(gib(getattr(stage.components, name)) for name in used),
            gib(stage.peak_bytes),
            gib(stage.spare_bytes),
            style="bold" if first <= binding <= last else "",
        )
    return table


def _runs(memory: MemoryEstimate, layers: list[int]) -> list[tuple[int, int, StageMemory]]:
    """Neighbours that need the same: (first stage, last stage, the first one's memory)."""
    runs: list[tuple[int, int, StageMemory]] = []
    for stage in memory.per_stage:
        if runs:
            first, last, start = runs[-1]
            same = (start.components, layers[first]) == (stage.components, layers[stage.stage])
            if same and last + 1 == stage.stage:
                runs[-1] = (first, stage.stage, start)
                continue
        runs.append((stage.stage, stage.stage, stage))
    return runs
