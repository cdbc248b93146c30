"""The few constants of a device file that the step times of training runs can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.calibration.tunable import Constants, Tunable, rounded
from planner.specs.device import DeviceSpec
from planner.specs.files.fields import Constant, Fraction

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_VARIATION = 0.1

TUNABLES = (
    Tunable(name="sustained.matmul", low=0.3, high=1.0),
    Tunable(name="sustained.attention", low=0.3, high=1.0),
    Tunable(name="sustained.links", low=0.2, high=1.0),
    Tunable(name="sustained.network", low=0.1, high=1.0),
    Tunable(name="memory.efficiency", low=0.3, high=1.0),
    Tunable(name="matmul.efficiency_8bit", low=0.2, high=1.0),
    Tunable(name="matmul.efficiency_4bit", low=0.2, high=1.0),
    Tunable(name="grouped_matmul.efficiency", low=0.2, high=1.0),
    Tunable(
        name="speed_variation", low=0.0, high=MOST_VARIATION, is_efficiency=False,
        unit=MOST_VARIATION,
    ),
)  # fmt: skip
BY_NAME = {tunable.name: tunable for tunable in TUNABLES}


def value_of(device: DeviceSpec, name: str) -> float:
    """The value of a constant; that of the one which stands in where the file has none."""
    section, _, field = name.rpartition(".")
    holder = getattr(device, section) if section else device
    constant: Constant[float] | None = getattr(holder, field)
    return _stand_in(device, field) if constant is None else constant.value


def _stand_in(device: DeviceSpec, field: str) -> float:
    """What 8- and 4-bit products reach where the file does not state it
    (`planner.hardware.sustained.sustained_device`)."""
    matmul = device.matmul
    if field == "efficiency_4bit" and matmul.efficiency_8bit is not None:
        return matmul.efficiency_8bit.value
    return matmul.efficiency.value * device.sustained.matmul.value


def with_values(
    device: DeviceSpec, values: Mapping[str, float], source: str = "under trial"
) -> DeviceSpec:
    """The device with these constants, by name, as measured ones of that source."""
    changed = device
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        constant = Constant[Fraction](value=rounded(value), basis="measured", source=source)
        update: dict[str, object] = {field: constant}
        if section:
            holder = getattr(changed, section)
            update = {section: holder.model_copy(update=update)}
        changed = changed.model_copy(update=update)
    return changed


DEVICE = Constants(
    file="device file",
    runs="training runs",
    figure="step time",
    folds=("source", "model", "group"),
    tunables=BY_NAME,
    value=value_of,
    changed=with_values,
)
"""What training runs can tell of a device."""
