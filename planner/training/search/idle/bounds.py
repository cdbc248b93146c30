"""Lower bounds of a step on every number of nodes at once, before anything is searched there.

W is the time of all layers, forward and backward, for one microbatch under a shard; m the
microbatches of a replica, p the stages. Whatever the layers of the stages, the schedule, what is
recomputed, sharded and where it runs:

- A stage works m·W/p on average, one of them at least so long, and one pass after the other.
- One of them has at least a p-th of the layers, rounded up, and works m times on each.
- Where stages hold one chunk and the last backward of a stage goes back through all earlier ones,
  stage s starts after the first microbatch went through the stages before it, and the last one goes
  back through them after it: T ≥ m·w_s + S_s with S_s the sum of w before s. So S_(s+1) ≤ S_s·(1 −
  1/m) + T/m, hence W = S_p ≤ T·(1 − (1 − 1/m)^p).
- Where they hold several chunks, the stages before s do at least one layer of each direction before
  and after it: T ≥ m·w_s + s·w_min, on average m·W/p + (p − 1)/2·w_min.

Sends, reductions and the optimizer come on top.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.registry import SCHEDULES
from planner.schedule.rules import ScheduleSize
from planner.training.layer.flops import model_flops_per_token
from planner.training.search.space.codes import SCHEDULE_NAMES
from planner.training.search.space.enumeration import Enumeration, dimensions, divisors
from planner.training.search.space.facts import SpaceFacts
from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from planner.arrays import Bools, Floats, Ints
    from planner.budget import Budget
    from planner.schedule.kinds import ScheduleKind
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.tables import GrowingTable
    from planner.training.search.space.enumeration import AxisGrid
    from planner.training.search.space.restrictions import Restrictions

MOST_OF_THEM = 0.8
"""Share of its devices that a job uses at least with another batch."""

ROUNDING = 1 - 1e-9
"""Share of a bound that rounding leaves."""


class WorkBounds:
    """What combinations take at least, by their computation alone. `growing` prices shards on the
    job's nodes, of which all groups of one shape are alike, whatever their number."""

    def __init__(
        self, scenario: Scenario, restrictions: Restrictions, growing: GrowingTable, budget: Budget
    ) -> None:
        self._scenario, self._growing, self._budget = scenario, growing, budget
        self._restrictions = restrictions
        values = dimensions(scenario, restrictions)
        self._kinds = [SCHEDULES[SCHEDULE_NAMES[code]] for code in values["schedule"]]
        self._layers = _layer_counts(scenario)

    def by_nodes(self, below_s: float = np.inf) -> dict[int, float]:
        """The least step in seconds of any combination on each number of nodes, up to the job's
        own, that has a combination and whose devices at their peak take less than `below_s`.
        Raises: OutOfTime."""
        scenario = self._scenario
        nodes = scenario.topology.nodes
        least_s = np.full(nodes + 1, np.inf)
        each = scenario.job.devices // nodes
        least = _devices_at_peak(scenario, below_s)
        for grid in _everywhere(scenario, self._restrictions, least):
            self._budget.check()
            columns = grid.columns
            devices = columns["tensor"] * columns["context"] * columns["data"] * grid.pipeline
            np.minimum.at(least_s, devices // each, self.of(grid))
        return {int(count): float(least_s[count]) for count in np.flatnonzero(least_s < np.inf)}

    def not_too_few(self, least_s: Mapping[int, float], below_s: float) -> dict[int, float]:
        """Those numbers of nodes whose devices at their peak take less than `below_s`."""
        least = _devices_at_peak(self._scenario, below_s)
        each = self._scenario.node_devices
        return {nodes: bound_s for nodes, bound_s in least_s.items() if nodes * each >= least}

    def by_batch(
        self, least: float, most: float, below_s: float = np.inf
    ) -> dict[tuple[int, int], float]:
        """The least seconds a sequence takes in any combination, by its number of nodes and global
        batch, where that is less than `below_s`, for batches other than the job's from `least` to
        `most` of it: as many whole microbatches as the job's batch holds or one more, or whole
        groups of as many as there are stages. Raises: OutOfTime."""
        scenario = self._scenario
        batch, each = scenario.job.global_batch_size, scenario.node_devices
        none = np.zeros(0, dtype=np.int64)
        found = [(none, none, np.zeros(0))]
        devices = round(MOST_OF_THEM * scenario.job.devices)
        for grid in _everywhere(scenario, self._restrictions, devices, any_batch=True):
            self._budget.check()
            columns, pipeline = grid.columns, grid.pipeline
            together = columns["data"] * columns["micro_batch_size"]
            nodes = pipeline * columns["tensor"] * columns["context"] * columns["data"] // each
            whole = batch // together
            groups = whole // pipeline * pipeline
            for microbatches in (whole, whole + 1, groups, groups + pipeline):
                taken = microbatches * together
                near = (taken >= least * batch) & (taken <= most * batch) & (taken != batch)
                if not near.any():
                    continue
                least_s = self.of(grid.only(near), microbatches[near]) / taken[near]
                faster = least_s < below_s
                found.append((nodes[near][faster], taken[near][faster], least_s[faster]))
        nodes, taken, least_s = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.lexsort((least_s, taken, nodes))
        pairs = np.stack((nodes, taken), axis=1)[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        keys = map(tuple, pairs[first].tolist())
        return dict(zip(keys, least_s[order[first]].tolist(), strict=True))

    def of(self, grid: AxisGrid, microbatches: Ints | None = None) -> Floats:
        """[rows], seconds, with the microbatches of the job's batch or other ones. Raises:
        OutOfTime."""
        columns, pipeline = grid.columns, grid.pipeline
        layer_s = self._growing.least_layer_s(columns)
        ends = 2 if any(kind.shares_vocabulary for kind in self._kinds) else 0
        counted = self._layers.copy()
        counted[len(counted) - ends :] = 0
        work_s = layer_s @ counted
        least_layer_s = layer_s[:, self._layers[:-2].nonzero()[0]].min(axis=1)
        if microbatches is None:
            together = columns["data"] * columns["micro_batch_size"]
            microbatches = self._scenario.job.microbatches(together)
        most = -(-int(self._layers[:-2].sum()) // pipeline)
        busy_s = microbatches * np.maximum(work_s / pipeline, most * least_layer_s)
        found = np.full(len(layer_s), np.inf)
        for kind in self._kinds:
            several = kind.may_have(pipeline, 2)
            if not (several or kind.may_have(pipeline, 1)):
                continue
            bound_s = busy_s
            if kind.returns_to_first and not several:
                bound_s = np.maximum(busy_s, work_s / (1 - (1 - 1 / microbatches) ** pipeline))
            elif kind.returns_to_first:
                fill_s = (pipeline - 1) / 2 * least_layer_s
                bound_s = np.maximum(busy_s, microbatches * work_s / pipeline + fill_s)
            allowed = _takes(kind, pipeline, 2 if several else 1, microbatches)
            found = np.where(allowed, np.minimum(found, bound_s), found)
        return found * ROUNDING


def below(work: WorkBounds, slowest_s: float) -> Callable[[AxisGrid], Bools]:
    """Tells the rows of a grid that may take less than this."""
    return lambda grid: np.asarray(work.of(grid) < slowest_s)


def _layer_counts(scenario: Scenario) -> Ints:
    """[K]: layers of every kind of the scenario that the model has."""
    model, kinds = scenario.model, list(scenario.kinds)
    of_layers = list(layer_kinds(model))
    counts = {kind: of_layers.count(kind) for kind in kinds}
    counts |= {"embedding": 1, "head": 1, "mtp": model.mtp_num_layers}
    return np.array([counts[kind] for kind in kinds], dtype=np.int64)


def _takes(
    kind: ScheduleKind,
    pipeline: int,
    chunks: int,
    microbatches: Ints,
) -> Bools:
    """Whether a schedule takes so many microbatches."""
    size = ScheduleSize.of(pipeline, chunks, microbatches, None)
    allowed = np.ones(microbatches.shape, dtype=np.bool_)
    for rule in kind.rules:
        if rule.about_microbatches:
            allowed &= rule.holds(size)
    return allowed


def _devices_at_peak(scenario: Scenario, below_s: float) -> int:
    """Devices that do a step's work in less than `below_s` seconds at their peak."""
    job = scenario.job
    flops = job.global_batch_size * job.seq_length * model_flops_per_token(scenario)
    return int(flops / scenario.mean_peak_flop_per_s / below_s)


def _everywhere(
    scenario: Scenario, restrictions: Restrictions, least: int, *, any_batch: bool = False
) -> Iterator[AxisGrid]:
    """The grids on all numbers of nodes from `least` devices up to the job's own."""
    job, model = scenario.job, scenario.model
    values = dimensions(scenario, restrictions)
    free = {
        "pipeline": tuple(range(1, min(model.num_layers, job.devices) + 1)),
        "tensor": divisors(model.num_attention_heads),
        "context": divisors(job.seq_length),
        "data": divisors(job.global_batch_size),
        "expert": divisors(model.moe.num_experts) if model.moe else (1,),
    }
    for axis, every in free.items():
        if getattr(restrictions, axis) is None:
            values[axis] = tuple(value for value in every if value <= job.devices)
    facts = replace(SpaceFacts.of(scenario, restrictions), least_devices=least, any_batch=any_batch)
    for pipeline in values["pipeline"]:
        here = {**values, "pipeline": (pipeline,)}
        if (any_batch or facts.uneven_replicas) and restrictions.data is None:
            here["data"] = tuple(range(1, job.devices // pipeline + 1))
        yield from Enumeration(facts=facts, values=here).grids()
