"""Memory of the stages of a plan at their peaks, in integer bytes."""

from __future__ import annotations

from dataclasses import dataclass

PEAK_PHASES = ("backward", "optimizer", "resume", "start")
"""When a stage's memory is fullest: in the loss and backward passes, or in the optimizer's step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryComponents:
    """Integer bytes at the instant of a stage's peak, on its fullest device."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    buffers: int
    fixed: int
    slack: int

    @property
    def allocated_bytes(self) -> int:
        """Live tensors: what the framework's allocator has handed out."""
        return (
            self.weights
            + self.gradients
            + self.optimizer
            + self.activations
            + self.logits
            + self.buffers
        )

    @property
    def total_bytes(self) -> int:
        return self.allocated_bytes + self.slack + self.fixed


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Peak of one stage. Allocated bytes are part of reserved bytes (which add allocator slack),
    and those are part of the device's bytes (which add the context and communication buffers that
    live outside the allocator)."""

    stage: int
    peak_phase: str
    """One of `PEAK_PHASES`."""
    components: MemoryComponents
    capacity_bytes: int
    headroom_bytes: int
    other_components: MemoryComponents | None = None
    """At the fullest instant of the other phase; None where that is not known."""

    @property
    def other_phase(self) -> str:
        """The phase of a step that `peak_phase` is not."""
        return next(phase for phase in PEAK_PHASES if phase != self.peak_phase)

    @property
    def allocated_peak_bytes(self) -> int:
        return self.components.allocated_bytes

    @property
    def reserved_peak_bytes(self) -> int:
        return self.components.allocated_bytes + self.components.slack

    @property
    def device_peak_bytes(self) -> int:
        return self.components.total_bytes

    @property
    def peak_bytes(self) -> int:
        return self.components.total_bytes

    @property
    def spare_bytes(self) -> int:
        """Bytes left below capacity minus headroom; negative when the stage does not fit."""
        return self.capacity_bytes - self.headroom_bytes - self.peak_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """Bytes that a job keeps in the memory of its fullest node, and how many that node has; None
    where nobody says."""

    peak_bytes: int
    capacity_bytes: int | None

    @property
    def fits(self) -> bool:
        return self.capacity_bytes is None or self.peak_bytes <= self.capacity_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """`host`: None where nothing is offloaded."""

    per_stage: tuple[StageMemory, ...]
    host: HostUse | None = None

    @property
    def binding(self) -> StageMemory:
        """The stage with the least spare bytes (the first among equals)."""
        return min(self.per_stage, key=lambda stage: stage.spare_bytes)

    @property
    def fits(self) -> bool:
        return self.binding.spare_bytes >= 0 and self.host_fits

    @property
    def host_fits(self) -> bool:
        return self.host is None or self.host.fits
