"""Exact answers of a search, each simulated once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.estimate import estimate
from planner.serving.search.levels import settings_of

if TYPE_CHECKING:
    from planner.serving.estimate import ServingEstimate
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.goal import Goal
    from planner.serving.search.levels import ReplicaSettings
    from planner.serving.search.space import ReplicaKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedReplicas:
    """Equal replicas with so many requests in each. `per_s`: requests per second of all; `excess`:
    the largest latency over its limit."""

    kind: ReplicaKind
    replicas: int
    clients: float
    per_s: float
    score: float
    excess: float
    estimate: ServingEstimate

    @property
    def devices(self) -> int:
        return self.replicas * self.kind.devices


class Pricing:
    """Simulations of one search. `clients`: requests under way in all; None: as many as are
    best."""

    def __init__(self, load: ClosedLoad, goal: Goal, clients: float | None) -> None:
        self._load, self._goal, self._clients = load, goal, clients
        self._settings: dict[int, ReplicaSettings] = {}
        self._known: dict[tuple[int, int, float], PricedReplicas] = {}

    @property
    def priced(self) -> tuple[PricedReplicas, ...]:
        """Everything so far, in order."""
        return tuple(self._known.values())

    def settings(self, kind: ReplicaKind) -> ReplicaSettings:
        if kind.index not in self._settings:
            self._settings[kind.index] = settings_of(kind, self._load, self._clients)
        return self._settings[kind.index]

    def replicas(self, kind: ReplicaKind, settings: ReplicaSettings, at: int) -> PricedReplicas:
        """One setting of a kind."""
        return self.price(kind, int(settings.replicas[at]), float(settings.clients[at]))

    def price(self, kind: ReplicaKind, replicas: int, clients: float) -> PricedReplicas:
        """So many replicas with so many requests under way in each."""
        key = (kind.index, replicas, clients)
        if key not in self._known:
            self._known[key] = self._simulated(kind, replicas, clients)
        return self._known[key]

    def _simulated(self, kind: ReplicaKind, replicas: int, clients: float) -> PricedReplicas:
        found = estimate(kind.scenario, replace(self._load, concurrency=clients))
        devices = replicas * kind.devices
        per_s = devices * found.output_tokens_per_s_per_device / self._load.mean_output
        cost = devices * self._goal.cost(kind.group)
        score = self._goal.score(*(np.array([one]) for one in (per_s, float(devices), cost)))
        return PricedReplicas(
            kind=kind,
            replicas=replicas,
            clients=clients,
            per_s=per_s,
            score=float(score[0]),
            excess=self._goal.excess(found.ttft, found.tpot),
            estimate=found,
        )
