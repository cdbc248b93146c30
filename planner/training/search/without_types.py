"""Whether a job on mixed devices is faster without some of its device types.

The slowest devices may cost more than they give. For every union of device types that leaves some
out, as many devices as it has are searched for, the best of any type, unless not even a step in
which all of them were busy all the time would be shorter than the best plan's.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import PlannerError
from planner.training.batch import OUTER_KINDS
from planner.training.scenario import build_scenario
from planner.training.search.best_first.run import SearchRun
from planner.training.search.mixed.classes import devices_of_types
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.result import FewerDevices
from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.training.scenario import Scenario

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
    found = []
    for count in sorted(_unions(devices)):
        if _all_busy_s(scenario, devices, per_sequence_s, count) < best_s:
            one = _fastest(run, count, best_s)
            if one is not None:
                found.append(one)
    return tuple(sorted(found, key=lambda one: (one.step_s, one.devices)))


def _unions(devices: list[int]) -> set[int]:
    """Numbers of devices of all unions of types but that of all."""
    return {
        sum(chosen) for size in range(1, len(devices)) for chosen in combinations(devices, size)
    }


def _device_seconds(run: SearchRun) -> Floats:
    """[C]: the least device-seconds that a sequence takes on each device type, under any shard."""
    table, scenario = run.growing.table, run.scenario
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


def _all_busy_s(
    scenario: Scenario, devices: list[int], per_sequence_s: Floats, count: int
) -> float:
    """The step if the fastest devices, so many of them, were always busy."""
    rate, left = 0.0, count
    for index in np.argsort(per_sequence_s, kind="stable").tolist():
        taken = min(left, devices[index])
        rate += taken / float(per_sequence_s[index])
        left -= taken
    return scenario.job.global_batch_size / rate


def _fastest(run: SearchRun, devices: int, below_s: float) -> FewerDevices | None:
    """The fastest plan on so many devices, if it takes less than `below_s`."""
    scenario = run.scenario
    try:
        fewer = build_scenario(
            scenario.cluster, scenario.model, replace(scenario.job, devices=devices)
        )
        smaller = SearchRun(
            scenario=fewer,
            restrictions=run.restrictions,
            top=1,
            budget=run.budget,
            solver=run.solver,
            layout=run.layout,
            improve=run.improve,
        )
        smaller.bound()
        if smaller.bound_s is None or smaller.bound_s >= below_s:
            return None
        smaller.refine()
    except PlannerError:
        return None
    kept = smaller.best.kept
    if not kept or kept[0].step_s >= below_s:
        return None
    used = {name for group in kept[0].estimate.device_groups for name in group.devices} or {
        device.name for device in fewer.placed(kept[0].plan.placement.hosts).device_types
    }
    every = dict.fromkeys(device.name for device in scenario.ideal.candidate_devices)
    return FewerDevices(
        devices=devices,
        without=tuple(name for name in every if name not in used),
        step_s=kept[0].step_s,
    )
