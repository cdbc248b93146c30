"""The few constants of a device file that the step times of training runs can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.specs.device import DeviceSpec
from planner.specs.files.fields import Constant, Fraction

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGITS = 4
"""Significant digits of a fitted value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunable:
    """A constant by its place in the device file, the values a fit may give it, and whether it is
    an efficiency: the time it governs goes with its reciprocal, otherwise with the constant."""

    section: str
    field: str
    low: float
    high: float
    is_efficiency: bool = True

    @property
    def name(self) -> str:
        return f"{self.section}.{self.field}" if self.section else self.field

    def position(self, value: float) -> float:
        """The quantity in which the step time is nearly linear."""
        return 1 / value if self.is_efficiency else value

    def scale(self, value: float) -> float:
        """The quantity that changes of a value are relative to."""
        return value if self.is_efficiency else self.high

    def of(self, device: DeviceSpec) -> float:
        """Its value; that of the constant which stands in where the file has none."""
        holder = getattr(device, self.section) if self.section else device
        constant: Constant[float] | None = getattr(holder, self.field)
        return _stand_in(device, self.field) if constant is None else constant.value


def _stand_in(device: DeviceSpec, field: str) -> float:
    """What 8- and 4-bit products reach where the file does not state it
    (`planner.hardware.sustained.sustained_device`)."""
    matmul = device.matmul
    if field == "efficiency_4bit" and matmul.efficiency_8bit is not None:
        return matmul.efficiency_8bit.value
    return matmul.efficiency.value * device.sustained.matmul.value


TUNABLES = (
    Tunable(section="sustained", field="matmul", low=0.3, high=1.0),
    Tunable(section="sustained", field="attention", low=0.3, high=1.0),
    Tunable(section="sustained", field="links", low=0.2, high=1.0),
    Tunable(section="sustained", field="network", low=0.1, high=1.0),
    Tunable(section="memory", field="efficiency", low=0.3, high=1.0),
    Tunable(section="matmul", field="efficiency_8bit", low=0.2, high=1.0),
    Tunable(section="matmul", field="efficiency_4bit", low=0.2, high=1.0),
    Tunable(section="grouped_matmul", field="efficiency", low=0.2, high=1.0),
    Tunable(section="", field="speed_variation", low=0.0, high=0.1, is_efficiency=False),
)
BY_NAME = {tunable.name: tunable for tunable in TUNABLES}


def rounded(value: float) -> float:
    """As device files state it."""
    return float(f"{value:.{DIGITS}g}")


def with_values(
    device: DeviceSpec, values: Mapping[str, float], source: str = "under trial"
) -> DeviceSpec:
    """The device with these constants, by name, as measured ones of that source."""
    changed = device
    for name, value in values.items():
        tunable = BY_NAME[name]
        constant = Constant[Fraction](value=rounded(value), basis="measured", source=source)
        update: dict[str, object] = {tunable.field: constant}
        if tunable.section:
            holder = getattr(changed, tunable.section)
            update = {tunable.section: holder.model_copy(update=update)}
        changed = changed.model_copy(update=update)
    return changed
