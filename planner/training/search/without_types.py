"""Whether a job on mixed devices is faster without some of its device types.

The slowest devices may cost more than they give. Every union of device types that leaves some out
is searched as a cluster of its own, unless not even a step in which all of its devices were busy
all the time would be shorter than the best plan's. A union may have kernels that a type left out
lacks; then it is searched in any case. Where tiers would fall apart without a group, nothing is
said.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import PlannerError
from planner.specs.cluster.segments import only
from planner.training.batch import OUTER_KINDS
from planner.training.scenario import build_scenario, with_own_kernels
from planner.training.search.best_first.modules import may_choose_modules
from planner.training.search.best_first.run import SearchRun
from planner.training.search.mixed.classes import devices_of_types
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.result import FewerDevices
from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.arrays import Floats
    from planner.specs.cluster.spec import ClusterSpec

MOST_TYPES = 4
"""Most device types whose unions are all looked at."""


def faster_without_types(run: SearchRun) -> tuple[FewerDevices, ...]:
    """Plans on fewer devices that are faster than the best plan of a search that is done, fastest
    first. Raises: OutOfTime."""
    scenario, kept = run.scenario, run.best.kept
    if not kept or not is_mixed(scenario.ideal):
        return ()
    devices = devices_of_types(scenario)
    if sum(devices) != scenario.job.devices or not 1 < len(devices) <= MOST_TYPES:
        return ()
    best_s, per_sequence_s = kept[0].step_s, _device_seconds(run)
    own_kernels = with_own_kernels(scenario.job) is not scenario.job
    found = []
    for union in _unions(len(devices)):
        busy_s = scenario.job.global_batch_size / sum(
            devices[index] / float(per_sequence_s[index]) for index in union
        )
        if own_kernels or busy_s < best_s:
            one = _fastest(run, union, best_s)
            if one is not None:
                found.append(one)
    return tuple(sorted(found, key=lambda one: (one.step_s, one.devices)))


def _unions(types: int) -> Iterator[tuple[int, ...]]:
    """All unions of types but that of all."""
    for size in range(1, types):
        yield from combinations(range(types), size)


def _device_seconds(run: SearchRun) -> Floats:
    """[C]: the least device-seconds that a sequence takes on each device type, under any shard."""
    table, scenario = run.space.growing.table, run.scenario
    counts = np.zeros(len(scenario.kinds))
    for kind in layer_kinds(scenario.model):
        counts[scenario.kinds.index(kind)] += 1
    counts[-OUTER_KINDS:] = 1
    if any(shard.vocabulary > 1 for shard in table.shards):
        counts[-OUTER_KINDS:] = 0
    together = np.array(
        [shard.tensor * shard.context / shard.micro_batch_size for shard in table.shards]
    )
    seconds = (table.type_forward_s + table.type_backward_s) @ counts
    return np.asarray((seconds * together).min(axis=1))


def _fastest(run: SearchRun, union: tuple[int, ...], below_s: float) -> FewerDevices | None:
    """The fastest plan on all devices of these types, if it takes less than `below_s`."""
    scenario, every = run.scenario, run.scenario.ideal.candidate_devices
    kept_types = {every[index] for index in union}
    kinds = scenario.topology.kinds
    nodes = [node for node, kind in enumerate(kinds) if kind.device in kept_types]
    devices = sum(kinds[node].devices_per_node for node in nodes)
    if not _keeps_tiers(scenario.cluster):
        return None
    try:
        fewer = build_scenario(
            only(scenario.cluster, nodes),
            scenario.model,
            replace(with_own_kernels(scenario.job), devices=devices),
        )
        smaller = SearchRun(
            scenario=fewer,
            restrictions=run.restrictions,
            top=1,
            budget=run.budget,
            solver=run.solver,
            layout=run.layout,
            improve=run.improve,
            enough_s=below_s,
        )
        smaller.bound()
        slower = smaller.bound_s is None or smaller.bound_s >= below_s
        if slower and not may_choose_modules(fewer, run.restrictions):
            return None
        smaller.refine()
    except PlannerError:
        return None
    kept = smaller.best.kept
    if not kept or kept[0].step_s >= below_s:
        return None
    names = dict.fromkeys(device.name for device in every)
    used = {device.name for device in kept_types}
    return FewerDevices(
        devices=devices,
        without=tuple(name for name in names if name not in used),
        step_s=kept[0].step_s,
    )


def _keeps_tiers(cluster: ClusterSpec) -> bool:
    """Whether the nodes of a group that is left out fill whole units of every tier, so that the
    others stay in the units they are in."""
    sizes = [tier.nodes for tier in cluster.tiers if tier.nodes is not None]
    return all((group.count or 0) % size == 0 for group in cluster.node_groups for size in sizes)
