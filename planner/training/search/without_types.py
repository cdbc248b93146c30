"""Whether a job on mixed devices is faster without some of its device types.

The slowest devices may cost more than they give. Every union of device types that leaves some out
is searched as a cluster of its own, unless not even a step in which all of its devices were busy
all the time would be shorter than the best plan's. A union may have kernels that a type left out
lacks; then it is bounded in any case. Those whose least step is below that of all devices are
searched before all others, and their answers tell when to end the search on all. Where tiers would
fall apart without a group, nothing is said.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import OutOfTime
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
    from planner.budget import Budget
    from planner.hardware.device import Device
    from planner.specs.cluster.spec import ClusterSpec

_Union = tuple[int, ...]
"""Device types by index."""

MOST_TYPES = 4
"""Most device types whose unions are all looked at."""


class WithoutTypes:
    """Searches without some of the device types of another search, `run`."""

    def __init__(self, run: SearchRun) -> None:
        self._run = run
        self._found: dict[_Union, FewerDevices] = {}
        self._bounded: dict[_Union, SearchRun | None] = {}
        """Searches that were bounded and not made; None where there is none."""
        self._searched: set[_Union] = set()

    @property
    def found(self) -> tuple[FewerDevices, ...]:
        """Plans on fewer devices that are faster than the best plan of the search, fastest
        first."""
        best_s = self._run.best.first_s
        found = [one for one in self._found.values() if one.step_s < best_s]
        return tuple(sorted(found, key=lambda one: (one.step_s, one.devices)))

    def look_ahead(self) -> None:
        """Search those unions of types whose least step is below that of all devices: they promise
        to be faster. Once there is a plan, half of a time limit may go into that. Raises:
        OutOfTime."""
        budget = self._run.budget
        early = budget.longer(-budget.left_s / 2) if budget.timed else budget
        try:
            self._look(self._run.walk_bound_s, early)
        except OutOfTime:
            budget.check()
        if budget.timed:
            self._bounded.clear()

    def look(self) -> None:
        """Search all unions that may be faster. Raises: OutOfTime."""
        self._look(inf, self._run.budget)

    def _look(self, promising_s: float, budget: Budget) -> None:
        """Search those whose least step is below that and below the best plan."""
        run = self._run
        scenario, kept = run.scenario, run.best.kept
        if not kept or not is_mixed(scenario.ideal):
            return
        devices = devices_of_types(scenario)
        if sum(devices) != scenario.job.devices or not 1 < len(devices) <= MOST_TYPES:
            return
        per_sequence_s = _device_seconds(run)
        own_kernels = with_own_kernels(scenario.job) is not scenario.job
        below_s = min(run.best.first_s, promising_s)
        for union in _unions(len(devices)):
            busy_s = scenario.job.global_batch_size / sum(
                devices[index] / float(per_sequence_s[index]) for index in union
            )
            if union not in self._searched and (own_kernels or busy_s < below_s):
                self._search(union, promising_s, budget)

    def _search(self, union: _Union, promising_s: float, budget: Budget) -> None:
        """Note the fastest plan on all devices of these types, if it is faster."""
        best_s = self._run.best.first_s
        if union not in self._bounded:
            self._bounded[union] = _bounded(self._run, union, best_s, budget)
        smaller = self._bounded[union]
        if smaller is None:
            return
        least_s = inf if smaller.bound_s is None else smaller.bound_s
        modules = may_choose_modules(smaller.scenario, self._run.restrictions)
        if least_s > promising_s or (least_s >= best_s and not modules):
            return
        smaller.budget = budget
        smaller.beaten(best_s)
        del self._bounded[union]
        try:
            with suppress(PlannerError):
                smaller.refine()
            self._searched.add(union)
        finally:
            if smaller.best.first_s < best_s:
                self._found[union] = _fewer_devices(self._run, union, smaller)


def _unions(types: int) -> Iterator[_Union]:
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


def _bounded(run: SearchRun, union: _Union, below_s: float, budget: Budget) -> SearchRun | None:
    """The search for plans on all devices of these types that take less than `below_s`, with its
    bounds; None where there is none. Raises: OutOfTime."""
    scenario = run.scenario
    kinds, kept_types = scenario.topology.kinds, _types(run, union)
    nodes = [node for node, kind in enumerate(kinds) if kind.device in kept_types]
    if not _keeps_tiers(scenario.cluster):
        return None
    devices = sum(kinds[node].devices_per_node for node in nodes)
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
            budget=budget,
            solver=run.solver,
            layout=run.layout,
            improve=run.improve,
            enough_s=below_s,
        )
        smaller.bound()
    except PlannerError:
        return None
    return smaller


def _types(run: SearchRun, union: _Union) -> set[Device]:
    every = run.scenario.ideal.candidate_devices
    return {every[index] for index in union}


def _fewer_devices(run: SearchRun, union: _Union, smaller: SearchRun) -> FewerDevices:
    """The best plan of a search on fewer devices."""
    names = dict.fromkeys(device.name for device in run.scenario.ideal.candidate_devices)
    used = {device.name for device in _types(run, union)}
    return FewerDevices(
        devices=smaller.scenario.job.devices,
        without=tuple(name for name in names if name not in used),
        step_s=smaller.best.first_s,
    )


def _keeps_tiers(cluster: ClusterSpec) -> bool:
    """Whether the nodes of a group that is left out fill whole units of every tier, so that the
    others stay in the units they are in."""
    sizes = [tier.nodes for tier in cluster.tiers if tier.nodes is not None]
    return all((group.count or 0) % size == 0 for group in cluster.node_groups for size in sizes)
