"""How published benchmarks launched an engine: settings that their tables leave out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from planner.specs.engine import Gather, Untuned
from planner.specs.files import catalog
from planner.specs.files.fields import Count, Fraction, Input, RequestsPerSecond, Seconds, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from planner.specs.engine import EngineProfile, KernelTable

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSettings:
    """What a launch sets; None where an engine's profile holds."""

    kv_format: Literal["bf16", "fp8"] | None = None
    max_step_tokens: int | None = None
    max_running: int | None = None
    mixed: bool | None = None
    chunked: bool | None = None
    poll_steps: int | None = None
    gather: Gather | None = None
    memory_share: float | None = None
    step_s: float | None = None
    """What the host adds to a step."""
    rounds: int | None = None
    """Requests of each client."""
    least: float | None = None
    """Lengths are uniform from this share of the stated ones on."""
    drafts: bool = False
    untuned: Untuned | None = None
    """Products in `weights` that the image had no tuned kernels for."""
    weights: str = ""

    def applied(self, engine: EngineProfile) -> EngineProfile:
        """The engine as it was launched."""
        names = ("max_step_tokens", "max_running", "mixed", "chunked", "poll_steps", "gather")
        stated = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        scheduler = engine.scheduler.model_copy(update=stated)
        memory = engine.memory
        if self.memory_share is not None:
            share = memory.share.model_copy(update={"value": self.memory_share})
            memory = memory.model_copy(update={"share": share})
        host = engine.host
        if self.step_s is not None:
            step = host.step.model_copy(update={"value": self.step_s})
            host = host.model_copy(update={"step": step})
        kv_format = self.kv_format or engine.kv_format
        changed: dict[str, object] = {
            "scheduler": scheduler,
            "memory": memory,
            "host": host,
            "kv_format": kv_format,
        }
        if self.untuned is not None:
            changed["kernels"] = {
                name: self._without_tuning(table) for name, table in engine.kernels.items()
            }
        return engine.model_copy(update=changed)

    def _without_tuning(self, table: KernelTable) -> KernelTable:
        law = table.products.get(self.weights)
        if law is None:
            return table
        slow = law.model_copy(update={"untuned": self.untuned})
        return table.model_copy(update={"products": table.products | {self.weights: slow}})


AS_STATED = LaunchSettings()
"""What an engine's profile has."""


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


class EngineLaunch(Input):
    """Settings of some rows; what is left out is as the engine's profile has it."""

    of: LaunchMatch
    source: Text
    kv_format: Literal["bf16", "fp8"] | None = None
    max_step_tokens: Count | None = None
    tokens_beyond_input: Count | None = None
    """A step holds the whole prompt, one token for each of the load, and so many more; at least
    `max_step_tokens`, where both are stated."""
    prompts_in_step: Count | None = None
    """A step holds so many of the longest prompts."""
    mixed: bool | None = None
    chunked: bool | None = None
    """As `Scheduler` has them."""
    poll_steps: Count | None = None
    gather: Gather | None = None
    memory_share: Fraction | None = None
    step: Seconds | None = None
    rounds: Count | None = None
    least: Fraction | None = None
    drafts: bool = False
    """Tokens were drafted, and how many were accepted is not stated."""
    untuned: Untuned | None = None
    """Products that the image had no tuned kernels for."""

    def settings(self, row: Launched) -> LaunchSettings:
        """What it sets for a row."""
        tokens = self.max_step_tokens
        if self.tokens_beyond_input is not None:
            beyond = row.input_length + round(row.load) + self.tokens_beyond_input
            tokens = max(beyond, tokens or 0)
        if self.prompts_in_step is not None:
            tokens = self.prompts_in_step * row.input_length
        return LaunchSettings(
            kv_format=self.kv_format,
            max_step_tokens=tokens,
            mixed=self.mixed,
            chunked=self.chunked,
            poll_steps=self.poll_steps,
            gather=self.gather,
            memory_share=self.memory_share,
            step_s=self.step,
            rounds=self.rounds,
            least=self.least,
            drafts=self.drafts,
            untuned=self.untuned,
            weights="" if self.untuned is None else row.weights,
        )


class ColdStart(Input):
    """Runs whose first requests met an engine that still compiled its kernels."""

    of: LaunchMatch
    source: Text


class OfflineWork(Input):
    """How many requests there were in runs whose table states a range."""

    of: LaunchMatch
    source: Text
    requests: Count


class DataParallelPool(Input):
    """Pools that decode with data-parallel attention, which the table leaves out: it counts their
    devices in the tensor degree."""

    of: LaunchMatch
    source: Text


class ReplayedTraces(Input):
    """Traces whose requests come as a Poisson process: how many in a second, by name. Runs on fewer
    than `devices` are of one of several replicas that take them in turn."""

    of: LaunchMatch
    source: Text
    devices: Count
    rates: dict[str, RequestsPerSecond]


class Launches(Input):
    """The file of launches."""

    launches: tuple[EngineLaunch, ...]
    cold_starts: tuple[ColdStart, ...]
    offline_work: tuple[OfflineWork, ...]
    data_parallel_pools: tuple[DataParallelPool, ...]
    traces: tuple[ReplayedTraces, ...]


def launched_with(row: Launched) -> LaunchSettings:
    """The settings of the first entry about a row; those of the profile without any."""
    for launch in shipped_launches().launches:
        if launch.of.holds(row):
            return launch.settings(row)
    return LaunchSettings()


def starts_cold(row: Launched) -> bool:
    """Whether the first requests of a row waited for kernels to be compiled."""
    return any(one.of.holds(row) for one in shipped_launches().cold_starts)


def is_data_parallel(row: Launched) -> bool:
    """Whether the attention of a pool that decodes is data-parallel, although its table does not
    say so."""
    return any(one.of.holds(row) for one in shipped_launches().data_parallel_pools)


def trace_rate(row: Launched, name: str) -> tuple[float, int] | None:
    """Requests per second of a trace, and over how many devices they are spread; None for a trace
    that is not known."""
    for one in shipped_launches().traces:
        if one.of.holds(row) and name in one.rates:
            return one.rates[name], one.devices
    return None


def offline_requests(row: Launched) -> int | None:
    """Of the first entry about a row; None without any."""
    for work in shipped_launches().offline_work:
        if work.of.holds(row):
            return work.requests
    return None


@cache
def shipped_launches() -> Launches:
    """The shipped file. Raises: InputError."""
    path = catalog.folder("runs") / "serving" / "launches.yaml"
    return validate(load_document(path), Launches)
