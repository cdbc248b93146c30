"""The answers in words: what a plan achieves, what binds it, what it gains over another."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from planner.wording.labels import TIME_LABELS, degrees, one_line
from planner.wording.units import capacity, count, gib, percent, seconds, time_scale

if TYPE_CHECKING:
    from planner.plan import Estimate, Plan, RankedPlan, StageMemory, TimeBreakdown

LINE = 80
SMALL_SHARE = 0.05
UNMEASURED = ": wide ranges"
"""How notes end that make the range of a step time wide."""
SMALLEST_SHARE = 0.0005
MEMORY_LABELS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer states",
    "activations": "activations",
    "logits": "logits",
    "buffers": "buffers",
    "fixed": "fixed overhead",
    "slack": "allocator slack",
}


def plan_answer(plan: Plan, estimate: Estimate) -> str:
    """Degrees, step time, tokens per second, MFU and peak memory in one line."""
    return f"{_step(plan, estimate)}, {_rates(estimate)}, {_peak(estimate)}"


def headline(word: str, plan: Plan, estimate: Estimate) -> str:
    """The answer after a word. Where that is more than a line, the rates follow on the next, so
    that the first line is whole wherever it ends up."""
    text = f"{word} {plan_answer(plan, estimate)}"
    if len(text) <= LINE:
        return text
    return f"{word} {_step(plan, estimate)}, {_peak(estimate)}\n{_rates(estimate)}."


def _step(plan: Plan, estimate: Estimate) -> str:
    return f"{degrees(plan.degrees)}: {seconds(estimate.step_s)}/step"


def _rates(estimate: Estimate) -> str:
    return f"{count(estimate.tokens_per_s)} tokens/s, MFU {percent(estimate.mfu)}"


def _peak(estimate: Estimate) -> str:
    binding = estimate.memory.binding
    return f"peak {gib(binding.peak_bytes)}/{capacity(binding.capacity_bytes)} GiB"


def ranges(estimate: Estimate) -> str:
    """How sure the step time and the peak are, and whether that is sure enough of the fit:
    `90% ranges: 30.35–42.45 s/step, peak 60.0–85.2 of 79.2 GiB; …`."""
    known, peak_bytes = estimate.confidence, estimate.memory.binding.peak_bytes
    if known is None:
        return "No ranges: there are no measured runs to compare with."
    scale = time_scale(estimate.step_s)
    steps = "–".join(map(scale.number, known.step.around(estimate.step_s)))
    peaks = "–".join(gib(round(end)) for end in known.memory.around(peak_bytes))
    limit = capacity(estimate.memory.binding.capacity_bytes)
    text = f"{known.level:.0%} ranges: {steps} {scale.unit}/step, peak {peaks} of {limit} GiB"
    if estimate.fit_class == "tight":
        sure = "it may not fit" if estimate.memory.fits else "it may fit all the same"
        text += f"; a tight fit: {sure}"
    wide = [note for note in known.notes if note.endswith(UNMEASURED)]
    return f"{text}; {'; '.join(wide)}." if wide else f"{text}."


def with_room(other: RankedPlan) -> str:
    """The plan to take instead of a winner that fits tightly: the best that fits with room."""
    cost = other.estimate
    return (
        f"Plan {other.rank} is the best of those tied with it that fit with room: "
        f"{degrees(other.plan.degrees)}, {seconds(cost.step_s)}/step, {_peak(cost)}."
    )


def _largest_components(stage: StageMemory, limit: int) -> str:
    sizes = [
        (getattr(stage.components, field.name), MEMORY_LABELS[field.name])
        for field in fields(stage.components)
    ]
    sizes.sort(key=lambda size: -size[0])
    return ", ".join(f"{label} {gib(size)}" for size, label in sizes[:limit])


def binding(estimate: Estimate) -> str:
    """Which stage has the least room, when, and what fills it."""
    stage = estimate.memory.binding
    peak = (
        f"Memory is tightest on stage {stage.stage}: {gib(stage.peak_bytes)} of "
        f"{capacity(stage.capacity_bytes)} GiB in the {stage.peak_phase} phase"
    )
    spare, headroom = stage.spare_bytes, f"{capacity(stage.headroom_bytes)} GiB of headroom"
    room = (
        f"{gib(spare)} GiB free beyond {headroom}"
        if spare >= 0
        else f"{gib(-spare)} GiB more than {headroom} leave"
    )
    return f"{peak} ({_largest_components(stage, 3)}); {room}."


def bound_by(estimate: Estimate) -> str:
    """The largest part of the step and those that follow it closely enough to matter; what the host
    adds to its compute, and what would remove that."""
    shares = time_shares(estimate.time)
    largest, *rest = shares
    text = f"Bound by {largest[0]}: {percent(largest[1])} of the step"
    others = [f"{label} {percent(share)}" for label, share in rest if share >= SMALL_SHARE]
    said = f"{text}; then {', '.join(others)}." if others else f"{text}."
    waiting_s = estimate.time_detail.get("host_bound_s", 0.0)
    if waiting_s < SMALL_SHARE * estimate.step_s:
        return said
    return (
        f"{said} Bound by the host for {seconds(waiting_s)} of it: launching kernels takes longer "
        "than running them. Larger micro-batches, CUDA graphs and fewer experts on a device remove "
        "that."
    )


def time_shares(time: TimeBreakdown) -> list[tuple[str, float]]:
    """(label, share of the step), the largest first, without those that would read 0.0%."""
    parts = [(TIME_LABELS[field.name], getattr(time, field.name)) for field in fields(time)]
    shares = [(label, part / time.step_s) for label, part in parts]
    return sorted((one for one in shares if one[1] >= SMALLEST_SHARE), key=lambda one: -one[1])


def against(winner: RankedPlan, other: RankedPlan) -> str:
    """What the winner saves and what it spends for that, component by component."""
    gained = other.estimate.step_s - winner.estimate.step_s
    text = f"Against plan {other.rank} ({one_line(other.plan)}): "
    if gained <= 0:
        return f"{text}equally fast."
    changes = [
        (
            TIME_LABELS[field.name],
            getattr(winner.estimate.time, field.name) - getattr(other.estimate.time, field.name),
        )
        for field in fields(winner.estimate.time)
    ]
    scale = time_scale(max(gained, *(abs(change) for _, change in changes)))
    text += f"{scale.text(gained)} ({percent(gained / other.estimate.step_s)}) less per step"
    worth = [change for change in changes if abs(change[1]) >= SMALL_SHARE * gained]
    worth.sort(key=lambda change: change[1])
    saved = [f"{label} -{scale.text(-change)}" for label, change in worth if change < 0]
    paid = [f"{label} +{scale.text(change)}" for label, change in reversed(worth) if change > 0]
    saved_text = f": {', '.join(saved)}" if saved else ""
    paid_text = f"; in exchange {', '.join(paid)}" if paid else ""
    return f"{text}{saved_text}{paid_text}."
