"""How published benchmarks launched an engine: settings that their tables leave out."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

from planner.specs.engine import Gather
from planner.specs.engine_kernels import ExpertLaw, Untuned
from planner.specs.files import catalog
from planner.specs.files.fields import Count, Fraction, Input, RequestsPerSecond, Seconds, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document
from planner.validation.serving.launch_match import LaunchMatch
from planner.validation.serving.launch_settings import LaunchSettings

if TYPE_CHECKING:
    from planner.validation.serving.launch_match import Launched


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
            weights=row.weights,
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


class LaunchedDegrees(Input):
    """Degrees that tables leave out, which state one rank of experts and of attention."""

    of: LaunchMatch
    source: Text
    data_parallel: bool = False
    """Attention ranks hold requests of their own; experts lie whole on their devices either way."""


class ExpertKernels(Input):
    """Kernels of mixtures that a launch chose instead of those of the profile."""

    of: LaunchMatch
    source: Text
    data_parallel: bool | None = None
    """Only where attention is data-parallel."""
    law: ExpertLaw


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
    degrees: tuple[LaunchedDegrees, ...]
    expert_kernels: tuple[ExpertKernels, ...]
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


def launched_degrees(row: Launched) -> LaunchedDegrees | None:
    """Those of the first entry about a row; None where they are as its table states them."""
    return next((one for one in shipped_launches().degrees if one.of.holds(row)), None)


def expert_kernels(row: Launched, *, data_parallel: bool) -> ExpertLaw | None:
    """Those of the first entry about a row; None where the profile's hold."""
    for one in shipped_launches().expert_kernels:
        if one.of.holds(row) and (data_parallel or not one.data_parallel):
            return one.law
    return None


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
