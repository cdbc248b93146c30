"""How many replicas, and how many requests under way in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.load.steady import held_requests

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.space import ReplicaKind

_RATIO = 1.15
"""Between two numbers of requests of a rank, at least."""
_MOST_LEVELS = 24
"""Numbers of requests of a rank that are looked at."""
_BEYOND = 1.5
"""Requests of a rank over those that its KV cache holds, at most: more only wait."""
_MOST_COUNTS = 512
"""Numbers of replicas of a kind that are looked at one by one; more are evenly spaced in
logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplicaSettings:
    """Of one kind, [S]: replicas, and requests under way in each; every setting answers sooner than
    the one before."""

    replicas: Floats
    clients: Floats


def settings_of(kind: ReplicaKind, load: ClosedLoad, clients: float | None) -> ReplicaSettings:
    """All numbers of replicas for so many `clients` together; without, all the replicas there is
    room for, with from few requests to more than they hold."""
    if clients is None:
        each = levels_of(kind, load, None)[::-1]
        return ReplicaSettings(replicas=np.full_like(each, float(kind.most)), clients=each)
    most = max(1, min(kind.most, int(clients)))
    counts = np.arange(1, most + 1, dtype=np.float64)
    if most > _MOST_COUNTS:
        counts = np.unique(np.rint(np.geomspace(1, most, _MOST_COUNTS)))
    return ReplicaSettings(replicas=counts, clients=clients / counts)


def levels_of(kind: ReplicaKind, load: ClosedLoad, clients: float | None) -> Floats:
    """[L]: requests under way in one replica, ascending, at most `clients`."""
    limits = kind.scenario.engine.scheduler
    held = held_requests(kind.memory, load)
    most = max(1.0, min(_BEYOND * held, _BEYOND * limits.max_running))
    if clients is not None:
        most = max(1.0, min(most, clients / kind.lanes))
    steps = int(np.ceil(np.log(max(most, 1.01)) / np.log(_RATIO)))
    grid = np.geomspace(1.0, most, min(_MOST_LEVELS, max(2, steps)))
    each = np.unique(np.rint(grid))
    found = each * kind.lanes
    if clients is not None:
        found = np.unique(np.append(np.minimum(found, clients), min(clients, most * kind.lanes)))
    return np.asarray(found)
