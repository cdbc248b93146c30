"""The sizes that a schedule accepts, as data: each rule is a vectorised condition and a
sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from planner.arrays import Bools, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSize:
    """The sizes of the schedule wanted; `num_microbatches` may be an array of candidates."""

    stages: int
    virtual_stages: int
    num_microbatches: Ints
    group: Ints
    """Microbatches that pass through one chunk before the next chunk's turn (interleaved); default
    p."""
    ahead: Ints | None = None
    """[..., p − 1]: microbatches that stages run ahead over each boundary, where the schedule does
    so (`orders.ahead`); None for none."""

    @classmethod
    def of(
        cls,
        stages: int,
        virtual_stages: int,
        num_microbatches: ArrayLike,
        group: ArrayLike | None,
        ahead: ArrayLike | None = None,
    ) -> ScheduleSize:
        microbatches = np.asarray(num_microbatches, dtype=np.int64)
        return cls(
            stages=stages,
            virtual_stages=virtual_stages,
            num_microbatches=microbatches,
            group=np.asarray(stages if group is None else group, dtype=np.int64),
            ahead=None if ahead is None else np.asarray(ahead, dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRule:
    """A condition on the sizes. `sentence` may name p, v, m and g in braces."""

    id: str
    holds: Callable[[ScheduleSize], Bools]
    sentence: str
    about_microbatches: bool = False
    """Whether the condition also reads microbatches, not only stages and chunks."""

    def broken(self, size: ScheduleSize) -> str:
        """The sentence, with the sizes of one candidate."""
        return self.sentence.format(
            p=size.stages,
            v=size.virtual_stages,
            m=int(size.num_microbatches),
            g=int(size.group),
            rest=int(size.num_microbatches % np.maximum(size.group, 1)),
        )


def _always(size: ScheduleSize, truth: bool) -> Bools:
    return np.full(np.broadcast_shapes(size.num_microbatches.shape, size.group.shape), truth)


def _group_fits(size: ScheduleSize) -> Bools:
    return (size.stages <= size.group) & (size.group <= size.num_microbatches)


def _remainder_fits(size: ScheduleSize) -> Bools:
    rest = size.num_microbatches % np.maximum(size.group, 1)
    return np.asarray((rest == 0) | (rest >= size.stages))


POSITIVE = ScheduleRule(
    id="schedule-size",
    holds=lambda size: (
        _always(size, size.stages >= 1 and size.virtual_stages >= 1) & (size.num_microbatches >= 1)
    ),
    sentence="a schedule needs at least one stage, one chunk and one microbatch, "
    "not {p} stages, {v} chunks and {m} microbatches",
)

ONE_CHUNK = ScheduleRule(
    id="vpp",
    holds=lambda size: _always(size, size.virtual_stages == 1),
    sentence="this schedule runs one chunk per stage, not {v}",
)

SEVERAL_CHUNKS = ScheduleRule(
    id="vpp",
    holds=lambda size: _always(size, size.virtual_stages >= 2 and size.stages >= 2),
    sentence="interleaving needs at least 2 stages with at least 2 chunks each, "
    "not {p} stages with {v}",
)

GROUP_FITS = ScheduleRule(
    id="vpp-mb",
    holds=_group_fits,
    sentence="the interleaved microbatch group must hold at least one microbatch per stage ({p}) "
    "and at most the {m} microbatches of the step; it holds {g}",
    about_microbatches=True,
)

REMAINDER_FITS = ScheduleRule(
    id="vpp-mb",
    holds=_remainder_fits,
    sentence="{m} microbatches in groups of {g} leave a last group of {rest}, "
    "which must be 0 or at least the {p} stages",
    about_microbatches=True,
)

TWO_CHUNKS = ScheduleRule(
    id="vpp",
    holds=lambda size: _always(size, size.virtual_stages == 2),
    sentence="this schedule runs exactly 2 chunks per stage, not {v}",
)

TWO_ENDS = ScheduleRule(
    id="dualpipe",
    holds=lambda size: _always(size, size.stages % 2 == 0) & (size.num_microbatches % 2 == 0),
    sentence="both ends of the pipeline take half of the microbatches: stages ({p}) and "
    "microbatches ({m}) must be even",
    about_microbatches=True,
)

TWICE_THE_STAGES = ScheduleRule(
    id="dualpipe",
    holds=lambda size: _always(size, True) & (size.num_microbatches >= 2 * size.stages),
    sentence="this schedule needs at least two microbatches per stage, "
    "not {m} microbatches on {p} stages",
    about_microbatches=True,
)
