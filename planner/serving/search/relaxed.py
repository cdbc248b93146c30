"""A bound of all pools in closed form, which is known before anything is simulated."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from planner.solver.pools import outer_levels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.arrays import Floats
    from planner.serving.search.columns import Column, PoolSpace
    from planner.serving.search.goal import Goal

_PRICES = np.concatenate(([0.0], np.geomspace(1e-6, 1.0, 61)))
"""What a request under way counts, over the largest rate that one has."""


def relaxed_bound(columns: Sequence[Column], space: PoolSpace, goal: Goal) -> float:
    """A score that no counts have. Replicas are not whole here, and readers hold no requests.

    With λ for a request under way, C of them and D_g devices of each group
    r ≤ λ C + Σ_g D_g max (r_wl − λ b_wl) / (s_w + d_w r_wl), whatever λ ≥ 0 (the dual of the
    program), where d_w is the least that devices of the writer's group read for a request per
    second; 0 where another group may read for it, or where replicas read their own prompts.
    """
    writing = [one for one in columns if one.role != "prefill"]
    levels = [(one, *outer_levels(one.clients, one.rate)) for one in writing]
    reading = {one.kind.group: _reading(columns, one.kind.group) for one in writing}
    if goal.by_ratio:
        return max(
            float((rate / _devices(one, rate, reading)).max()) / goal.cost(one.kind.group)
            for one, _, rate in levels
        )
    if goal.objective == "devices":
        most = max(float(one.clients.max()) / one.kind.devices for one in columns)
        return 1.0 - ceil((space.clients or 0.0) / most - 1e-6)
    steepest = max(
        float((rate[clients > 0] / clients[clients > 0]).max()) for _, clients, rate in levels
    )
    prices = _PRICES * steepest if space.clients is not None else np.zeros(1)
    total = prices * (space.clients or 0.0)
    for group, room in enumerate(space.rooms):
        best = np.zeros(prices.shape)
        for one, clients, rate in levels:
            if one.kind.group == group:
                left = rate[:, None] - clients[:, None] * prices
                each = left / _devices(one, rate, reading)[:, None]
                best = np.maximum(best, each.max(axis=0))
        total = total + room.devices * best
    return float(total.min())


def _reading(columns: Sequence[Column], group: int) -> float:
    """Devices of a group that read one request per second for it; 0 where others may."""
    readers = [one for one in columns if one.reads_for == group and one.rate.max() > 0]
    if not readers or any(one.kind.group != group for one in readers):
        return 0.0
    return min(one.kind.devices / float(one.rate.max()) for one in readers)


def _devices(one: Column, rate: Floats, reading: Mapping[int, float]) -> Floats:
    """Those of a replica at its levels, with the readers that it takes."""
    more = reading[one.kind.group] if one.role == "decode" else 0.0
    found: Floats = one.kind.devices + more * rate
    return found
