"""Devices that are refused by name, with the reason."""

from __future__ import annotations

from functools import cache

from planner.specs.files.catalog import general_file
from planner.specs.files.fields import Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document


class UnpricedDevice(Input):
    """Why estimates for a device would be guesses."""

    maker: Text
    reason: Text
    source: Text


class UnpricedDevices(Input):
    """The file of such devices, by the start of their names."""

    devices: dict[str, UnpricedDevice]


def why_unpriced(device: str) -> str | None:
    """Why there are no estimates for the device of a name; None where nothing is known against it.

    >>> why_unpriced("a100-sxm-80gb") is None
    True
    """
    word = device.lower()
    for start, found in _shipped().devices.items():
        if word.startswith((start, f"{found.maker.lower()}-{start}")):
            return f"{found.maker} {device[:80]} is not priced: {found.reason}"
    return None


@cache
def _shipped() -> UnpricedDevices:
    return validate(load_document(general_file("unpriced")), UnpricedDevices)
