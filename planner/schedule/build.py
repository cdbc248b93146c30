"""Builds schedules by name and size, and says which sizes a schedule accepts."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.schedule.registry import kind_of
from planner.schedule.rules import ScheduleSize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.arrays import Bools
    from planner.schedule.passes import Schedule

MOST_FORWARDS = 2_000_000
"""Most forwards of a schedule that is built; a simulation of this size takes ten seconds and 2
GB.
"""


def check_size(
    name: str,
    *,
    stages: int,
    virtual_stages: int = 1,
    num_microbatches: int,
    group: int | None = None,
) -> None:
    """Raises RuleError, with the id of the broken rule, when the schedule cannot have these
    sizes."""
    kind = kind_of(name)
    size = ScheduleSize.of(stages, virtual_stages, num_microbatches, group)
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
    """`check_size` for many numbers of microbatches at once; the result has their shape."""
    kind = kind_of(name)
    size = ScheduleSize.of(stages, virtual_stages, num_microbatches, group)
    return np.asarray(np.logical_and.reduce([rule.holds(size) for rule in kind.rules]))


@lru_cache(maxsize=64)
def build(
    name: str,
    *,
    stages: int,
    virtual_stages: int = 1,
    num_microbatches: int,
    group: int | None = None,
    ahead: tuple[int, ...] | None = None,
) -> Schedule:
    """The schedule of that name and size; the same object for the same arguments.

    `group` is Megatron-LM's `microbatch_group_size_per_vp_stage` (default: the number of stages);
    only `interleaved` uses it. `ahead`, microbatches over every boundary, is for schedules that run
    ahead. Raises RuleError when a rule of the schedule is broken or the order
    would not fit in memory.
    """
    check_size(
        name,
        stages=stages,
        virtual_stages=virtual_stages,
        num_microbatches=num_microbatches,
        group=group,
    )
    forwards = stages * virtual_stages * num_microbatches
    if forwards > MOST_FORWARDS:
        raise RuleError(
            "schedule-size",
            f"{name}: {stages} stages, {virtual_stages} chunks and {num_microbatches} microbatches "
            f"make {forwards:,} forwards, more than the {MOST_FORWARDS:,} that are simulated",
        )
    return kind_of(name).generate(
        ScheduleSize.of(stages, virtual_stages, num_microbatches, group, ahead)
    )
