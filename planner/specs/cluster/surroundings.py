"""What a cluster file may refer to: devices, libraries, and files of its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planner.errors import InputError
from planner.specs.device import DeviceSpec
from planner.specs.library import CollectiveLibrary, referred_library
from planner.specs.like import completed


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What a cluster file may refer to: its folder, and how device names are found."""

    folder: Path
    find_device: Callable[[str, Path], DeviceSpec]
    find_description: Callable[[str, Path], Any]
    """The content of a named device's file."""
    devices: dict[str, DeviceSpec] = field(default_factory=dict)

    def device(self, name: str) -> DeviceSpec:
        """Raises: ValueError for the reference, InputError for the content of the file."""
        if name not in self.devices:
            try:
                self.devices[name] = self.find_device(name, self.folder)
            except InputError as error:
                if error.line is not None:
                    raise
                raise ValueError(str(error)) from error
        return self.devices[name]

    def library(self, name: str) -> CollectiveLibrary:
        """Raises: as `device`."""
        return referred_library(name, self.folder)

    def completed(self, description: object) -> object:
        """A device described inline, with what it leaves to another device. Raises: ValueError."""

        def find(name: str) -> Any:
            self.device(name)
            return self.find_description(name, self.folder)

        return completed(description, find)
