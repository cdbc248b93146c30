"""Levels of aggregated kinds, simulated where the program of pools, or its bound, uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.serving.search.columns import Column
    from planner.serving.search.goal import Goal
    from planner.serving.search.pricing import Pricing

_CONCAVE = 0.025
"""Share by which simulations lie above lines through two others with fewer requests under way, at
most: of 4,700 such lines of vLLM, SGLang and TensorRT-LLM, dense models and mixtures."""


def simulate(one: Column, clients: float, goal: Goal, pricing: Pricing) -> None:
    """The levels next to so many requests under way in one replica. Of levels that miss the limits,
    and all above them, the largest number of requests that keeps them is left."""
    nearest = int(np.argmin(np.abs(one.clients - clients)))
    for at in range(max(0, nearest - 1), nearest + 2):
        if at < one.clients.size and not one.exact[at] and not _level(one, at, goal, pricing):
            _cut(one, at, goal, pricing)
            return


def _level(one: Column, at: int, goal: Goal, pricing: Pricing) -> bool:
    """Whether a level keeps the limits, simulated."""
    priced = pricing.price(one.kind, 1, float(one.clients[at]))
    one.rate[at], one.exact[at] = priced.per_s, True
    _lower(one, at)
    return goal.excess(priced.estimate.ttft, priced.estimate.tpot) <= 1


def _lower(one: Column, at: int) -> None:
    """What a simulated level says of those above it: requests per second are a concave function of
    requests under way, within `_CONCAVE`, so they lie below the line through it and the simulated
    one before it."""
    before = [level for level in range(at) if one.exact[level]]
    x, y = (one.clients[before[-1]], one.rate[before[-1]]) if before else (0.0, 0.0)
    slope = max(0.0, (one.rate[at] - y) / (one.clients[at] - x))
    line = one.rate[at] + slope * (one.clients - one.clients[at])
    unknown = ~np.array(one.exact)
    unknown[:at] = False
    one.rate[unknown] = np.minimum(one.rate, (1 + _CONCAVE) * line)[unknown]


def _cut(one: Column, at: int, goal: Goal, pricing: Pricing) -> None:
    """Takes the levels from one that misses the limits on away."""
    high = float(one.clients[at])
    while at and not _level(one, at - 1, goal, pricing):
        at -= 1
        high = float(one.clients[at])
    clients, rate = one.clients[:at].tolist(), one.rate[:at].tolist()
    exact, low, step = one.exact[:at], clients[-1] if at else 0.0, float(one.kind.lanes)
    while high - low > step:
        middle = low + step * ((high - low) // (2 * step) or 1)
        tried = pricing.price(one.kind, 1, middle)
        if goal.excess(tried.estimate.ttft, tried.estimate.tpot) > 1:
            high = middle
        else:
            low = middle
            clients.append(middle)
            rate.append(tried.per_s)
            exact.append(True)
    one.clients, one.rate, one.exact = np.array(clients), np.array(rate), exact


def refine(one: Column, clients: float, goal: Goal, pricing: Pricing) -> bool:
    """What is known of a kind near so many requests under way in a replica: the levels next to them
    simulated, and where they were, a level of its own. False where nothing is left to learn."""
    at = int(np.searchsorted(one.clients, clients))
    near = range(max(0, at - 1), min(at + 1, one.clients.size))
    if not all(one.exact[level] for level in near):
        simulate(one, clients, goal, pricing)
        return True
    lanes = one.kind.lanes
    middle = lanes * round(clients / lanes)
    if not near or not 0 < middle < one.clients[-1] or middle in one.clients:
        return False
    at = int(np.searchsorted(one.clients, middle))
    one.clients = np.insert(one.clients, at, middle)
    one.rate = np.insert(one.rate, at, 0.0)
    one.exact.insert(at, False)
    if not _level(one, at, goal, pricing):
        _cut(one, at, goal, pricing)
    return True
