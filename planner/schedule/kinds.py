"""What is known about a schedule apart from its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from planner.schedule.passes import looped
from planner.schedule.rules import ScheduleRule, ScheduleSize

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import ChunkMap, Exchange, Schedule


class Support(NamedTuple):
    """A framework that runs a schedule."""

    framework: str
    """Its name, as in software profiles."""
    provider: str
    """The function or class, or the fork or plug-in, that provides the schedule."""
    mainline: bool
    """Whether it is part of the framework itself."""


class LayoutTraits(NamedTuple):
    """The traits of a schedule that decide which stage holds what."""

    placement: Callable[[int, int], ChunkMap]
    shares_vocabulary: bool
    balances_head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularySharing:
    """How the stages share the vocabulary layers (Yeung et al. 2024)."""

    exchanges: tuple[Exchange, ...]
    """The collectives of the schedules it makes."""
    rescales: bool
    """Each stage computes the softmax of its own part and corrects it once the sum over all stages
    is known; the last stage's output travels in fp32. Otherwise the stages exchange before any of
    them continues, as in tensor parallelism."""
    early_input_gradient: bool = False
    """The matmul for the input gradient belongs to the forward pass (algorithm 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleKind:
    """A named schedule as data."""

    name: str
    source: str
    """The paper it comes from."""
    runs_on: tuple[Support, ...]
    rules: tuple[ScheduleRule, ...]
    placement: Callable[[int, int], ChunkMap]
    """(stages, chunks) to the virtual stage of every chunk."""
    generate: Callable[[ScheduleSize], Schedule]
    warmup: Callable[[ScheduleSize], Ints] | None = None
    """[..., p]: number of forwards that stages run before they alternate forwards and backwards, if
    that alone fixes the order (`orders.alternating`)."""
    peak: Callable[[ScheduleSize], Ints] | None = None
    """Closed form of `inflight.peak_in_flight`; None: counted over the order."""
    bubble_fraction: Callable[[ScheduleSize], Floats] | None = None
    """Closed form for uniform stages and free sends, as a fraction of the step."""
    splits_backward: bool = False
    sends: Sends | None = None
    """What a stage does after a pass whose result another stage needs, under every framework. None:
    the framework decides."""
    sends_may_overlap: bool = False
    """Frameworks that wait for sends overlap them in the steady phase, or send them in pairs."""
    runs_ahead: bool = False
    """Stages run additional microbatches ahead over slow boundaries, as many as are under way
    there, so that the order depends on the times of stages and sends (`orders.ahead`)."""
    windows_are_paths: bool = False
    """The windows of consecutive stages are paths of its step (`bounds.windows`)."""
    runs_in_groups: bool = False
    """A stage takes as many microbatches through a chunk as there are stages, at most, before it
    turns to the next: the forwards of the first ones before any backward, the backwards of the last
    ones after all forwards."""
    vocabulary: VocabularySharing | None = None
    """Embedding and output layer are divided among all stages."""
    balances_head: bool = False
    """The stage with the output layer gets fewer layers than the others."""
    parameter_copies: int = 1
    """Copies of every parameter that the pipeline holds (2 when it runs in both directions at
    once)."""

    @property
    def shares_vocabulary(self) -> bool:
        """Embedding and output layer are divided among all stages."""
        return self.vocabulary is not None

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The collectives of all stages in the schedules it makes."""
        return () if self.vocabulary is None else self.vocabulary.exchanges

    @property
    def layout_traits(self) -> LayoutTraits:
        return LayoutTraits(self.placement, self.shares_vocabulary, self.balances_head)

    @property
    def returns_to_first(self) -> bool:
        """Whether the last whole backward of a stage is followed by one on every earlier stage, so
        that `closed_form.span_lower_bound` holds."""
        return self.placement is looped and not self.splits_backward and not self.shares_vocabulary

    def may_have(self, stages: int, virtual_stages: int) -> bool:
        """Whether it runs on this many stages and chunks, given a suitable number of
        microbatches."""
        size = ScheduleSize.of(stages, virtual_stages, 1, None)
        return all(rule.about_microbatches or bool(rule.holds(size)) for rule in self.rules)

    def support(self, framework: str) -> Support | None:
        """How a framework runs it; None where it does not."""
        return next((found for found in self.runs_on if found.framework == framework), None)
