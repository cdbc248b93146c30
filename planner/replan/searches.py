"""Ways that change the shape of the plan: fewer stages, or anything."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from planner.errors import PlannerError, RuleError
from planner.plan import AXES, RankedPlan
from planner.replan.option import Moved, NoWay
from planner.training.estimate import estimate
from planner.training.scenario import build_scenario, resized
from planner.training.search.best_first.run import SearchRun
from planner.training.search.idle.batches import fastest_near
from planner.training.search.idle.nodes import FewerNodes, may_idle
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions
from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.budget import Budget
    from planner.plan import Plan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.training.scenario import Scenario

TINY = 1e-30
"""Sequences a second that any plan surpasses."""

MOST_TRIED = 3
"""Numbers of stages that are looked at, the largest first."""


def shifted(scenario: Scenario, plan: Plan, cluster: ClusterSpec, budget: Budget) -> Moved | NoWay:
    """The same replicas and tensor groups over fewer stages."""
    degrees, each = plan.degrees, scenario.node_devices
    stage, left = degrees.stage_devices, cluster.num_devices or 0
    pipelines = [
        count
        for count in range(degrees.pipeline - 1, 0, -1)
        if count * stage <= left and count * stage % each == 0
    ]
    if not pipelines:
        reason = "the plan has one stage" if degrees.pipeline == 1 else "too few devices are left"
        return NoWay(way="shift", reason=reason)
    best: Moved | NoWay = NoWay(way="shift", reason="with fewer stages nothing fits")
    layers = scenario.model.num_layers
    fewest = inf
    for pipeline in pipelines[:MOST_TRIED]:
        if -(-layers // pipeline) > fewest:
            break  # the busiest stage would have more to do
        fixed = {axis: (getattr(degrees, axis),) for axis in AXES}
        restrictions = Restrictions(**{**fixed, "pipeline": (pipeline,)})
        what = f"{pipeline} of {degrees.pipeline} stages"
        found = _best(what, scenario, cluster, pipeline * stage, restrictions, budget)
        if isinstance(found, NoWay):
            best = found if isinstance(best, NoWay) else best
            continue
        fewest = -(-layers // pipeline)
        if isinstance(best, NoWay) or found.estimate.step_s < best.estimate.step_s:
            best = found
    return best


def anew(
    scenario: Scenario,
    plan: Plan,
    cluster: ClusterSpec,
    known: Sequence[Moved],
    budget: Budget,
) -> Iterator[Moved | NoWay]:
    """The fastest plan of any shape on what is left of the cluster, which may leave nodes idle, and
    one with other stages and replicas and a batch close to the job's. They are of no use where they
    are not faster than those of other ways, which are `known`."""
    batch = scenario.job.global_batch_size
    same = [one.estimate.step_s for one in known if one.scenario.job.global_batch_size == batch]
    below_s = min(same, default=inf)
    no_use = "nothing fits" if not same else "no other shape is faster than those of other ways"
    try:
        job = replace(scenario.job, devices=cluster.num_devices or 0)
        whole = build_scenario(cluster, scenario.model, job)
        run = SearchRun(
            scenario=whole,
            restrictions=Restrictions(),
            top=1,
            budget=budget,
            improve=None,
            enough_s=below_s,
        )
        smaller = FewerNodes(run=run) if may_idle(whole) else None
        with suppress(RuleError):
            run.bound()
            run.refine()
        if smaller is not None:
            smaller.look()
        found = run.best.kept if smaller is None else tuple(filter(None, [smaller.best]))
    except PlannerError as error:
        yield NoWay(way="search", reason=str(error))
        return
    searched: Moved | NoWay = NoWay(way="search", reason=no_use)
    if found:
        ranked = RankedPlan(rank=1, plan=found[0].plan, estimate=found[0].estimate)
        sized = resized(whole, ranked.plan.degrees.devices)
        searched = Moved(way="search", what="another shape", scenario=sized, ranked=ranked)
        known = [*known, searched]
    yield searched
    if smaller is not None:
        yield other_batch(whole, plan, smaller, known)


def other_batch(
    whole: Scenario, plan: Plan, smaller: FewerNodes, known: Sequence[Moved]
) -> Moved | NoWay:
    """Other stages and replicas with a batch close to the job's, if that trains more tokens per
    second than the ways `known`: tensor groups and micro-batches stay."""
    none = NoWay(way="search-batch", reason="no batch close to the job's is faster")
    degrees = plan.degrees
    rates = [one.scenario.job.global_batch_size / one.estimate.step_s for one in known]
    restrictions = Restrictions(
        tensor=(degrees.tensor,),
        context=(degrees.context,),
        expert=(degrees.expert,),
        micro_batch_size=(plan.micro_batch_size,),
    )
    near = fastest_near(smaller, restrictions, 1 / max(rates, default=TINY), above=False)
    if near is None:
        return none
    job = replace(whole.job, global_batch_size=near.global_batch_size)
    scenario = resized(replace(whole, job=job), near.nodes * whole.node_devices)
    ranked = RankedPlan(rank=1, plan=near.plan, estimate=estimate(scenario, near.plan))
    what = (
        f"{plural(near.plan.degrees.pipeline, 'stage')} and "
        f"{plural(near.plan.degrees.data, 'replica')}, a batch of {near.global_batch_size:,} "
        f"instead of {whole.job.global_batch_size:,}"
    )
    return Moved(way="search-batch", what=what, scenario=scenario, ranked=ranked)


def _best(
    what: str,
    scenario: Scenario,
    cluster: ClusterSpec,
    devices: int,
    restrictions: Restrictions,
    budget: Budget,
) -> Moved | NoWay:
    try:
        job = replace(scenario.job, devices=devices)
        whole = build_scenario(cluster, scenario.model, job)
        found = search(
            whole, restrictions=restrictions, top=1, budget=budget, idle=False, advise=False
        )
    except PlannerError as error:
        return NoWay(way="shift", reason=str(error))
    if not found.plans:
        reason = found.nearest[0].reason if found.nearest else "no plan was found"
        return NoWay(way="shift", reason=reason)
    best = found.plans[0]
    return Moved(
        way="shift", what=what, scenario=resized(whole, best.plan.degrees.devices), ranked=best
    )
