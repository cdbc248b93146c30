"""Plans of what a search chose: their pools, hosts and forecasts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.plan.serving import ServingPlan, ServingPool
from planner.serving.deployment import PoolPart, forecast_of
from planner.serving.estimate import prices
from planner.serving.forecast import Offer
from planner.serving.limits import missed_limits
from planner.serving.open_deployment import open_forecast_of
from planner.serving.search.hosts import hosts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.serving.search.job import ServingJob
    from planner.serving.search.pricing import PricedReplicas


def offer_of(job: ServingJob, one: PricedReplicas) -> Offer:
    """The plan of equal replicas."""
    part = PoolPart(
        role="aggregated",
        group=one.kind.group,
        scenario=one.kind.scenario,
        replicas=one.replicas,
        clients=one.clients,
    )
    return scored_offer(job, (part,))[1]


def scored_offer(job: ServingJob, parts: Sequence[PoolPart]) -> tuple[float, Offer]:
    """The score and the plan of parts, with their hosts."""
    goal = job.goal
    costs = {
        "price_per_hour": _sum_of(goal.prices, parts),
        "watts": _sum_of(goal.watts, parts),
    }
    if job.stream is None:
        forecast, settled = forecast_of(parts, job.load, **costs)
    else:
        forecast, settled = open_forecast_of(parts, job.stream, **costs)
    missed = missed_limits(goal.slo, forecast.ttft, forecast.tpot)
    cost = sum(
        part.replicas * part.scenario.degrees.devices * goal.cost(part.group) for part in parts
    )
    figures = (forecast.requests_per_s, float(forecast.devices), cost)
    score = float(goal.score(*(np.array([one]) for one in figures))[0])
    return score, Offer(plan=plan_of(job, settled), forecast=forecast, missed=missed)


def plan_of(job: ServingJob, parts: Sequence[PoolPart]) -> ServingPlan:
    """The decisions of parts, readers first."""
    order = {"prefill": 0, "decode": 1, "aggregated": 2}
    merged = sorted(_merged(parts), key=lambda part: (order[part.role], part.group))
    hosts = hosts_of(job.cluster.node_groups, job.rooms, merged)
    return ServingPlan(
        engine=job.engine.name,
        pools=tuple(_pool(job, part, names) for part, names in zip(merged, hosts, strict=True)),
    )


def shape_of(plan: ServingPlan) -> tuple[ServingPool, ...]:
    """The plan without its limits and requests."""
    same = {
        "max_running": 1,
        "max_step_tokens": 1,
        "clients": 0.0,
        "requests_per_s": None,
        "hosts": (),
    }
    return tuple(replace(pool, **same) for pool in plan.pools)  # type: ignore[arg-type]


def _merged(parts: Sequence[PoolPart]) -> list[PoolPart]:
    """Readers of one kind for several groups are one pool."""
    found: dict[tuple[str, int], PoolPart] = {}
    for part in parts:
        key = (part.role, id(part.scenario))
        if key in found:
            one = found[key]
            count = one.replicas + part.replicas
            held = one.replicas * one.clients + part.replicas * part.clients
            come = one.replicas * one.per_s + part.replicas * part.per_s
            part = replace(one, replicas=count, clients=held / count, per_s=come / count)
        found[key] = part
    return list(found.values())


def _pool(job: ServingJob, part: PoolPart, hosts: tuple[str, ...]) -> ServingPool:
    scenario, group = part.scenario, job.cluster.node_groups[part.group]
    degrees, limits = scenario.degrees, scenario.engine.scheduler
    return ServingPool(
        role=part.role,
        group=group.name,
        device=group.device.name,
        replicas=part.replicas,
        tensor=degrees.tensor,
        pipeline=degrees.pipeline,
        attention_data=degrees.attention_data,
        expert=degrees.expert,
        weights=scenario.weights,
        kv_format=scenario.kv,
        max_running=limits.max_running,
        max_step_tokens=limits.max_step_tokens,
        kv_tokens=prices(scenario)[1].kv_tokens,
        memory_share=scenario.engine.memory.share.value,
        clients=part.clients,
        requests_per_s=part.per_s or None,
        hosts=hosts,
    )


def _sum_of(each: Sequence[float] | None, parts: Sequence[PoolPart]) -> float | None:
    if each is None:
        return None
    return sum(part.replicas * part.scenario.degrees.devices * each[part.group] for part in parts)
