"""Pipelines in which every microbatch takes a path of its own: stages skipped, or in another order.

SkipPipe, "Partial and Reordered Pipelining for Training LLMs in Heterogeneous Networks"
(arXiv:2502.19913), plans such paths; here they are given. Skipping stages changes what is trained,
so nothing proposes it unasked.

Microbatches with the same path share a route, which is a chunk of every stage on it: chunk r of
stage s is the layers of stage s for the microbatches of route r.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.schedule.passes import ChunkMap, Pass, PassKind, Schedule, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from planner.arrays import Floats

F, B = PassKind.FORWARD, PassKind.BACKWARD

_FORWARD_PLACES, _BACKWARD_PLACES = 1, 2
"""Places that a forward and a backward take while an order is built."""

_MOST_VISITS = 1 << 24
"""Most stage visits of an order that is built; simulated, it takes a few gigabytes."""


def path_schedule(
    paths: Sequence[Sequence[int]], *, stages: int, kept: int | None = None
) -> Schedule:
    """The order in which stages run microbatches that visit the stages of `paths` one after the
    other and return the same way.

    A free stage takes a backward if one is waiting. Otherwise it takes a forward while it keeps
    fewer than `kept` activations (default: the number of stages). It always takes the first
    microbatch that is waiting. Raises RuleError("path") for a path that is empty, leaves the
    pipeline or visits a stage twice; RuleError("path-memory") when stages wait for room that only
    they could make for each other.
    """
    _check(paths, stages)
    placement, route = _routes(paths, stages)
    rows = _greedy(paths, route, stages, stages if kept is None else kept)
    return ordered("paths", rows, placement, num_microbatches=len(paths))


def ordered(
    name: str, rows: Sequence[Sequence[Pass]], placement: ChunkMap, *, num_microbatches: int
) -> Schedule:
    """Builds a schedule from the ordered passes of every stage. Only a simulation finds out whether
    it can run, and if not, which passes wait for each other."""
    length = max(map(len, rows))
    idle = Pass(PassKind.IDLE, 0, 0)
    steps = np.array([[*row, *[idle] * (length - len(row))] for row in rows], dtype=np.int32)
    stages, chunks = placement.virtual_stage.shape
    return Schedule(
        name=name,
        stages=stages,
        virtual_stages=chunks,
        num_microbatches=num_microbatches,
        placement=placement,
        codes=encode(
            steps[..., 0],
            steps[..., 2],
            steps[..., 1],
            virtual_stages=chunks,
            num_microbatches=num_microbatches,
        ),
        steady=np.zeros((stages, 2), dtype=np.int32),
    )


def boundary_seconds(placement: ChunkMap, seconds: ArrayLike) -> tuple[Floats, Floats]:
    """`Durations.forward_send_s` and `backward_send_s` [V − 1], given the seconds [p, p] of a
    message from each stage to each other stage; 0 for boundaries inside a stage."""
    between = np.asarray(seconds, dtype=np.float64)
    above, below = placement.stage_of[:-1], placement.stage_of[1:]
    stays = above == below
    return (
        np.where(stays, 0.0, between[above, below]),
        np.where(stays, 0.0, between[below, above]),
    )


def _check(paths: Sequence[Sequence[int]], stages: int) -> None:
    if not paths:
        raise RuleError("path", "there is no microbatch, so no path")
    for microbatch, path in enumerate(paths):
        listed = ", ".join(map(str, path))
        if not path:
            raise RuleError("path", f"microbatch {microbatch} visits no stage")
        if not all(0 <= stage < stages for stage in path):
            raise RuleError(
                "path",
                f"microbatch {microbatch} visits stages {listed}; there are 0 to {stages - 1}",
            )
        twice = [stage for stage, times in Counter(path).items() if times > 1]
        if twice:
            raise RuleError("path", f"microbatch {microbatch} visits stage {twice[0]} twice")
    visits = stages * len({tuple(path) for path in paths}) * len(paths)
    if visits > _MOST_VISITS:
        raise RuleError(
            "schedule-size",
            f"paths: {stages} stages, {len(paths)} microbatches and their different paths make "
            f"{visits} places, more than the {_MOST_VISITS} that are simulated",
        )


def _routes(paths: Sequence[Sequence[int]], stages: int) -> tuple[ChunkMap, list[int]]:
    """The chunk map in which every distinct path is a chunk, and the chunk of every microbatch.

    A route takes a block of p virtual stages: first its own stages in its order, then the stages it
    skips, which no microbatch visits.
    """
    number = {path: route for route, path in enumerate(dict.fromkeys(map(tuple, paths)))}
    virtual = np.empty((stages, len(number)), dtype=np.int32)
    for path, route in number.items():
        skipped = [stage for stage in range(stages) if stage not in path]
        virtual[[*path, *skipped], route] = stages * route + np.arange(stages)
    starts = tuple(stages * route for route in number.values())
    ends = tuple(stages * route + len(path) - 1 for path, route in number.items())
    placement = ChunkMap(name="paths", virtual_stage=virtual, starts=starts, ends=ends)
    return placement, [number[tuple(path)] for path in paths]


def _greedy(
    paths: Sequence[Sequence[int]], route: Sequence[int], stages: int, kept: int
) -> list[list[Pass]]:
    """The passes of every stage, run in places of equal length by the rules of `path_schedule`."""
    rows: list[list[Pass]] = [[] for _ in range(stages)]
    waiting: list[dict[tuple[bool, int], int]] = [{} for _ in range(stages)]
    """For every stage: (whether it is a forward, microbatch) to the stage's place in the path."""
    arriving: dict[int, list[tuple[int, bool, int, int]]] = {}
    busy_until, room = [0] * stages, [kept] * stages
    for microbatch, path in enumerate(paths):
        waiting[path[0]][True, microbatch] = 0
    left, place = 2 * sum(map(len, paths)), 0
    while left:
        for stage, forward, microbatch, index in arriving.pop(place, ()):
            waiting[stage][forward, microbatch] = index
        for stage in range(stages):
            ready = [key for key in waiting[stage] if not key[0] or room[stage]]
            if busy_until[stage] > place or not ready:
                continue
            forward, microbatch = min(ready)
            index, path = waiting[stage].pop((forward, microbatch)), paths[microbatch]
            rows[stage].append(Pass(F if forward else B, microbatch, route[microbatch]))
            room[stage] += -1 if forward else 1
            done = place + (_FORWARD_PLACES if forward else _BACKWARD_PLACES)
            busy_until[stage] = done
            left -= 1
            if forward and index == len(path) - 1:
                arriving.setdefault(done, []).append((stage, False, microbatch, index))
            elif forward or index:
                onward = index + (1 if forward else -1)
                arriving.setdefault(done, []).append((path[onward], forward, microbatch, onward))
        place += 1
        possible = any(not key[0] or room[s] for s in range(stages) for key in waiting[s])
        if left and not arriving and not possible:
            raise RuleError("path-memory", _stuck(waiting, kept))
    return rows


def _stuck(waiting: Sequence[dict[tuple[bool, int], int]], kept: int) -> str:
    held = ", ".join(
        f"stage {stage} microbatch {min(keys)[1]}" for stage, keys in enumerate(waiting) if keys
    )
    return (
        f"paths: no stage can go on: every stage that a microbatch waits for keeps {kept} "
        f"activations, and their backwards wait for such stages too; waiting to enter: {held}"
    )
