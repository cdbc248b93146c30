"""The stage that decides whether a plan fits, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import StageMemory

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
