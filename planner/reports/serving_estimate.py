"""The report of one serving replica: latencies, throughput, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.specs.serving import serving_defaults
from planner.wording.units import capacity, count, gib, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.serving.estimate import Latency, ServingEstimate
    from planner.serving.memory import ServingMemory
    from planner.serving.scenario import ServingScenario

    Ranges = Mapping[str, tuple[float, float]]


def serving_estimate_report(
    scenario: ServingScenario,
    memory: ServingMemory,
    found: ServingEstimate | None,
    *,
    ranges: Ranges,
    missed: Sequence[str],
    changes: Sequence[str],
    assumptions: Sequence[str],
) -> RenderableType:
    """What a request waits, what a device gives, and what the KV cache holds. `found` is None where
    the cache has no room for a request; `ranges` are seconds, and tokens per second of a device."""
    what = paragraph(
        f"{scenario.model.name} in {scenario.weights}, KV cache in {scenario.kv}, "
        f"{scenario.engine.name} on {plural(scenario.degrees.devices, 'device')} of type "
        f"{scenario.device.name}."
    )
    parts: list[RenderableType] = []
    if found is None:
        parts += [paragraph(_no_room(scenario, memory), style="bold"), what]
    else:
        parts += [
            paragraph(_rate(scenario, found), style="bold"),
            paragraph(_ranges(ranges)),
            what,
            heading("Latency in ms"),
            _latencies(found),
        ]
    size = capacity(round(scenario.device.memory.capacity.value))
    parts += [heading(f"Memory of the fullest device, GiB of {size}"), bullets(_memory(memory))]
    if missed:
        parts += [heading("Limits of the load that are missed"), bullets(missed)]
    if changes:
        parts += [heading("Changes that would fit, each alone"), bullets(changes)]
    return Group(*parts, heading("Assumptions"), bullets(assumptions))


def _rate(scenario: ServingScenario, found: ServingEstimate) -> str:
    devices, rate = scenario.degrees.devices, found.output_tokens_per_s_per_device
    return (
        f"Fits: {count(round(rate * devices))} output tokens per second on "
        f"{plural(devices, 'device')}, {count(round(rate))} on each."
    )


def _ranges(ranges: Ranges) -> str:
    """`90% ranges: first token 40.1–95.3 ms, …`."""
    said = []
    for name, label in (("ttft_mean_s", "first token"), ("tpot_mean_s", "each further token")):
        if name in ranges:
            ends = "–".join(f"{1e3 * end:.1f}" for end in ranges[name])
            said.append(f"{label} {ends} ms")
    ends = "–".join(count(round(end)) for end in ranges["output_tokens_per_s_per_device"])
    level = f"{serving_defaults().ranges.level:.0%} ranges of the means"
    return f"{level}: {', '.join(said)}, {ends} output tokens per second on each device."


def _no_room(scenario: ServingScenario, memory: ServingMemory) -> str:
    weights = gib(round(memory.weight_bytes))
    size = capacity(round(scenario.device.memory.capacity.value))
    if not memory.kv_tokens:
        return (
            f"Does not fit: weights take {weights} of {size} GiB on a device, and nothing is left "
            "for the KV cache."
        )
    return (
        f"Does not fit: the KV cache has room for {count(memory.kv_tokens)} tokens, and the "
        "longest request has more."
    )


def _memory(memory: ServingMemory) -> tuple[str, ...]:
    return (
        f"weights {gib(round(memory.weight_bytes))}",
        f"KV cache {gib(round(memory.kv_bytes))}: {count(memory.kv_tokens)} tokens",
        f"activations {gib(round(memory.activation_bytes))}",
    )


def _latencies(found: ServingEstimate) -> Table:
    table = numbers_table(4)
    table.add_column("", no_wrap=True)
    for header in ("mean", "median", "p99"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_row("first token (TTFT)", *_cells(found.ttft))
    if found.tpot is not None:
        table.add_row("each further token (TPOT)", *_cells(found.tpot))
    return table


def _cells(latency: Latency) -> tuple[str, ...]:
    seconds = (latency.mean_s, latency.median_s, latency.p99_s)
    return tuple(f"{1e3 * one:.1f}" for one in seconds)
