"""The stage that decides whether a plan fits, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import HostUse, MemoryEstimate, StageMemory

GIB = 2**30


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
        f"{stage.capacity_bytes / GIB:.1f}{kept}: "
        + ", ".join(f"{name} {parts[name] / GIB:.1f}" for name in largest)
    )


def host_constraint(host: HostUse) -> str:
    """What the fullest node keeps in the memory of its host, and how much there is, in words."""
    of = "" if host.capacity_bytes is None else f" of {host.capacity_bytes / GIB:,.0f}"
    return f"the fullest host holds {host.peak_bytes / GIB:,.0f} GiB{of}"


def memory_constraint(memory: MemoryEstimate) -> str:
    """What keeps a plan from fitting, or nearly does: its fullest stage, or a host."""
    if memory.host is not None and not memory.host.fits:
        return host_constraint(memory.host)
    return binding_constraint(memory.binding)
