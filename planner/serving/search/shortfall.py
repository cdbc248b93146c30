"""Why no plan answers a stated rate within the limits, by how much, and what could give way."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from planner.serving.limits import STATISTICS
from planner.serving.search.impossible import relaxations_of
from planner.serving.search.rates import RatePricing, rated_columns
from planner.serving.search.streams import StreamSearch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.budget import Budget
    from planner.serving.load.arrivals import Stream
    from planner.serving.search.columns import PoolSpace
    from planner.serving.search.goal import Goal
    from planner.serving.search.job import ServingJob
    from planner.solver import Solver
    from planner.specs.serving_load import ServiceLevel

_LOW = 1 / 64
"""Share of its highest rate at which a replica answers about as soon as it ever does."""

_TIMES = 2.0
"""From so many times as many requests on, that is what is said of them."""


def shortfalls(
    job: ServingJob, stream: Stream, space: PoolSpace, solver: Solver, budget: Budget
) -> Iterator[str]:
    """`rate: within the limits 8 devices answer at most 9.1 requests per second; 12 come`, and what
    they answer without each limit. Where a limit is missed at any rate, which, and by how much.
    Raises: OutOfTime."""
    goal = replace(job.goal, objective="throughput")
    most = _most(job, stream, space, goal, solver, budget)
    devices = sum(room.devices for room in space.rooms)
    if most is None:
        yield from _at_any_rate(job, stream, space, budget)
        return
    come = stream.rate_per_s
    yield (
        f"rate: within the limits {devices:,} devices answer at most {most:.4g} requests per "
        f"second; {come:.4g} come, {_too_many(come / most)} and enough for about "
        f"{ceil(devices * come / most):,}"
    )
    for name, slo in _without_each(goal.slo):
        found = _most(job, stream, space, replace(goal, slo=slo), solver, budget)
        if found is not None and found > 1.01 * most:
            yield f"{name}: without this limit they answer {found:.4g} requests per second"


def _too_many(times: float) -> str:
    return f"{times:.3g} times as many" if times >= _TIMES else f"{times - 1:.0%} too many for them"


def _most(
    job: ServingJob,
    stream: Stream,
    space: PoolSpace,
    goal: Goal,
    solver: Solver,
    budget: Budget,
) -> float | None:
    """Requests per second that all devices answer within the limits of a goal."""
    pricing = RatePricing(stream, goal, None)
    search = StreamSearch(space, stream, job.load, goal, pricing, solver)
    search.run(budget)
    return search.score if search.parts is not None else None


def _at_any_rate(
    job: ServingJob, stream: Stream, space: PoolSpace, budget: Budget
) -> tuple[str, ...]:
    """Limits that replicas miss even with next to nothing to do."""
    free = replace(job.goal, slo=None)
    pricing = RatePricing(stream, free, None)
    found = []
    for one in rated_columns(replace(space, disaggregated=False), job.load, free):
        budget.check()
        tried = pricing.tried(one, one.most * _LOW).estimate
        if tried is not None:
            found.append(tried)
    return relaxations_of(job.goal, found)


def _without_each(slo: ServiceLevel | None) -> Iterator[tuple[str, ServiceLevel]]:
    """Every stated limit, and the others."""
    for latency in ("ttft", "tpot"):
        limits = None if slo is None else getattr(slo, latency)
        for statistic in STATISTICS:
            if limits is not None and getattr(limits, statistic) is not None:
                left = limits.model_copy(update={statistic: None})
                assert slo is not None
                yield f"{latency} {statistic}", slo.model_copy(update={latency: left})
