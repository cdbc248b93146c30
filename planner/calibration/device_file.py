"""A calibrated device as a device file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.importers.yaml_text import to_yaml

if TYPE_CHECKING:
    from planner.specs.device import DeviceSpec


def device_file(device: DeviceSpec) -> str:
    """The YAML text: everything the device states, changed or not; what it leaves to the general
    defaults stays out."""
    said = f"{device.name}, refitted by `planner calibrate`: see the sources of its constants."
    return to_yaml(device.model_dump(mode="json", exclude_unset=True), comment=(said,))
