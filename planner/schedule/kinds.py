"""Everything about a schedule that is not its order."""

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
    """As in software profiles."""
    provider: str
    """The function or class, or the fork or plug-in, that has it."""
    mainline: bool
    """Part of the framework itself."""


class LayoutTraits(NamedTuple):
    """What of a schedule decides which stage holds what."""

    placement: Callable[[int, int], ChunkMap]
    shares_vocabulary: bool
    balances_head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularySharing:
    """How the stages share the vocabulary layers (Yeung et al. 2024)."""

    exchanges: tuple[Exchange, ...]
    """As in the schedules it makes."""
    rescales: bool
    """Each stage works with a softmax of its own part, and corrects it once the sum over all
    stages is known; the last stage's output travels in fp32. Otherwise the stages exchange before
    each goes on, as tensor parallelism does."""
    early_input_gradient: bool = False
    """The product for the input gradient belongs to the forward pass (algorithm 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleKind:
    """A named schedule as data."""

    name: str
    source: str
    """The paper it comes from."""
    runs_on: tuple[Support, ...]
    rules: tuple[ScheduleRule, ...]
    placement: Callable[[int, int], ChunkMap]
    """(stages, chunks) to which virtual stage every chunk is."""
    generate: Callable[[ScheduleSize], Schedule]
    peak: Callable[[ScheduleSize], Ints] | None = None
    """Closed form of `inflight.peak_in_flight`; counted over the order where there is none."""
    bubble_fraction: Callable[[ScheduleSize], Floats] | None = None
    """Closed form for uniform stages and free sends, as a fraction of the step."""
    splits_backward: bool = False
    sends: Sends | None = None
    """What a stage does after a pass whose result another stage needs, whatever framework runs it.
    None: as the framework does."""
    sends_may_overlap: bool = False
    """Frameworks that wait for sends overlap them in the steady phase, or pair them."""
    windows_are_paths: bool = False
    """Windows of consecutive stages are paths of its step (`bounds.windows`)."""
    vocabulary: VocabularySharing | None = None
    """Embedding and output layer are divided among all stages."""
    balances_head: bool = False
    """The stage with the output layer gets fewer layers than the others."""
    parameter_copies: int = 1
    """Copies of every parameter the pipeline holds (2 when two directions run at once)."""

    @property
    def shares_vocabulary(self) -> bool:
        """Embedding and output layer are divided among all stages."""
        return self.vocabulary is not None

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Collectives of all stages in the schedules it makes."""
        return () if self.vocabulary is None else self.vocabulary.exchanges

    @property
    def layout_traits(self) -> LayoutTraits:
        return LayoutTraits(self.placement, self.shares_vocabulary, self.balances_head)

    @property
    def returns_to_first(self) -> bool:
        """Whether the last whole backward of a stage is followed by one of every stage before it
        (`closed_form.span_lower_bound` holds)."""
        return self.placement is looped and not self.splits_backward and not self.shares_vocabulary

    def may_have(self, stages: int, virtual_stages: int) -> bool:
        """Whether it runs on so many stages and chunks, with a suitable number of microbatches."""
        size = ScheduleSize.of(stages, virtual_stages, 1, None)
        return all(rule.about_microbatches or bool(rule.holds(size)) for rule in self.rules)

    def support(self, framework: str) -> Support | None:
        """How a framework runs it, if it does."""
        return next((found for found in self.runs_on if found.framework == framework), None)
