"""The report of one serving replica: latencies, throughput, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.specs.serving import serving_defaults
from planner.wording.units import capacity, count, gib, plural, three_digits, time_scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.serving.estimate import ServingEstimate
    from planner.serving.latency import Latency
    from planner.serving.memory import ServingMemory
    from planner.serving.open_estimate import Intensity
    from planner.serving.scenario import ServingScenario

    Ranges = Mapping[str, tuple[float, float]]


def serving_estimate_report(
    scenario: ServingScenario,
    memory: ServingMemory,
    found: ServingEstimate | None,
    come: Intensity | None,
    *,
    ranges: Ranges,
    missed: Sequence[str],
    changes: Sequence[str],
    assumptions: Sequence[str],
) -> RenderableType:
    """What a request waits, what a device gives, and what the KV cache holds. `found` is None where
    the cache has no room for a request, or where more requests `come` than are answered; `ranges`
    are seconds, and tokens per second of a device."""
    what = paragraph(
        f"{scenario.model.name} in {scenario.weights}, KV cache in {scenario.kv}, "
        f"{scenario.engine.name} on {plural(scenario.degrees.devices, 'device')} of type "
        f"{scenario.device.name}."
    )
    parts: list[RenderableType] = []
    if found is None:
        why = _no_room(scenario, memory) if come is None else f"Does not keep up: {come}."
        parts += [paragraph(why, style="bold"), what]
    else:
        parts += [
            paragraph(_rate(scenario, found), style="bold"),
            paragraph(_ranges(ranges, found)),
            *([] if come is None else [paragraph(_keeps_up(come))]),
            what,
            heading("Latency"),
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
        f"Fits: {three_digits(rate * devices)} output tokens per second on "
        f"{plural(devices, 'device')}, {three_digits(rate)} on each."
    )


def _keeps_up(come: Intensity) -> str:
    return (
        f"Keeps up: {come.rate_per_s:.4g} requests come in a second, {come.share:.0%} of the "
        f"{come.highest_per_s:.4g} that the replica answers at most."
    )


def _ranges(ranges: Ranges, found: ServingEstimate) -> str:
    """`90% ranges of the means: first token 40.1–95.3 ms, …`."""
    said = []
    for name, label, latency in (
        ("ttft_mean_s", "first token", found.ttft),
        ("tpot_mean_s", "each further token", found.tpot),
    ):
        if latency is not None:
            scale = time_scale(latency.mean_s)
            said.append(f"{label} {'–'.join(map(scale.number, ranges[name]))} {scale.unit}")
    ends = "–".join(map(three_digits, ranges["output_tokens_per_s_per_device"]))
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
    table = numbers_table(6)
    table.add_column("", no_wrap=True)
    for header in ("mean", "median", "p90", "p95", "p99"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_row(*_cells("first token (TTFT)", found.ttft))
    if found.tpot is not None:
        table.add_row(*_cells("each further token (TPOT)", found.tpot))
    return table


def _cells(label: str, latency: Latency) -> tuple[str, ...]:
    scale = time_scale(latency.mean_s)
    numbers = map(scale.number, latency.figures)
    return (f"{label}, {scale.unit}", *numbers)
