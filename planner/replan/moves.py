"""Ways that keep the shape of the plan: other hosts, or fewer replicas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.plan import RankedPlan
from planner.replan.option import Moved, NoWay
from planner.training.estimate import estimate
from planner.training.search.hosts.placement import placement_on
from planner.training.search.plans.problems import plan_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from planner.plan import Plan
    from planner.replan.option import Way
    from planner.training.scenario import Scenario


FEWER = 0.95
"""Share of the most replicas from which on smaller numbers are looked at too."""


def kept(scenario: Scenario, plan: Plan, what: str) -> Moved | NoWay:
    """The plan as it is."""
    return _priced("keep", what, scenario, plan) or NoWay(way="keep", reason="it does not fit")


def swapped(scenario: Scenario, plan: Plan, spares: Mapping[str, str]) -> Moved | NoWay:
    """The plan with some hosts replaced. `spares`: by the host that each replaces."""
    hosts = [spares.get(host, host) for host in plan.placement.hosts]
    moved = replace(plan, placement=placement_on(scenario, hosts))
    what = ", ".join(
        f"{new} for {old}" if new != old else f"a spare node for {old}"
        for old, new in spares.items()
    )
    found = _priced("swap", what, scenario.placed(hosts), moved)
    return found or NoWay(way="swap", reason="the plan does not fit on the spare nodes")


def dropped(
    scenario: Scenario, plan: Plan, hosts: Sequence[str], *, keep_batch: bool
) -> Moved | NoWay:
    """Fewer replicas, with the batch of the job or the one closest to it: the most that `hosts`
    hold and the framework can run, or slightly fewer where their stages fill whole nodes and train
    faster."""
    way: Way = "drop" if keep_batch else "drop-batch"
    degrees = plan.degrees
    replica = degrees.devices // degrees.data
    reason = _no_hosts(scenario, hosts, replica)
    best: Moved | None = None
    for data in range(degrees.data - 1, 0, -1):
        if best is not None and data < FEWER * best.plan.degrees.data:
            break
        chosen = _hosts_of(scenario, plan, hosts, data * replica)
        if chosen is None:
            continue
        found = _on_replicas(way, scenario, plan, data, chosen)
        if isinstance(found, NoWay):
            reason = found.reason
        elif best is None or found.estimate.tokens_per_s > best.estimate.tokens_per_s:
            best = found
    return best or NoWay(way=way, reason=reason)


def _on_replicas(
    way: Way, scenario: Scenario, plan: Plan, data: int, hosts: Sequence[str]
) -> Moved | NoWay:
    """The plan with `data` replicas on these hosts."""
    degrees, job = plan.degrees, scenario.job
    devices = degrees.devices // degrees.data * data
    reason = f"no smaller number of replicas divides the batch of {job.global_batch_size:,}"
    for batch in _batches(plan, job.global_batch_size, data, keep_batch=way == "drop"):
        smaller = replace(
            scenario, job=replace(job, global_batch_size=batch, devices=devices)
        ).placed(hosts)
        moved = replace(
            plan,
            degrees=replace(degrees, data=data),
            num_microbatches=batch // (plan.micro_batch_size * data),
            shard_over=plan.shard_over if _divides(plan, data) else None,
            placement=placement_on(smaller, hosts),
        )
        problem = next(iter(plan_problems(smaller, moved)), None)
        if problem is not None:
            reason = str(problem.error)
            continue
        what = f"{data} of {degrees.data} replicas"
        if batch != job.global_batch_size:
            what += f", a batch of {batch:,} instead of {job.global_batch_size:,}"
        found = _priced(way, what, smaller, moved)
        if found is not None:
            return found
        reason = "what replicas share no longer fits among fewer of them"
    return NoWay(way=way, reason=reason)


def _divides(plan: Plan, data: int) -> bool:
    return plan.shard_over is not None and data * plan.degrees.context % plan.shard_over == 0


def _batches(plan: Plan, batch: int, data: int, *, keep_batch: bool) -> Iterator[int]:
    """Global batches to try on so many replicas, the closest first."""
    together = plan.micro_batch_size * data
    if keep_batch:
        if batch % together == 0:
            yield batch
        return
    group = plan.degrees.pipeline if plan.virtual_stages > 1 else 1
    groups = batch // (together * group)
    near = {count * together * group for count in (groups, groups + 1) if count} - {batch}
    yield from sorted(near, key=lambda one: (abs(one - batch), one))


def _hosts_of(
    scenario: Scenario, plan: Plan, hosts: Sequence[str], devices: int
) -> tuple[str, ...] | None:
    """Hosts for so many devices in rank order: of every stage as many as it needs, those that it
    has first, then what others leave over. None where they do not make whole nodes, or too few."""
    sizes = dict(_sizes(scenario))
    each = scenario.node_devices
    if len({sizes[host] for host in hosts}) > 1 or devices % each or devices > each * len(hosts):
        return None
    nodes, stages = devices // each, plan.degrees.pipeline
    had, alive = plan.placement.hosts, set(hosts)
    extra = [host for host in hosts if host not in set(had)]
    if nodes % stages or len(had) % stages:
        return (*[host for host in had if host in alive], *extra)[:nodes]
    wide, need = len(had) // stages, nodes // stages
    of_stages = [
        [host for host in had[stage * wide : (stage + 1) * wide] if host in alive]
        for stage in range(stages)
    ]
    left = [host for one in of_stages for host in one[need:]] + extra
    found: list[str] = []
    for one in of_stages:
        taken = one[:need]
        while len(taken) < need:
            taken.append(left.pop(0))
        found += taken
    return tuple(found)


def _no_hosts(scenario: Scenario, hosts: Sequence[str], replica: int) -> str:
    """Why no number of replicas has hosts."""
    sizes = dict(_sizes(scenario))
    if len({sizes[host] for host in hosts}) > 1:
        return "nodes hold different numbers of devices"
    if sum(sizes[host] for host in hosts) < replica:
        return f"fewer than the {replica:,} devices of one replica are left"
    return f"no smaller number of replicas of {replica:,} devices fills whole nodes"


def _sizes(scenario: Scenario) -> Iterator[tuple[str, int]]:
    for group in scenario.cluster.node_groups:
        for host in group.hosts or ():
            yield host, group.devices_per_node


def _priced(way: Way, what: str, scenario: Scenario, plan: Plan) -> Moved | None:
    """None where the plan does not fit."""
    found = estimate(scenario, plan)
    if not found.memory.fits:
        return None
    ranked = RankedPlan(rank=1, plan=plan, estimate=found)
    return Moved(way=way, what=what, scenario=scenario, ranked=ranked)
