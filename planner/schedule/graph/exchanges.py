"""Collectives of all stages in the graph of a schedule: vocabulary passes wait for each other.

Letters: p stages, n passes of a stage, m microbatches, E exchanges of the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.schedule.passes import VOCAB_KINDS, PassKind, Schedule

if TYPE_CHECKING:
    from planner.arrays import Bools, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meetings:
    """Which passes each exchange waits for, and which passes wait for it."""

    waits_for: tuple[Ints, ...]
    """E arrays [m, 1 or p]: flat positions in `Schedule.codes`."""
    awaited: Ints
    """[p, n]: e·m + microbatch of the exchange that a pass waits for; −1 where none."""
    holding: Ints
    """[p, n]: e·m + microbatch of the exchange that a stage waits for after a pass; −1 where
    none."""
    queue: Ints
    """[E·m]: e·m + microbatch, in the order in which exchanges run."""

    @classmethod
    def of(cls, schedule: Schedule) -> Meetings:
        """Raises: RuleError("schedule-order") when a pass that takes part does not run exactly
        once."""
        m = schedule.num_microbatches
        microbatch = np.arange(m)
        awaited = np.full(schedule.codes.size, -1, dtype=np.int64)
        holding = np.full_like(awaited, -1)
        waits_for, turns = [], []
        for index, exchange in enumerate(schedule.exchanges):
            number = index * m + microbatch
            waits_for.append(_positions(schedule, exchange.after))
            if exchange.holds:
                holding[waits_for[-1]] = number[:, None]
            for kind in exchange.before:
                awaited[_positions(schedule, kind)] = number[:, None]
            turns.append((microbatch + exchange.lag) * len(schedule.exchanges) + index)
        return cls(
            waits_for=tuple(waits_for),
            awaited=awaited.reshape(schedule.codes.shape),
            holding=holding.reshape(schedule.codes.shape),
            queue=np.argsort(np.concatenate(turns), kind="stable"),
        )


def _positions(schedule: Schedule, kind: PassKind) -> Ints:
    """Flat positions: [m, p] of the passes of a vocabulary kind, or [m, 1] of the passes of any
    other kind on the last virtual stage."""
    wanted: Bools = schedule.kinds == kind
    if kind not in VOCAB_KINDS:
        stage = np.arange(schedule.stages)[:, None]
        place = schedule.placement.virtual_stage[stage, schedule.chunks]
        wanted = wanted & (place == schedule.placement.ends[0])
    stages = np.flatnonzero(wanted.any(axis=1))
    found = np.flatnonzero(wanted)
    m = schedule.num_microbatches
    ran = schedule.microbatches.ravel()[found]
    order = np.lexsort((ran, found // schedule.codes.shape[1]))
    expected = schedule.stages if kind in VOCAB_KINDS else 1
    everywhere = len(stages) == expected and found.size == expected * m
    if not everywhere or (ran[order].reshape(-1, m) != np.arange(m)).any():
        raise RuleError(
            "schedule-order",
            f"{schedule.name}: {kind.label} of every microbatch must be run exactly once on "
            f"{'every stage' if kind in VOCAB_KINDS else 'the last stage'}",
        )
    return found[order].reshape(-1, m).T


def node_levels(left: Ints, right: Ints) -> Ints:
    """[nodes]: a level for every node, higher than the levels of both nodes it waits for; −1 for
    nodes that wait for each other in a cycle. Node 0 waits for nothing."""
    count = left.size
    one, other = left.tolist(), right.tolist()
    followers: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for node in range(1, count):
        followers[one[node]].append(node)
        followers[other[node]].append(node)
        missing[node] = 2
    level = [-1] * count
    level[0] = 0
    ready = [0]
    while ready:
        node = ready.pop()
        for follower in followers[node]:
            missing[follower] -= 1
            if not missing[follower]:
                level[follower] = 1 + max(level[one[follower]], level[other[follower]])
                ready.append(follower)
    return np.array(level)


def deadlock(
    name: str, left: Ints, right: Ints, stuck: set[int], names: dict[int, str]
) -> RuleError:
    """The error that spells out one cycle among the `stuck` nodes; nodes without a name are
    joins."""
    node = min(stuck)
    seen: list[int] = []
    while node not in seen:
        seen.append(node)
        node = next(int(cause) for cause in (left[node], right[node]) if int(cause) in stuck)
    ring = [names[one] for one in seen[seen.index(node) :] if one in names]
    links = [f"{one} for {other}" for one, other in zip(ring, [*ring[1:], ring[0]], strict=True)]
    return RuleError(
        "schedule-order",
        f"{name}: the order cannot be run, these wait for each other: " + "; ".join(links),
    )
