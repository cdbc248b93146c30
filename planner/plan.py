"""The plan value: every decision a launcher needs, and the estimate that belongs to it.

These values import nothing else of the package. Bytes are integers, times are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

AXES = ("tensor", "pipeline", "data", "context", "expert", "expert_tensor")
"""The parallel axes."""
GRANULARITIES = ("none", "selective", "full")
"""What the backward pass computes again: nothing, selected parts of every layer, or whole
layers."""
DATA_SHARDINGS = ("none", "optimizer", "optimizer+gradients", "full")
"""What is sharded over the data axis: nothing, ZeRO-1, ZeRO-2, ZeRO-3 (FSDP)."""
DISPATCHERS = ("alltoall", "allgather", "deepep", "hybridep", "ncclep")
"""What carries tokens to their experts."""
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4")
"""Number formats of the matmuls."""
FIT_CLASSES = ("fits", "tight", "does not fit")
"""The verdicts of `Estimate.fit_class`."""
PEAK_PHASES = ("backward", "optimizer")
"""When a stage's memory is fullest: in the loss and backward passes, or in the optimizer's step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrees:
    """Sizes of the parallel axes. Devices = tensor · pipeline · data · context; the expert axes
    are cut out of tensor · context · data (Megatron-LM `parallel_state.initialize_model_parallel`).
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    context: int = 1
    expert: int = 1
    expert_tensor: int = 1

    @property
    def devices(self) -> int:
        return self.tensor * self.pipeline * self.data * self.context

    @property
    def stage_devices(self) -> int:
        """Devices that hold one stage, all replicas together."""
        return self.tensor * self.data * self.context

    @property
    def expert_data(self) -> int:
        """Replicas of each expert: the size of the group that reduces the experts' gradients."""
        return self.stage_devices // (self.expert * self.expert_tensor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recompute:
    """What the backward pass computes again. `layers_per_stage` counts fully recomputed layers
    and is all zeros unless the granularity is "full"."""

    granularity: str
    layers_per_stage: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pipeline position: its chunks as half-open layer ranges, in virtual-stage order."""

    index: int
    chunks: tuple[tuple[int, int], ...]
    embedding: bool
    head: bool

    @property
    def num_layers(self) -> int:
        return sum(end - start for start, end in self.chunks)


def recomputed_per_stage(stages: Sequence[Stage], per_chunk: int) -> tuple[int, ...]:
    """Fully recomputed layers of every stage when each chunk recomputes its first `per_chunk`
    layers (Megatron-LM `--recompute-method block`)."""
    return tuple(
        sum(min(end - start, per_chunk) for start, end in stage.chunks) for stage in stages
    )


def recomputed_per_chunk(stages: Sequence[Stage], per_stage: Sequence[int]) -> int | None:
    """The inverse of `recomputed_per_stage`; None when no number per chunk gives `per_stage`."""
    most = max((end - start for stage in stages for start, end in stage.chunks), default=0)
    counts = range(most + 1)
    return next((n for n in counts if recomputed_per_stage(stages, n) == tuple(per_stage)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which host takes each position of the rank grid. Rank r runs on `hosts[r // G]`, device
    r mod G, where G is the devices per node of that host; `order` names the framework's rank
    order, its leftmost axis varying fastest."""

    order: str
    hosts: tuple[str, ...]
    ranks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every decision that a launcher needs. `num_microbatches`: the microbatches of one replica in
    a step; `virtual_stages`: the chunks of each stage; `shard_over`: the data · context ranks among
    which what is sharded is divided, None where all of them share it."""

    degrees: Degrees
    micro_batch_size: int
    num_microbatches: int
    schedule: str
    virtual_stages: int
    sequence_parallel: bool
    data_sharding: str
    recompute: Recompute
    stages: tuple[Stage, ...]
    placement: Placement
    dispatcher: str | None = None
    """One of `DISPATCHERS`; None: no expert degree, or as the software profile does by default."""
    expert_overlap: bool = False
    """Exchanges of experts run beside the computation of another microbatch."""
    shard_over: int | None = None

    @property
    def sharding_groups(self) -> int:
        """Groups of replicas that hold a copy of the sharded states each."""
        replicas = self.degrees.data * self.degrees.context
        return 1 if self.shard_over is None else max(1, replicas // self.shard_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBreakdown:
    """Exposed seconds of one step on the critical path; they add up to `step_s`."""

    compute_s: float
    recompute_s: float
    tensor_comm_s: float
    context_comm_s: float
    expert_comm_s: float
    pipeline_comm_s: float
    bubble_s: float
    data_comm_s: float
    optimizer_s: float
    jitter_s: float

    @property
    def step_s(self) -> float:
        return sum((getattr(self, field.name) for field in fields(self)), start=0.0)


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
        """The phase that `peak_phase` is not."""
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
class MemoryEstimate:
    per_stage: tuple[StageMemory, ...]

    @property
    def binding(self) -> StageMemory:
        """The stage with the least spare bytes (the first among equals)."""
        return min(self.per_stage, key=lambda stage: stage.spare_bytes)

    @property
    def fits(self) -> bool:
        return self.binding.spare_bytes >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Two factors on an estimate, `low` at most 1 and `high` at least 1; the measured value lies
    between."""

    low: float = 1.0
    high: float = 1.0

    def around(self, value: float) -> tuple[float, float]:
        return self.low * value, self.high * value


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Measured runs that ranges rest on: of step times, as many as are of this kind of job, of
    memory peaks, and as many as are of the whole device."""

    steps: int
    steps_alike: int
    peaks: int
    device_peaks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """How sure an estimate is: the share `level` of measured runs lies inside the intervals on the
    step time and on the device's peak memory. `notes` say what the intervals rest on and where the
    estimate goes beyond what was ever measured."""

    level: float
    step: Interval
    memory: Interval
    notes: tuple[str, ...]
    evidence: Evidence | None = None
    """None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceGroup:
    """Neighbouring stages on the same device types: the first and the last of them, the names of
    the types and the hosts, in rank order."""

    first_stage: int
    last_stage: int
    devices: tuple[str, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """What failures leave of a job's time, where the cluster says how often it fails. `share`: of
    wall time that is progress. `stall_s`: for how long a checkpoint stops the steps, `interval_s`:
    their time between two checkpoints. `restart_s`: from a failure to the next step.
    `spares_needed`: nodes so that one is at hand with the probability `chance`; None: nothing says
    how long a repair takes."""

    share: float
    between_failures_s: float
    restart_s: float
    checkpoint_bytes: int
    stall_s: float
    interval_s: float
    spares: int
    spares_needed: int | None
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a plan costs. `time_detail` holds seconds that do not add up to the step, such as those
    hidden behind other work and per-stage extremes."""

    time: TimeBreakdown
    time_detail: dict[str, float]
    memory: MemoryEstimate
    tokens_per_step: int
    devices: int
    model_flops_per_step: float
    peak_flop_per_s: float
    assumptions: tuple[str, ...]
    confidence: Confidence | None = None
    device_groups: tuple[DeviceGroup, ...] = ()
    """Empty where all devices are of one type."""
    goodput: Goodput | None = None
    """None where nothing is known of failures."""
    tokens: int | None = None
    """Of the whole job; None where nobody says."""

    @property
    def job_s(self) -> float | None:
        """Wall time of the whole job, failures included where they are known; None without its
        number of tokens."""
        return None if self.tokens is None else self.tokens / self.lasting_tokens_per_s

    @property
    def job_range_s(self) -> tuple[float, float]:
        """Between which seconds the whole job ends, by the range of the step. Raises: ValueError
        without the number of tokens."""
        job_s, step = self.job_s, Interval() if self.confidence is None else self.confidence.step
        if job_s is None:
            raise ValueError("nobody says how many tokens the job has")
        return step.around(job_s)

    @property
    def lasting_tokens_per_s(self) -> float:
        """Tokens per second in the long run: failures take their share where they are known."""
        return self.tokens_per_s * (1.0 if self.goodput is None else self.goodput.share)

    @property
    def step_s(self) -> float:
        return self.time.step_s

    @property
    def tokens_per_s(self) -> float:
        return self.tokens_per_step / self.step_s

    @property
    def tokens_per_s_per_device(self) -> float:
        return self.tokens_per_s / self.devices

    @property
    def model_flops_per_device(self) -> float:
        """Model FLOP/s of one device, without recomputation."""
        return self.model_flops_per_step / self.step_s / self.devices

    @property
    def mfu(self) -> float:
        """Model FLOP/s divided by the dense peak of the number format that the matmuls use."""
        return self.model_flops_per_device / self.peak_flop_per_s

    @property
    def fit_class(self) -> str:
        """fits: on every stage the whole interval of the peak leaves the headroom free. does not
        fit: on some stage the whole interval exceeds the capacity. tight: anything between. Without
        `confidence` the interval is the peak itself."""
        interval = self.confidence.memory if self.confidence else Interval()
        stages = self.memory.per_stage
        if all(s.peak_bytes * interval.high <= s.capacity_bytes - s.headroom_bytes for s in stages):
            return "fits"
        if any(s.peak_bytes * interval.low > s.capacity_bytes for s in stages):
            return "does not fit"
        return "tight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How far from the best one decision of a plan ("placement", "stage layout") may be, given its
    other decisions: no other choice takes less than 1 − `gap` of the step. None: nothing is known.
    `method` says how the decision was taken. `gain`: the share by which the framework's own choice
    takes longer; None: it was not priced."""

    decision: str
    gap: float | None
    method: str
    gain: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPlan:
    """A plan with its rank. `tied_with_best`: it is too close to the plan of rank 1 to tell which
    is faster; None when there was nothing to compare with. `worst_step_s`: the step in the worst
    case, where plans were ranked by it; None where they were ranked by the estimate."""

    rank: int
    plan: Plan
    estimate: Estimate
    tied_with_best: bool | None = None
    proofs: tuple[Proof, ...] = ()
    worst_step_s: float | None = None
