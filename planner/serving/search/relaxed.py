"""A bound of all pools in closed form, which is known before anything is simulated."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from planner.solver.pools import outer_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.serving.search.columns import Column, PoolSpace
    from planner.serving.search.goal import Goal

_PRICES = np.concatenate(([0.0], np.geomspace(1e-6, 1.0, 61)))
"""What a request under way counts, over the largest rate that one has."""


def relaxed_bound(columns: Sequence[Column], space: PoolSpace, goal: Goal) -> float:
    """A score that no counts have. Readers take no devices here, and replicas are not whole.

    With λ for a request under way, C of them and D_g devices of each group
    r ≤ λ C + Σ_g D_g max (r_wl − λ b_wl) / s_w, whatever λ ≥ 0 (the dual of the program).
    """
    writing = [one for one in columns if one.role != "prefill"]
    levels = [(one, *outer_levels(one.clients, one.rate)) for one in writing]
    if goal.by_ratio:
        return max(
            float(rate.max()) / (one.kind.devices * goal.cost(one.kind.group))
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
                left = (rate[:, None] - clients[:, None] * prices).max(axis=0)
                best = np.maximum(best, left / one.kind.devices)
        total = total + room.devices * best
    return float(total.min())
