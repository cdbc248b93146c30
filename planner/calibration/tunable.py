"""A constant that a fit may change, and where constants are: in a device, or in an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

DIGITS = 4
"""Significant digits of a fitted value."""

H = TypeVar("H")
H_contra = TypeVar("H_contra", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunable:
    """A constant by its place in the file, the values a fit may give it, and whether it is an
    efficiency: the time it governs goes with its reciprocal, otherwise with the constant. Changes
    are relative to `unit`, or to the value where that is None."""

    name: str
    low: float
    high: float
    is_efficiency: bool = True
    unit: float | None = None

    def position(self, value: float) -> float:
        """The quantity in which the measured time is nearly linear."""
        return 1 / value if self.is_efficiency else value

    def scale(self, value: float) -> float:
        """The quantity that changes of a value are relative to."""
        return self.unit or value


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants(Generic[H]):
    """The constants of what is calibrated: `value` reads one by its name, `changed` gives some of
    them other values with their source. `file`, `runs` and `figure` are what users call the file,
    the runs, and what is measured of them. `folds`: parts of the runs that are left out one at a
    time, by what they have in common: the first kind that always leaves enough runs, or else single
    runs."""

    file: str
    runs: str
    figure: str
    folds: tuple[str, ...]
    tunables: Mapping[str, Tunable]
    value: Callable[[H, str], float]
    changed: Callable[[H, Mapping[str, float], str], H]
    forget: Callable[[], None] | None = None
    """Frees what was kept while times were predicted with one holder."""

    def under_trial(self, holder: H, values: Mapping[str, float]) -> H:
        """With values that may not stay."""
        return self.changed(holder, values, "under trial")


class Named(Protocol):
    """What constants are of."""

    @property
    def name(self) -> str: ...


class Observed(Protocol[H_contra]):
    """A measured time, and what is predicted for it. `run` is what was measured at once, `source`
    the file that has it; `weight`: how much a relative error counts."""

    @property
    def id(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def measured_s(self) -> float: ...
    @property
    def weight(self) -> float: ...

    def predicted_s(self, holder: H_contra) -> float:
        """Seconds with other constants."""
        ...


def rounded(value: float) -> float:
    """As files state it."""
    return float(f"{value:.{DIGITS}g}")
