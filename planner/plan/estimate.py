"""The estimate of a plan: seconds of a step, bytes of every stage, and what follows from them.

Bytes are integers, times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from planner.plan.confidence import Confidence, Interval
from planner.plan.memory import MemoryEstimate
from planner.plan.spending import Spending, Spent

FIT_CLASSES = ("fits", "tight", "does not fit")
"""The verdicts of `Estimate.fit_class`."""


_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S


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
    offload_s: float = 0.0

    @property
    def step_s(self) -> float:
        return sum((getattr(self, field.name) for field in fields(self)), start=0.0)


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
    wall time that is progress. It counts `available`, the mean speed while nodes are away for
    repair that no spare node replaces: 1 where nothing says how long a repair takes. `stall_s`: for
    how long a checkpoint stops the steps, `interval_s`: their time between two checkpoints.
    `restart_s`: from a failure to the next step. `spares_needed`: nodes so that one is at hand with
    the probability `chance`; None: nothing says how long a repair takes."""

    share: float
    between_failures_s: float
    restart_s: float
    checkpoint_bytes: int
    stall_s: float
    interval_s: float
    spares: int
    spares_needed: int | None
    chance: float
    available: float = 1.0


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
    spending: Spending | None = None
    """None where nothing is known of prices and power."""

    @property
    def job_s(self) -> float | None:
        """Wall time of the whole job, failures included where they are known; None without its
        number of tokens."""
        return None if self.tokens is None else self.tokens / self.lasting_tokens_per_s

    @property
    def job_range_s(self) -> tuple[float, float]:
        """Between which seconds the whole job ends, by the range of the step. Raises: ValueError
        without the number of tokens."""
        if self.job_s is None:
            raise ValueError("nobody says how many tokens the job has")
        return self._step_range.around(self.job_s)

    @property
    def device_hours(self) -> float | None:
        """Of the whole job; None without its number of tokens."""
        return None if self.job_s is None else self.devices * self.job_s / _HOUR_S

    @property
    def step_spent(self) -> tuple[Spent, Spent, Spent] | None:
        """On one step, and between what the range of the step makes of it; None where nothing is
        known of prices and power."""
        return self._spent(self.step_s, self._step_range.around(self.step_s), 1)

    @property
    def job_spent(self) -> tuple[Spent, Spent, Spent] | None:
        """The same for the whole job; None without its number of tokens too."""
        if self.job_s is None or self.tokens is None:
            return None
        return self._spent(self.job_s, self.job_range_s, self.tokens / self.tokens_per_step)

    def _spent(
        self, wall_s: float, between_s: tuple[float, float], steps: float
    ) -> tuple[Spent, Spent, Spent] | None:
        known = self.spending
        if known is None:
            return None
        first, low, high = (known.over(one_s, steps) for one_s in (wall_s, *between_s))
        return first, low, high

    @property
    def _step_range(self) -> Interval:
        return Interval() if self.confidence is None else self.confidence.step

    @property
    def tokens_per_day(self) -> float:
        """In the long run."""
        return self.lasting_tokens_per_s * _DAY_S

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
        fit: on some stage the whole interval exceeds the capacity, or a host has too little memory.
        tight: anything between. Without `confidence` the interval is the peak itself."""
        if not self.memory.host_fits:
            return "does not fit"
        interval = self.confidence.memory if self.confidence else Interval()
        stages = self.memory.per_stage
        if all(s.peak_bytes * interval.high <= s.capacity_bytes - s.headroom_bytes for s in stages):
            return "fits"
        if any(s.peak_bytes * interval.low > s.capacity_bytes for s in stages):
            return "does not fit"
        return "tight"
