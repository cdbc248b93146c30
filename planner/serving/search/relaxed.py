"""Bounds of all pools in closed form, which are known before anything is simulated.

Replicas are not whole here. At level l of kind w a request per second takes δ = s_w/r_wl devices
and β = b_wl/r_wl requests under way; one of pools takes those of a writer and of a reader. With λ
for a request under way, C of them, D_g devices of each group and θ for a unit of cost

    r − θ c ≤ λ C + Σ_g D_g φ_g        φ_g = max (1 − λ β)/δ − θ c_g, 0

whatever λ ≥ 0 (the dual of the program). Where another group may read for the writers of a group,
their readers take nothing. A plan that uses one kind for a role uses no other one for it: of a
group's devices that kind takes s_w at least, at its own φ_w, and the rest are at the φ of the
others.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.serving.search.columns import Column, PoolSpace
    from planner.serving.search.goal import Goal

    Points = tuple[Floats, Floats]
    """δ and β [N] of several levels."""

_PRICES = np.concatenate(([0.0], np.geomspace(1e-6, 1.0, 61)))
"""What a request under way counts, over the largest rate that one has."""
_FINER = 64
"""Prices around the best of those, which are looked at next."""
_FREE: Points = (np.zeros(1), np.zeros(1))
"""Of replicas that read their own prompts, or whose readers may be anywhere."""


def relaxed_bound(columns: Sequence[Column], space: PoolSpace, goal: Goal) -> float:
    """A score that no counts have."""
    if goal.objective == "devices":
        most = max(float(one.clients.max()) / one.kind.devices for one in columns)
        return 1.0 - ceil((space.clients or 0.0) / most - 1e-6)
    bounds = Relaxation(columns, space, goal)
    return bounds.ratio if goal.by_ratio else bounds.bound


class Relaxation:
    """Of all columns together, and of plans that use one of them. `theta`: what a unit of cost
    counts in requests per second. `outer`: at levels whose mixtures are nowhere below a concave
    curve through all."""

    def __init__(
        self,
        columns: Sequence[Column],
        space: PoolSpace,
        goal: Goal,
        *,
        theta: float = 0.0,
        outer: bool = True,
    ) -> None:
        self._columns, self._space = columns, space
        self._goal, self._theta, self._outer = goal, theta, outer
        self._points = [self._points_of(one) for one in columns]
        groups = range(len(space.rooms))
        self._readers = [self._least("prefill", group) for group in groups]
        self._writers = [self._least("decode", group) for group in groups]
        self._prices = self._around_the_best()
        self._each = [self._of_device(at) for at in range(len(columns))]

    @property
    def bound(self) -> float:
        """Requests per second, less what costs count, that no counts have."""
        return float(self._total().min())

    @property
    def ratio(self) -> float:
        """Requests per second over what they cost, of which no counts have more."""
        return max(
            float(1 / (self._points[at][0].min() + self._partners(at)[0].min()))
            / self._goal.cost(one.kind.group)
            for at, one in enumerate(self._columns)
            if one.role != "prefill" and self._points[at][0].size
        )

    def with_column(self, at: int) -> tuple[float, float]:
        """The bound of plans that use one column, and the requests under way of a replica at which
        it has it."""
        one = self._columns[at]
        if one.role == "prefill" and not self._reads_alone(one.kind.group):
            return self.bound, 0.0
        room, own = self._space.rooms[one.kind.group], self._each[at]
        rest = self._top(one.kind.group, pools=one.role == "aggregated")
        least = min(one.kind.devices, room.devices)
        mixed = np.where(
            own >= rest, room.devices * own, least * own + (room.devices - least) * rest
        )
        total = self._total(but=one.kind.group) + mixed
        best = int(np.argmin(total))
        return float(total[best]), self._clients_at(at, float(self._prices[best]))

    def renew(self, at: int) -> None:
        """After the levels of an aggregated column changed."""
        self._points[at] = self._points_of(self._columns[at])
        self._each[at] = self._of_device(at)

    def _points_of(self, one: Column) -> Points:
        clients, rate = one.clients, one.rate
        if self._outer and clients.size:
            clients, rate = one.outer
        some = rate > 0
        return one.kind.devices / rate[some], clients[some] / rate[some]

    def _least(self, role: str, group: int) -> Points:
        """The levels in a role of a group that no others are below in both δ and β."""
        readers = [one for one in self._columns if one.reads_for == group]
        if role == "prefill" and not (readers and all(one.kind.group == group for one in readers)):
            return _FREE
        found = [
            points
            for one, points in zip(self._columns, self._points, strict=True)
            if one.role == role and group in (one.kind.group, one.reads_for)
        ]
        if not found:
            return _FREE
        devices, held = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.lexsort((held, devices))
        devices, held = devices[order], held[order]
        kept = np.append(True, held[1:] < np.minimum.accumulate(held)[:-1])
        return devices[kept], held[kept]

    def _partners(self, at: int) -> Points:
        """The levels that those of a column are joined with."""
        one = self._columns[at]
        if one.role == "aggregated":
            return _FREE
        return (self._readers if one.role == "decode" else self._writers)[one.kind.group]

    def _of_device(self, at: int) -> Floats:
        """[P]: the most that a device gives with a column."""
        (own_devices, own_held), (devices, held) = self._points[at], self._partners(at)
        both = np.add.outer(own_devices, devices).ravel()
        under_way = np.add.outer(own_held, held).ravel()
        found: Floats = np.full(self._prices.shape, -self._theta * self._cost(at))
        if both.size:
            left = (1 - under_way[:, None] * self._prices) / both[:, None]
            found = left.max(axis=0) + found
        return found

    def _cost(self, at: int) -> float:
        return self._goal.cost(self._columns[at].kind.group)

    def _clients_at(self, at: int, price: float) -> float:
        """Of an aggregated column the requests under way of a replica at its best level."""
        devices, held = self._points[at]
        if self._columns[at].role != "aggregated" or not devices.size:
            return 0.0
        level = int(np.argmax((1 - held * price) / devices))
        return float(held[level] / devices[level]) * self._columns[at].kind.devices

    def _around_the_best(self) -> Floats:
        """Prices of a request under way, closer together where the bound is the least."""
        if self._space.clients is None:
            return np.zeros(1)
        writing = zip(self._columns, self._points, strict=True)
        least = min(
            (
                float(held[held > 0].min(initial=np.inf))
                for one, (_, held) in writing
                if one.role != "prefill"
            ),
            default=np.inf,
        )
        self._prices = _PRICES / least
        self._each = [self._of_device(at) for at in range(len(self._columns))]
        best = int(np.argmin(self._total()))
        low, high = self._prices[max(0, best - 1)], self._prices[min(best + 1, _PRICES.size - 1)]
        return np.unique(np.append(self._prices, np.linspace(low, high, _FINER)))

    def _total(self, *, but: int | None = None) -> Floats:
        """[P]: the bound at every price, without the devices of a group."""
        total = self._prices * (self._space.clients or 0.0)
        for group, room in enumerate(self._space.rooms):
            if group != but:
                total = total + room.devices * self._top(group)
        return total

    def _top(self, group: int, *, pools: bool | None = None) -> Floats:
        """[P]: the most of a device of a group, of pools or of aggregated replicas only."""
        best = np.zeros(self._prices.shape)
        for one, each in zip(self._columns, self._each, strict=True):
            pooled = one.role == "decode"
            if one.kind.group == group and one.role != "prefill" and pools in (None, pooled):
                best = np.maximum(best, each)
        return best

    def _reads_alone(self, group: int) -> bool:
        """Whether what a group reads is for itself, and nobody else reads for it."""
        pairs = {(one.kind.group, one.reads_for) for one in self._columns if one.role == "prefill"}
        return all((sender == group) == (receiver == group) for sender, receiver in pairs)
