"""Finds how deep each pass lies in the dependencies, or which passes wait for each other in a
cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError

if TYPE_CHECKING:
    from planner.arrays import Ints
    from planner.schedule.passes import Schedule


def pass_levels(schedule: Schedule, first: Ints, second: Ints) -> Ints:
    """[p, n]: a level for every pass, higher than the levels of all passes it waits for.

    A pass waits for the previous one on its stage and for the passes at flat positions `first` and
    `second` (−1: none), each [p, n]. Raises RuleError("schedule-order") on a cycle.
    """
    if schedule.places is not None:
        level = schedule.places.astype(np.int64)
        flat = level.ravel()
        if (np.diff(level, axis=1) > 0).all() and all(
            (flat[wait[wait >= 0]] < level[wait >= 0]).all() for wait in (first, second)
        ):
            return level
    return _search(schedule, first, second)


def _search(schedule: Schedule, first: Ints, second: Ints) -> Ints:
    """The lowest possible levels, found pass by pass."""
    stages, count = first.shape
    waits, waits_too = first.ravel().tolist(), second.ravel().tolist()
    level = [-1] * (stages * count)
    at = [stage * count for stage in range(stages)]
    sleepers: dict[int, list[int]] = {}
    ready = list(range(stages))
    while ready:
        stage = ready.pop()
        here, stop = at[stage], (stage + 1) * count
        deepest = level[here - 1] if here > stage * count else -1
        while here < stop:
            cause, other = waits[here], waits_too[here]
            if cause >= 0:
                if level[cause] < 0:
                    sleepers.setdefault(cause, []).append(stage)
                    break
                if level[cause] > deepest:
                    deepest = level[cause]
            if other >= 0:
                if level[other] < 0:
                    sleepers.setdefault(other, []).append(stage)
                    break
                if level[other] > deepest:
                    deepest = level[other]
            deepest += 1
            level[here] = deepest
            if here in sleepers:
                ready += sleepers.pop(here)
            here += 1
        at[stage] = here
    if any(here < (stage + 1) * count for stage, here in enumerate(at)):
        raise RuleError("schedule-order", _deadlock(schedule, at, waits, waits_too, level))
    return np.array(level).reshape(stages, count)


def _deadlock(
    schedule: Schedule, at: list[int], waits: list[int], waits_too: list[int], level: list[int]
) -> str:
    """Names one cycle of stages that wait for each other."""
    count = schedule.codes.shape[1]
    stage = next(s for s, here in enumerate(at) if here < (s + 1) * count)
    seen: list[int] = []
    while stage not in seen:
        seen.append(stage)
        here = at[stage]
        stage = next(w for w in (waits[here], waits_too[here]) if w >= 0 and level[w] < 0) // count
    cycle = seen[seen.index(stage) :]
    links = []
    for blocked in cycle:
        here = at[blocked]
        cause = next(w for w in (waits[here], waits_too[here]) if w >= 0 and level[w] < 0)
        links.append(f"{position_name(schedule, here)} for {position_name(schedule, cause)}")
    return f"{schedule.name}: the order cannot be run, these wait for each other: " + "; ".join(
        links
    )


def position_name(schedule: Schedule, position: int) -> str:
    """The pass at a flat position of `Schedule.codes`, in words."""
    stage, index = divmod(position, schedule.codes.shape[1])
    kind, microbatch, chunk = schedule.decode(int(schedule.codes[stage, index]))
    return f"stage {stage} {kind.label} of microbatch {microbatch} chunk {chunk}"
