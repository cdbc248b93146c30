"""How sure an estimate is: ranges, and the measured runs that they rest on."""

from __future__ import annotations

from dataclasses import dataclass


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
