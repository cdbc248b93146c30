"""A calibrated engine as an engine file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.importers.yaml_text import to_yaml

if TYPE_CHECKING:
    from planner.calibration.serving.constants import EngineOnDevice


def engine_file(holder: EngineOnDevice) -> str:
    """The YAML text: everything the engine states, with a table of kernels for the device."""
    said = (
        f"{holder.engine.name}, refitted for {holder.device} by `planner calibrate`: see the "
        f"source of kernels.{holder.device}."
    )
    return to_yaml(holder.profile.model_dump(mode="json", exclude_unset=True), comment=(said,))
