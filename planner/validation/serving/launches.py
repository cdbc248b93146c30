"""How published benchmarks launched an engine: settings that their tables leave out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from planner.specs.engine import Gather
from planner.specs.files import catalog
from planner.specs.files.fields import Count, Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from planner.specs.engine import EngineProfile

_EQUAL = ("engine", "model", "family", "device", "input_length", "output_length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What a row says of its launch, in the words of the files shipped here."""

    table: str
    engine: str
    model: str
    family: str | None
    device: str
    weights: str
    input_length: int
    output_length: int
    tensor: int
    load: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSettings:
    """What a launch sets; None where an engine's profile holds."""

    kv_format: Literal["bf16", "fp8"] | None = None
    max_step_tokens: int | None = None
    poll_steps: int | None = None
    gather: Gather | None = None

    def applied(self, engine: EngineProfile) -> EngineProfile:
        """The engine as it was launched."""
        names = ("max_step_tokens", "poll_steps", "gather")
        stated = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        scheduler = engine.scheduler.model_copy(update=stated)
        kv_format = self.kv_format or engine.kv_format
        return engine.model_copy(update={"scheduler": scheduler, "kv_format": kv_format})


class LaunchMatch(Input):
    """The rows an entry is about: those that have everything stated here."""

    tables: tuple[Text, ...]
    """Values of the column `source`."""
    engine: Text
    model: Text | None = None
    family: Text | None = None
    device: Text | None = None
    weights: tuple[Text, ...] | None = None
    input_length: Count | None = None
    output_length: Count | None = None
    tensor_below: Count | None = None
    load_from: Count | None = None
    load_below: Count | None = None

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
            and (self.tensor_below is None or row.tensor < self.tensor_below)
            and (self.load_from is None or row.load >= self.load_from)
            and (self.load_below is None or row.load < self.load_below)
        )


class EngineLaunch(Input):
    """Settings of some rows; what is left out is as the engine's profile has it."""

    of: LaunchMatch
    source: Text
    kv_format: Literal["bf16", "fp8"] | None = None
    max_step_tokens: Count | None = None
    tokens_beyond_input: Count | None = None
    """A step holds the whole prompt, one token for each of the load, and so many more."""
    poll_steps: Count | None = None
    gather: Gather | None = None

    def settings(self, row: Launched) -> LaunchSettings:
        """What it sets for a row."""
        tokens = self.max_step_tokens
        if self.tokens_beyond_input is not None:
            tokens = row.input_length + round(row.load) + self.tokens_beyond_input
        return LaunchSettings(
            kv_format=self.kv_format,
            max_step_tokens=tokens,
            poll_steps=self.poll_steps,
            gather=self.gather,
        )


class Launches(Input):
    """The file of launches."""

    launches: tuple[EngineLaunch, ...]


def launched_with(row: Launched) -> LaunchSettings:
    """The settings of the first entry about a row; those of the profile without any."""
    for launch in shipped_launches().launches:
        if launch.of.holds(row):
            return launch.settings(row)
    return LaunchSettings()


@cache
def shipped_launches() -> Launches:
    """The shipped file. Raises: InputError."""
    path = catalog.folder("runs") / "serving" / "launches.yaml"
    return validate(load_document(path), Launches)
