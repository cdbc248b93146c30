"""Which rows of tables an entry about launches means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from planner.specs.files.fields import Count, Input, Text

_EQUAL = ("mode", "engine", "model", "family", "device", "input_length", "output_length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What a row says of its launch, in the words of the files shipped here."""

    table: str
    mode: str
    engine: str
    model: str
    family: str | None
    device: str
    weights: str
    input_length: int
    output_length: int
    tensor: int
    load: float
    version: str
    measured: str
    """When, as an ISO date or the beginning of one; empty where it is not stated."""


class LaunchMatch(Input):
    """The rows an entry is about: those that have everything stated here."""

    tables: tuple[Text, ...]
    """Values of the column `source`."""
    mode: Literal["agg", "disagg"] | None = None
    engine: Text
    model: Text | None = None
    family: Text | None = None
    device: Text | None = None
    weights: tuple[Text, ...] | None = None
    input_length: Count | None = None
    output_length: Count | None = None
    tensor_from: Count | None = None
    tensor_below: Count | None = None
    load_from: Count | None = None
    load_below: Count | None = None
    versions: tuple[Text, ...] | None = None
    """Of the engine, as rows state them."""
    measured_from: Text | None = None
    measured_before: Text | None = None
    """ISO dates; a row that states none is not meant."""

    def holds(self, row: Launched) -> bool:
        """Whether a row is one of them."""
        if row.table not in self.tables:
            return False
        for name in _EQUAL:
            stated = getattr(self, name)
            if stated is not None and stated != getattr(row, name):
                return False
        return (
            (self.weights is None or row.weights in self.weights)
            and (self.tensor_from is None or row.tensor >= self.tensor_from)
            and (self.tensor_below is None or row.tensor < self.tensor_below)
            and (self.load_from is None or row.load >= self.load_from)
            and (self.load_below is None or row.load < self.load_below)
            and (self.versions is None or row.version in self.versions)
            and (self.measured_from is None or row.measured >= self.measured_from)
            and (self.measured_before is None or "" < row.measured < self.measured_before)
        )
