"""Ways that change the shape of the plan: fewer stages, or anything."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from planner.errors import PlannerError, RuleError
from planner.plan import AXES, RankedPlan
from planner.replan.option import Moved, NoWay
from planner.training.scenario import build_scenario, resized
from planner.training.search.best_first.run import SearchRun
from planner.training.search.idle.nodes import FewerNodes, may_idle
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.plan import Plan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.training.scenario import Scenario

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


def anew(scenario: Scenario, cluster: ClusterSpec, below_s: float, budget: Budget) -> Moved | NoWay:
    """The fastest plan of any shape on what is left of the cluster, which may leave nodes idle. A
    plan that takes `below_s` or longer is of no use: another way is as fast."""
    reason = (
        "nothing fits" if below_s == inf else "no other shape is faster than those of other ways"
    )
    slower = NoWay(way="search", reason=reason)
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
        return NoWay(way="search", reason=str(error))
    if not found:
        return slower
    ranked = RankedPlan(rank=1, plan=found[0].plan, estimate=found[0].estimate)
    sized = _sized(whole, ranked)
    return Moved(way="search", what="another shape", scenario=sized, ranked=ranked)


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
    return Moved(way="shift", what=what, scenario=_sized(whole, best), ranked=best)


def _sized(whole: Scenario, best: RankedPlan) -> Scenario:
    """The scenario with as many devices as the plan takes."""
    devices = best.plan.degrees.devices
    return whole if devices == whole.job.devices else resized(whole, devices)
