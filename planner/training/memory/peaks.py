"""Peak memory of stages as values: bytes by component at the fullest instant, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.plan import PEAK_PHASES, HostUse, MemoryComponents, StageMemory

if TYPE_CHECKING:
    from numpy.typing import NDArray


BACKWARD, UPDATE, RESUME, START = PEAK_PHASES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagePeaks:
    """int64 [N, p] each. `step` is what lives in the forward/backward peak, `update` in the
    optimizer's, in addition to the three that are always there. `pooled` is reserved for buffers of
    one kind and counts as slack."""

    weights: NDArray[np.int64]
    gradients: NDArray[np.int64]
    optimizer: NDArray[np.int64]
    activations: NDArray[np.int64]
    logits: NDArray[np.int64]
    buffers: NDArray[np.int64]
    update_buffers: NDArray[np.int64]
    fixed: NDArray[np.int64]
    slack_fraction: float
    pooled: NDArray[np.int64]
    capacity: NDArray[np.int64]
    headroom: float
    start: NDArray[np.int64] | None = None
    """[N, p]: weights that are whole before they are sharded; None where none are."""
    resume: NDArray[np.int64] | None = None
    """[N, p]: what lives beside the states while a checkpoint is loaded; None for nothing."""
    node_bytes: NDArray[np.int64] | None = None
    """[N]: what the fullest host holds; None where nothing is offloaded, or stages are looked at
    one by one."""
    node_capacity: int | None = None

    @property
    def step_allocated(self) -> NDArray[np.int64]:
        return self._static + self.activations + self.logits + self.buffers

    @property
    def update_allocated(self) -> NDArray[np.int64]:
        return self._static + self.update_buffers

    @property
    def _static(self) -> NDArray[np.int64]:
        return self.weights + self.gradients + self.optimizer

    @property
    def device_peak(self) -> NDArray[np.int64]:
        """Allocated, plus allocator slack, plus what lives outside the allocator."""
        allocated = np.maximum(self.step_allocated, self.update_allocated)
        peak: NDArray[np.int64] = allocated + self._slack(allocated) + self.pooled + self.fixed
        for outside in self._outside_the_step:
            peak = np.maximum(peak, outside + self._slack(outside) + self.fixed)
        return peak

    @property
    def _outside_the_step(self) -> tuple[NDArray[np.int64], ...]:
        """Allocated when the model is made whole, and when a job is resumed."""
        resumed = () if self.resume is None else (self._static + self.resume,)
        return (*(() if self.start is None else (self.start,)), *resumed)

    @property
    def spare(self) -> NDArray[np.int64]:
        """Bytes left below capacity minus headroom; negative where a stage does not fit."""
        return self.capacity - self._headroom_bytes - self.device_peak

    @property
    def fits(self) -> NDArray[np.bool_]:
        """[N]: every stage fits, and so does what the hosts hold."""
        fits: NDArray[np.bool_] = np.all(self.spare >= 0, axis=-1)
        if self.node_bytes is not None and self.node_capacity is not None:
            fits = fits & (self.node_bytes <= self.node_capacity)
        return fits

    def host(self, plan: int) -> HostUse | None:
        """What the fullest host holds of one plan of the batch."""
        if self.node_bytes is None:
            return None
        return HostUse(peak_bytes=int(self.node_bytes[plan]), capacity_bytes=self.node_capacity)

    @property
    def _headroom_bytes(self) -> NDArray[np.int64]:
        reserved: NDArray[np.int64] = np.floor(self.capacity * self.headroom).astype(np.int64)
        return reserved

    def _slack(self, allocated: NDArray[np.int64]) -> NDArray[np.int64]:
        slack: NDArray[np.int64] = np.floor(allocated * self.slack_fraction).astype(np.int64)
        return slack

    def stages(self, plan: int) -> tuple[StageMemory, ...]:
        """The stages of one plan of the batch as values."""
        return tuple(self._stage(plan, stage) for stage in range(self.weights.shape[1]))

    def _stage(self, plan: int, stage: int) -> StageMemory:
        at = (plan, stage)
        updating = bool(self.update_allocated[at] > self.step_allocated[at])
        phase, components = UPDATE if updating else BACKWARD, self._components(at, updating)
        other = self._components(at, not updating)
        for name, found in ((START, self._starting(at)), (RESUME, self._resuming(at))):
            if found is not None and found.total_bytes > components.total_bytes:
                phase, other, components = name, self._components(at, updating=False), found
        return StageMemory(
            stage=stage,
            peak_phase=phase,
            components=components,
            capacity_bytes=int(self.capacity[at]),
            headroom_bytes=int(self._headroom_bytes[at]),
            other_components=other,
        )

    def _starting(self, at: tuple[int, int]) -> MemoryComponents | None:
        """What a stage of a plan holds when its model is made whole; None where it is not."""
        if self.start is None:
            return None
        return MemoryComponents(
            weights=int(self.start[at]),
            gradients=0,
            optimizer=0,
            activations=0,
            logits=0,
            buffers=0,
            fixed=int(self.fixed[at]),
            slack=int(self._slack(self.start[at])),
        )

    def _resuming(self, at: tuple[int, int]) -> MemoryComponents | None:
        """What a stage of a plan holds while a checkpoint is loaded."""
        if self.resume is None:
            return None
        return MemoryComponents(
            weights=int(self.weights[at]),
            gradients=int(self.gradients[at]),
            optimizer=int(self.optimizer[at]),
            activations=0,
            logits=0,
            buffers=int(self.resume[at]),
            fixed=int(self.fixed[at]),
            slack=int(self._slack((self._static + self.resume)[at])),
        )

    def _components(self, at: tuple[int, int], updating: bool) -> MemoryComponents:
        """What a stage of a plan holds at the fullest instant of a phase."""
        allocated = (self.update_allocated if updating else self.step_allocated)[at]
        return MemoryComponents(
            weights=int(self.weights[at]),
            gradients=int(self.gradients[at]),
            optimizer=int(self.optimizer[at]),
            activations=0 if updating else int(self.activations[at]),
            logits=0 if updating else int(self.logits[at]),
            buffers=int(self.update_buffers[at] if updating else self.buffers[at]),
            fixed=int(self.fixed[at]),
            slack=int(self._slack(allocated) + self.pooled[at]),
        )
