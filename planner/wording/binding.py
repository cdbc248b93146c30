"""The stage that decides whether a plan fits, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.wording.units import capacity, gib

if TYPE_CHECKING:
    from planner.plan import Estimate, HostUse, MemoryEstimate, StageMemory

GIB = 2**30
_OUTSIDE_A_STEP = {
    "resume": "as it is resumed from a checkpoint",
    "start": "as the model is made",
}
"""Phases of `planner.plan.PEAK_PHASES` that are no part of a step."""


def binding_constraint(stage: StageMemory) -> str:
    """What the fullest stage needs and has, and its largest parts, in words."""
    parts = {
        name: getattr(stage.components, name)
        for name in ("weights", "gradients", "optimizer", "activations", "logits", "buffers")
    }
    largest = sorted(parts, key=lambda name: -parts[name])[:2]
    usable = stage.capacity_bytes - stage.headroom_bytes
    kept = f" ({usable / GIB:.1f} after headroom)" if stage.headroom_bytes else ""
    return (
        f"stage {stage.stage} needs {stage.peak_bytes / GIB:.1f} GiB of "
        f"{stage.capacity_bytes / GIB:.1f}{kept}{_outside_a_step(stage)}: "
        + ", ".join(f"{name} {parts[name] / GIB:.1f}" for name in largest)
    )


def _outside_a_step(stage: StageMemory) -> str:
    """When the stage is fullest, and what a step needs, where that is outside a step."""
    when, other = _OUTSIDE_A_STEP.get(stage.peak_phase), stage.other_components
    if when is None or other is None:
        return ""
    return f" {when}, {other.total_bytes / GIB:.1f} as it trains"


def host_constraint(host: HostUse) -> str:
    """What the fullest node keeps in the memory of its host, and how much there is, in words."""
    of = "" if host.capacity_bytes is None else f" of {host.capacity_bytes / GIB:,.0f}"
    return f"the fullest host holds {host.peak_bytes / GIB:,.0f} GiB{of}"


def memory_constraint(memory: MemoryEstimate) -> str:
    """What keeps a plan from fitting, or nearly does: its fullest stage, or a host."""
    if memory.host is not None and not memory.host.fits:
        return host_constraint(memory.host)
    return binding_constraint(memory.binding)


def fit_words(estimate: Estimate) -> str:
    """How a plan fits: `fits`; `fits, tight`; `tight: needs 80.5 of 79.2 GiB`, where it does not
    fit by less than the error of the estimate; `leaves too little free`; `does not fit`."""
    memory, tight = estimate.memory, estimate.fit_class == "tight"
    if memory.fits:
        return "fits, tight" if tight else "fits"
    stage = memory.binding
    if memory.host_fits and stage.peak_bytes <= stage.capacity_bytes:
        return "leaves too little free"
    if tight:
        return f"tight: needs {gib(stage.peak_bytes)} of {capacity(stage.capacity_bytes)} GiB"
    return "does not fit"
