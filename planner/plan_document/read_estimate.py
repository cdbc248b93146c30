"""Reading back what a plan costs: its time, its memory, and how sure both are."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from planner.plan import (
    PEAK_PHASES,
    Confidence,
    DeviceGroup,
    Estimate,
    Evidence,
    Goodput,
    HostUse,
    Interval,
    MemoryComponents,
    MemoryEstimate,
    Spending,
    StageMemory,
    TimeBreakdown,
)
from planner.plan_document.nodes import LARGEST_COUNT_BYTES
from planner.plan_document.schema_estimate import TIME_ONLY_WHERE_SPENT
from planner.plan_document.write_estimate import TERA
from planner.specs.units import MOST_TOKENS

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.plan_document.nodes import Node


def read_estimate(node: Node, plan: Plan) -> Estimate:
    """What a plan costs. Raises InputError with the place."""
    time = TimeBreakdown(
        **{
            one.name: found.number(at_least=0)
            for one in fields(TimeBreakdown)
            for found in (_seconds(node["time"], one.name),)
            if found is not None
        }
    )
    if not time.step_s:
        node["time"].fail("a step takes longer than 0 s")
    devices = plan.degrees.devices
    flop_per_s = node["model_tflops_per_device"].number(at_least=0) * TERA
    mfu = node["mfu"].number(at_least=0)
    memory = MemoryEstimate(
        per_stage=tuple(_stage_memory(one) for one in node["memory"]["per_stage"].items()),
        host=_host(node["memory"].get("host")),
    )
    if not memory.per_stage:
        node["memory"]["per_stage"].fail("at least one stage is needed")
    return Estimate(
        time=time,
        time_detail={
            name: one.number(at_least=float("-inf"))
            for name, one in node["time_detail"].fields().items()
        },
        memory=memory,
        tokens_per_step=round(node["tokens_per_s"].number(at_least=0) * time.step_s),
        devices=devices,
        model_flops_per_step=flop_per_s * time.step_s * devices,
        peak_flop_per_s=flop_per_s / mfu if mfu else 1.0,
        assumptions=tuple(one.text() for one in node["assumptions"].items()),
        confidence=_confidence(node["confidence"], time.step_s, memory.binding.peak_bytes),
        device_groups=_device_groups(node.get("device_groups")),
        goodput=_goodput(node.get("goodput")),
        tokens=_tokens(node.get("whole_job")),
        spending=_spending(node.get("spending")),
    )


def _goodput(node: Node | None) -> Goodput | None:
    if node is None:
        return None
    checkpoint, spares = node["checkpoint"], node["spares"]
    needed = spares["needed"]
    return Goodput(
        share=node["share"].number(at_least=0),
        between_failures_s=node["between_failures_s"].number(at_least=0),
        restart_s=node["restart_s"].number(at_least=0),
        checkpoint_bytes=bytes_of(checkpoint["bytes"]),
        stall_s=checkpoint["stall_s"].number(at_least=0),
        interval_s=checkpoint["interval_s"].number(at_least=0),
        spares=spares["given"].count(),
        spares_needed=None if needed.value is None else needed.count(),
        chance=spares["chance"].number(at_least=0, below=1),
        available=_one_if_missing(node.get("available")),
    )


def _one_if_missing(node: Node | None) -> float:
    return 1.0 if node is None else node.number(at_least=0)


def _spending(node: Node | None) -> Spending | None:
    if node is None:
        return None

    return Spending(
        currency=node["currency"].optional_text(),
        devices_per_hour=node["devices_per_hour"].optional_number(at_least=0),
        egress_per_step=node["egress_per_step"].number(at_least=0),
        power_w=node["power_w"].optional_number(at_least=0),
        carbon_g_per_kwh=node["carbon_g_per_kwh"].optional_number(at_least=0),
        tariff_per_kwh=node["tariff_per_kwh"].optional_number(at_least=0),
    )


def _tokens(node: Node | None) -> int | None:
    return None if node is None else node["tokens"].count(at_least=1, at_most=MOST_TOKENS)


def _seconds(node: Node, name: str) -> Node | None:
    return node.get(name) if name in TIME_ONLY_WHERE_SPENT else node[name]


def _host(node: Node | None) -> HostUse | None:
    if node is None:
        return None
    capacity = node["capacity_bytes"]
    return HostUse(
        peak_bytes=bytes_of(node["peak_bytes"]),
        capacity_bytes=None if capacity.value is None else bytes_of(capacity),
    )


def _device_groups(node: Node | None) -> tuple[DeviceGroup, ...]:
    found = []
    for one in () if node is None else node.items():
        stages = [stage.count() for stage in one["stages"].items()]
        if len(stages) != 2:
            one["stages"].fail("the first and the last stage are needed")
        first, last = stages
        found.append(
            DeviceGroup(
                first_stage=first,
                last_stage=last,
                devices=tuple(name.text() for name in one["devices"].items()),
                hosts=tuple(name.text() for name in one["hosts"].items()),
            )
        )
    return tuple(found)


def _confidence(node: Node, step_s: float, peak_bytes: int) -> Confidence | None:
    if node.value is None:
        return None
    step, peak = node["step_s"], node["memory_peak_bytes"]
    return Confidence(
        level=step["level"].number(at_least=0, below=1),
        step=_interval(step, step_s),
        memory=_interval(peak, peak_bytes),
        notes=tuple(one.text() for one in node["notes"].items()),
        evidence=_evidence(node.get("evidence")),
    )


def _evidence(node: Node | None) -> Evidence | None:
    if node is None:
        return None
    return Evidence(**{one.name: node[one.name].count() for one in fields(Evidence)})


def _interval(node: Node, value: float) -> Interval:
    if not value:
        return Interval()
    low, high = (node[end].number(at_least=0) / value for end in ("low", "high"))
    return Interval(low=low, high=high)


def _stage_memory(node: Node) -> StageMemory:
    other = node.get("other_peak")
    return StageMemory(
        stage=node["stage"].count(),
        peak_phase=node["peak_phase"].text(PEAK_PHASES),
        components=_components(node["components"]),
        capacity_bytes=bytes_of(node["capacity_bytes"]),
        headroom_bytes=bytes_of(node["headroom_bytes"]),
        other_components=None if other is None else _components(other["components"]),
    )


def _components(node: Node) -> MemoryComponents:
    return MemoryComponents(
        **{one.name: bytes_of(node[one.name]) for one in fields(MemoryComponents)}
    )


def bytes_of(node: Node) -> int:
    """A count of bytes."""
    return node.count(at_most=LARGEST_COUNT_BYTES)
