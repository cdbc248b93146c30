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

_EQUAL = ("engine", "model", "family", "device", "weights", "input_length", "output_length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What a row says of its launch, in the words of the files shipped here."""

    engine: str
    model: str
    family: str | None
    device: str
    weights: str
    input_length: int
    output_length: int
    tensor: int
    load: float


class LaunchMatch(Input):
    """The rows an entry is about: those that have everything stated here."""

    engine: Text
    model: Text | None = None
    family: Text | None = None
    device: Text | None = None
    weights: Text | None = None
    input_length: Count | None = None
    output_length: Count | None = None
    tensor_below: Count | None = None
    load_from: Count | None = None
    load_below: Count | None = None

    def holds(self, row: Launched) -> bool:
        """Whether a row is one of them."""
        for name in _EQUAL:
            stated = getattr(self, name)
            if stated is not None and stated != getattr(row, name):
                return False
        return (
            (self.tensor_below is None or row.tensor < self.tensor_below)
            and (self.load_from is None or row.load >= self.load_from)
            and (self.load_below is None or row.load < self.load_below)
        )


class EngineLaunch(Input):
    """Settings of some rows; what is left out is as the engine's profile has it."""

    of: LaunchMatch
    source: Text
    kv_format: Literal["bf16", "fp8"] | None = None
    max_step_tokens: Count | None = None
    poll_steps: Count | None = None
    gather: Gather | None = None

    def applied(self, engine: EngineProfile) -> EngineProfile:
        """The engine as it was launched."""
        names = ("max_step_tokens", "poll_steps", "gather")
        stated = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        scheduler = engine.scheduler.model_copy(update=stated)
        kv_format = self.kv_format or engine.kv_format
        return engine.model_copy(update={"scheduler": scheduler, "kv_format": kv_format})


class Launches(Input):
    """The file of launches."""

    tables: tuple[Text, ...]
    """Values of the column `source` that the launches are of."""
    launches: tuple[EngineLaunch, ...]


def launch_of(table: str, row: Launched) -> EngineLaunch | None:
    """The first entry about a row of a table of that source; None without any."""
    known = shipped_launches()
    if table not in known.tables:
        return None
    return next((launch for launch in known.launches if launch.of.holds(row)), None)


@cache
def shipped_launches() -> Launches:
    """The shipped file. Raises: InputError."""
    path = catalog.folder("runs") / "serving" / "launches.yaml"
    return validate(load_document(path), Launches)
