"""What a job does while nodes are away: the ways of `planner replan`, by the nodes left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.comparison.checkpoints import loading
from planner.comparison.side import Side
from planner.errors import PlannerError
from planner.replan.moves import dropped
from planner.replan.option import Moved
from planner.replan.replan import Restart
from planner.replan.searches import other_batch
from planner.training.scenario import resized
from planner.training.search.best_first.run import SearchRun
from planner.training.search.idle.nodes import FewerNodes, may_idle
from planner.training.search.idle.sizes import SharedSizes
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from planner.plan import Estimate, Plan
    from planner.replan.option import NoWay, Way
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFewer:
    """The fastest way to go on when `nodes` are left: `rate`, its tokens per second over those of
    the plan on all nodes; `used`, the nodes that work; `prepare_s`, seconds that its restart takes
    longer because the checkpoint is prepared for it."""

    nodes: int
    used: int
    way: Way
    rate: float
    global_batch_size: int
    prepare_s: float


def on_fewer_nodes(scenario: Scenario, plan: Plan, before: Estimate, most: int) -> list[OnFewer]:
    """For each number of nodes, up to `most` fewer than the plan uses, in which something fits: the
    best plan of any shape with the job's batch, or with a batch close to it fewer replicas of the
    same plan, or other stages and replicas, whichever trains most tokens per second. What runs on
    fewer nodes runs on more."""
    nodes, each = scenario.topology.nodes, scenario.node_devices
    sizes = [resized(scenario, left * each) for left in range(nodes - most, nodes)]
    shared = SharedSizes(sizes[-1], Restrictions()) if sizes and may_idle(sizes[-1]) else None
    first = Side(name="before", scenario=scenario, plan=plan, estimate=before)
    found: list[OnFewer] = []
    for smaller in sizes:
        ways = [_searched(smaller, shared), _fewer_replicas(scenario, plan, smaller)]
        known = [one for one in ways if isinstance(one, Moved)]
        if shared is not None:
            run = SearchRun(scenario=smaller, restrictions=Restrictions(), top=1, **shared.limits())
            other = other_batch(smaller, plan, FewerNodes(run=run), known)
            known += [other] if isinstance(other, Moved) else []
        options = [_option(first, smaller, one) for one in known]
        options += [replace(one, nodes=smaller.topology.nodes) for one in found[-1:]]
        if options:
            found.append(max(options, key=lambda one: (one.rate, -one.prepare_s)))
    return found


def _searched(smaller: Scenario, shared: SharedSizes | None) -> Moved | None:
    try:
        result = search(smaller, top=1, advise=False, sizes=shared)
    except PlannerError:
        return None
    if not result.plans:
        return None
    return Moved(way="search", what="another shape", scenario=smaller, ranked=result.plans[0])


def _fewer_replicas(scenario: Scenario, plan: Plan, smaller: Scenario) -> Moved | NoWay:
    """Which nodes are away is open, so the last ones are."""
    left = plan.placement.hosts[: smaller.topology.nodes]
    return dropped(scenario, plan, left, keep_batch=False)


def _option(first: Side, smaller: Scenario, moved: Moved) -> OnFewer:
    after = replace(first, scenario=moved.scenario, plan=moved.plan, estimate=moved.estimate)
    prepared = loading(first, after).verdict == "prepared"
    return OnFewer(
        nodes=smaller.topology.nodes,
        used=len(moved.plan.placement.hosts),
        way=moved.way,
        rate=min(1.0, moved.estimate.tokens_per_s / first.estimate.tokens_per_s),
        global_batch_size=moved.scenario.job.global_batch_size,
        prepare_s=Restart.of(first.scenario, first.plan).prepare_s if prepared else 0.0,
    )
