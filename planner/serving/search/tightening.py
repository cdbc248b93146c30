"""Bounds of aggregated kinds lowered to what their simulations give, before the program of pools.

The kind with the highest bound is looked at first, at the requests under way that give it, until no
kind has a bound above the plan that is known.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from planner.serving.search.relaxed import Relaxation
from planner.serving.search.simulated import refine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.budget import Budget
    from planner.serving.search.columns import Column, PoolSpace
    from planner.serving.search.goal import Goal
    from planner.serving.search.pricing import Pricing

_CLOSE = 0.005
"""Share above the known plan to which bounds are lowered."""
_MOST = 800
"""Looks at a kind."""


def tighten(
    columns: Sequence[Column],
    space: PoolSpace,
    goal: Goal,
    pricing: Pricing,
    known: float,
    budget: Budget,
) -> None:
    """`known`: the score of a plan: requests per second, or those over what they cost. Raises:
    OutOfTime."""
    for outer, more in ((False, 0.0), (True, _CLOSE)):
        aim = known * (1 + more)
        theta, least = (aim, 0.0) if goal.by_ratio else (0.0, aim)
        bounds = Relaxation(columns, space, goal, theta=theta, outer=outer)
        queue = [
            (-bounds.with_column(at)[0], at)
            for at, one in enumerate(columns)
            if one.role == "aggregated" and one.clients.size
        ]
        heapify(queue)
        looks = 0
        while queue and looks < _MOST and -queue[0][0] > least:
            budget.check()
            _, at = heappop(queue)
            bound, clients = bounds.with_column(at)
            if queue and bound < -queue[0][0]:
                heappush(queue, (-bound, at))
                continue
            looks += 1
            if bound <= least or not refine(columns[at], clients, goal, pricing):
                continue
            bounds.renew(at)
            if columns[at].clients.size:
                heappush(queue, (-bounds.with_column(at)[0], at))
