"""Written device files read back to the same device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planner.calibration.constants import with_values
from planner.calibration.device_file import device_file
from planner.specs.files.catalog import list_shipped
from planner.specs.load import load_device

if TYPE_CHECKING:
    from pathlib import Path

CHANGED = {"sustained.links": 0.71, "memory.efficiency": 0.6543, "speed_variation": 0.0}


@pytest.mark.parametrize("name", list_shipped("device"))
def test_every_shipped_device_survives(name: str, tmp_path: Path) -> None:
    device = with_values(load_device(name), CHANGED, 'a user\'s "runs": a, b #1 — 3 %')
    path = tmp_path / "out.yaml"
    path.write_text(device_file(device), encoding="utf-8")
    read = load_device(path)
    assert read.model_dump() == device.model_dump()
    assert read.name == name
    assert read.sustained.links.basis == "measured"
    assert path.read_text(encoding="utf-8").startswith(f"# {name}, refitted by `planner calibrate`")


def test_general_defaults_stay_out() -> None:
    text = device_file(load_device("a100-sxm-80gb"))
    assert "speed_variation" not in text
    assert "general value" not in text
