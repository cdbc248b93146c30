"""The schedules by name, and everything about each that is not its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.schedule import alternating, dualpipe, v_shape, vocabulary, zero_bubble
from planner.schedule.passes import bidirectional, looped, vee
from planner.schedule.rules import (
    GROUP_FITS,
    ONE_CHUNK,
    POSITIVE,
    REMAINDER_FITS,
    SEVERAL_CHUNKS,
    TWICE_THE_STAGES,
    TWO_CHUNKS,
    TWO_ENDS,
    Rule,
    Size,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.schedule.arrays import Bools, Floats, Ints
    from planner.schedule.passes import Placement, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleKind:
    """A named schedule as data."""

    name: str
    source: str
    """Paper and framework function."""
    rules: tuple[Rule, ...]
    placement: Callable[[int, int], Placement]
    """(stages, chunks) to which virtual stage every chunk is."""
    generate: Callable[[Size], Schedule]
    peak: Callable[[Size], Ints] | None = None
    """Closed form of `inflight.peak_in_flight`; counted over the order where there is none."""
    bubble_fraction: Callable[[Size], Floats] | None = None
    """Closed form for uniform stages and free sends, as a fraction of the step."""
    splits_backward: bool = False
    shares_vocabulary: bool = False
    """Embedding and output layer are divided among all stages."""
    parameter_copies: int = 1
    """Copies of every parameter the pipeline holds (2 when two directions run at once)."""


def _alternating(
    *, name: str, source: str, rules: tuple[Rule, ...], warmup: Callable[[Size], Ints]
) -> ScheduleKind:
    return ScheduleKind(
        name=name,
        source=source,
        rules=rules,
        placement=looped,
        generate=lambda size: alternating.alternating_schedule(name, size, warmup(size)),
        peak=lambda size: alternating.peak(warmup(size), size),
        bubble_fraction=_fill_and_drain,
    )


def _fill_and_drain(size: Size) -> Floats:
    """(p − 1)/(v·m + p − 1): GPipe, section 2.3; Narayanan et al. 2021, section 2.2."""
    idle = size.stages - 1
    return idle / (size.virtual_stages * size.num_microbatches + idle)


SCHEDULES = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _alternating(
                name="gpipe",
                source="Huang et al. 2019, GPipe, section 2.3",
                rules=(POSITIVE, ONE_CHUNK),
                warmup=alternating.gpipe_warmup,
            ),
            _alternating(
                name="1f1b",
                source="Narayanan et al. 2021, section 2.2.1; "
                "Megatron-LM forward_backward_pipelining_without_interleaving",
                rules=(POSITIVE, ONE_CHUNK),
                warmup=alternating.one_forward_one_backward_warmup,
            ),
            _alternating(
                name="interleaved",
                source="Narayanan et al. 2021, section 2.2.2; "
                "Megatron-LM forward_backward_pipelining_with_interleaving",
                rules=(POSITIVE, SEVERAL_CHUNKS, GROUP_FITS, REMAINDER_FITS),
                warmup=alternating.interleaved_warmup,
            ),
            _alternating(
                name="1f1b-balanced",
                source="Yeung et al. 2024, arXiv:2411.05288, section 6.1: 1f1b with layers moved "
                "away from the output layer",
                rules=(POSITIVE, ONE_CHUNK),
                warmup=alternating.one_forward_one_backward_warmup,
            ),
            *(
                ScheduleKind(
                    name=f"1f1b-vocab-{3 - barriers}",
                    source="Yeung et al. 2024, arXiv:2411.05288, algorithm "
                    f"{3 - barriers}; sail-sg/VocabularyParallelism "
                    "forward_backward_pipelining_with_vocab_parallel",
                    rules=(POSITIVE, ONE_CHUNK),
                    placement=looped,
                    generate=partial(
                        vocabulary.balanced_vocabulary,
                        f"1f1b-vocab-{3 - barriers}",
                        barriers=barriers,
                    ),
                    peak=partial(vocabulary.balanced_peak, barriers=barriers),
                    shares_vocabulary=True,
                )
                for barriers in (2, 1)
            ),
            ScheduleKind(
                name="interlaced-vocab",
                source="Lin et al. 2024, nnScaler (OSDI 24), as built by Yeung et al. 2024; "
                "sail-sg/VocabularyParallelism "
                "forward_backward_pipelining_with_interlaced_schedule",
                rules=(POSITIVE, ONE_CHUNK),
                placement=looped,
                generate=vocabulary.interlaced,
                peak=vocabulary.interlaced_peak,
                shares_vocabulary=True,
            ),
            ScheduleKind(
                name="looped-bfs",
                source="Lamy-Poirier 2022, arXiv:2211.05953; torch ScheduleLoopedBFS",
                rules=(POSITIVE, SEVERAL_CHUNKS),
                placement=looped,
                generate=alternating.breadth_first,
                peak=alternating.everything,
            ),
            *(
                ScheduleKind(
                    name=f"zb-h{depth}",
                    source="Qi et al. 2024, arXiv:2401.10241, the handcrafted schedules",
                    rules=(POSITIVE, ONE_CHUNK),
                    placement=looped,
                    generate=partial(zero_bubble.handcrafted, f"zb-h{depth}", depth=depth),
                    peak=partial(zero_bubble.handcrafted_peak, depth=depth),
                    splits_backward=True,
                )
                for depth in (1, 2)
            ),
            ScheduleKind(
                name="zb-v",
                source="Qi et al. 2024, arXiv:2401.10241; torch ScheduleZBVZeroBubble",
                rules=(POSITIVE, TWO_CHUNKS),
                placement=vee,
                generate=v_shape.zb_v,
                splits_backward=True,
            ),
            ScheduleKind(
                name="v-half",
                source="Qi et al. 2024, arXiv:2405.15362",
                rules=(POSITIVE, TWO_CHUNKS),
                placement=vee,
                generate=v_shape.v_half,
                splits_backward=True,
            ),
            ScheduleKind(
                name="v-min",
                source="Qi et al. 2024, arXiv:2405.15362",
                rules=(POSITIVE, TWO_CHUNKS),
                placement=vee,
                generate=v_shape.v_min,
                splits_backward=True,
            ),
            ScheduleKind(
                name="dualpipe",
                source="DeepSeek-AI 2024, arXiv:2412.19437, section 3.2.1; dualpipe DualPipe.step",
                rules=(POSITIVE, TWO_CHUNKS, TWO_ENDS, TWICE_THE_STAGES),
                placement=bidirectional,
                generate=dualpipe.dualpipe,
                splits_backward=True,
                parameter_copies=2,
            ),
            ScheduleKind(
                name="dualpipe-v",
                source="torch ScheduleDualPipeV, after DualPipe",
                rules=(POSITIVE, TWO_CHUNKS, TWICE_THE_STAGES),
                placement=vee,
                generate=dualpipe.dualpipe_v,
                splits_backward=True,
            ),
        )
    }
)


_MOST_PAIRS = 1 << 24
"""Forwards of a schedule that is still built: a few gigabytes when simulated."""


def kind_of(name: str) -> ScheduleKind:
    """The schedule of that name. Raises RuleError("schedule") for an unknown one."""
    if name not in SCHEDULES:
        nearest = get_close_matches(name, SCHEDULES, n=1)
        raise RuleError(
            "schedule",
            f"there is no pipeline schedule {name!r}; known are {', '.join(SCHEDULES)}",
            hint=f"did you mean {nearest[0]}?" if nearest else None,
        )
    return SCHEDULES[name]


def check(
    name: str,
    *,
    stages: int,
    virtual_stages: int = 1,
    num_microbatches: int,
    group: int | None = None,
) -> None:
    """Raises RuleError, with the id of the broken rule, if the schedule cannot have these sizes."""
    kind = kind_of(name)
    size = Size.of(stages, virtual_stages, num_microbatches, group)
    for rule in kind.rules:
        if not rule.holds(size).all():
            raise RuleError(rule.id, f"{name}: {rule.broken(size)}")


def allowed(
    name: str,
    *,
    stages: int,
    virtual_stages: int = 1,
    num_microbatches: ArrayLike,
    group: ArrayLike | None = None,
) -> Bools:
    """`check` for many numbers of microbatches at once; the result has their shape."""
    kind = kind_of(name)
    size = Size.of(stages, virtual_stages, num_microbatches, group)
    return np.asarray(np.logical_and.reduce([rule.holds(size) for rule in kind.rules]))


@lru_cache(maxsize=64)
def build(
    name: str,
    *,
    stages: int,
    virtual_stages: int = 1,
    num_microbatches: int,
    group: int | None = None,
) -> Schedule:
    """The schedule of that name and size; the same object for the same arguments.

    `group` is Megatron-LM's `microbatch_group_size_per_vp_stage` (default: the number of stages);
    only `interleaved` looks at it. Raises RuleError when a rule of the schedule is broken or the
    order would not fit in memory.
    """
    check(
        name,
        stages=stages,
        virtual_stages=virtual_stages,
        num_microbatches=num_microbatches,
        group=group,
    )
    pairs = stages * virtual_stages * num_microbatches
    if pairs > _MOST_PAIRS:
        raise RuleError(
            "schedule-size",
            f"{name}: {stages} stages, {virtual_stages} chunks and {num_microbatches} microbatches "
            f"make {pairs} forwards, more than the {_MOST_PAIRS} that are simulated",
        )
    return kind_of(name).generate(Size.of(stages, virtual_stages, num_microbatches, group))
