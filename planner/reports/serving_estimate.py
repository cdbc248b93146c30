"""The report of one serving replica: latencies, throughput, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.wording.units import count, gib, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.serving.estimate import Latency, ServingEstimate
    from planner.serving.scenario import ServingScenario


def serving_estimate_report(
    scenario: ServingScenario, found: ServingEstimate, missed: Sequence[str]
) -> RenderableType:
    """What a request waits, what a device gives, and what the KV cache holds."""
    devices, memory = scenario.degrees.devices, found.memory
    rate = found.output_tokens_per_s_per_device
    parts: list[RenderableType] = [
        paragraph(
            f"{count(round(rate * devices))} output tokens per second on "
            f"{plural(devices, 'device')}, {count(round(rate))} on each.",
            style="bold",
        ),
        paragraph(
            f"{scenario.model.name} in {scenario.weights}, KV cache in {scenario.kv}, "
            f"{scenario.engine.name} on {scenario.device.name}."
        ),
        heading("Latency in ms"),
        _latencies(found),
        heading("Memory of the fullest device"),
        bullets(
            (
                f"weights {gib(round(memory.weight_bytes))} GiB",
                f"KV cache {gib(round(memory.kv_bytes))} GiB: {count(memory.kv_tokens)} tokens",
            )
        ),
    ]
    if missed:
        parts += [heading("Limits of the load that are missed"), bullets(missed)]
    return Group(*parts)


def _latencies(found: ServingEstimate) -> Table:
    table = numbers_table(4)
    table.add_column("", no_wrap=True)
    for header in ("mean", "median", "99th percentile"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_row("first token", *_cells(found.ttft))
    if found.tpot is not None:
        table.add_row("each further token", *_cells(found.tpot))
    return table


def _cells(latency: Latency) -> tuple[str, ...]:
    seconds = (latency.mean_s, latency.median_s, latency.p99_s)
    return tuple(f"{1e3 * one:.1f}" for one in seconds)
