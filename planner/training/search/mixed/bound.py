"""A lower bound on the step over all layouts, device types and hosts of many combinations at once.

Some stage takes at least T* with one microbatch: the least time within which stages, as many of
every level as there are devices for, hold all layers. The argument and its formulas are in
docs/search.md. Letters: N plans, p stages, T levels, m microbatches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from planner.training.batch import FULL
from planner.training.memory.stage import stage_peaks
from planner.training.search.layouts.bound import jitter_share
from planner.training.search.mixed.beside import BesidePasses
from planner.training.search.mixed.rooms import MemoryLines, Rooms, allocated_bytes, rooms_bytes
from planner.training.search.mixed.speeds import Speeds

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

HALVINGS = 30
"""Of the interval in which T* lies."""

STEPS = 8
"""Parts of the interval of the busiest stage's time for which the step is bounded one by one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MixedBound:
    """[N] each: whether a combination may fit at all, and lower bounds in seconds on its busiest
    stage with one microbatch and on its pipeline."""

    fits: Bools
    busiest_s: Floats
    pipeline_s: Floats


def mixed_bound(scenario: Scenario, table: CostTable, batch: Batch, *, free: bool) -> MixedBound:
    """For the combinations of a batch, whose layout counts only where it is not `free` to be
    another. `scenario` and `table` are of the ideal topology."""
    speeds = Speeds.of(scenario, table, batch)
    stages = _stages(scenario, table, batch, speeds, free=free)
    fits = stages.hold_all(np.full(len(batch), np.inf))
    low = _least_s(stages, 2 * speeds.kinds_s.max(axis=1) @ speeds.counts)
    one_order = batch.virtual_stages == 1 and not batch.kind.runs_ahead
    returns = one_order and batch.kind.returns_to_first
    pipeline_s = batch.chunk_microbatches * low
    if returns:
        pipeline_s = np.maximum(pipeline_s, _one_chunk_s(batch, speeds, stages, low))
    jitter_s = jitter_share(scenario, batch.pipeline) * batch.chunk_microbatches * low
    return MixedBound(fits=fits, busiest_s=low, pipeline_s=pipeline_s + jitter_s)


def rows_bound_s(scenario: Scenario, table: CostTable, batch: Batch, *, free: bool) -> Floats:
    """[N]: lower bound in seconds on the step: some stage does all its work, waits for its messages
    and gathers and updates its weights, over links that its device type has at best."""
    speeds, beside = (
        Speeds.of(scenario, table, batch),
        BesidePasses.of(scenario, table, batch, free=free),
    )
    m = batch.chunk_microbatches.astype(np.float64)[:, None, None]
    always = np.take_along_axis(beside.always_s, speeds.types[:, None], axis=2) / m
    layer = np.take_along_axis(beside.layer_s, speeds.types, axis=1) / m[:, 0]
    slowed = replace(
        speeds, ends_s=speeds.ends_s + always, layer_s=speeds.layer_s + layer * bool(free)
    )
    stages = _stages(scenario, table, batch, slowed, free=free)
    high = 2 * speeds.kinds_s.max(axis=1) @ speeds.counts + always.max(axis=(1, 2))
    high = high + speeds.layers * layer.max(axis=1)
    low = _least_s(stages, high)
    jitter_s = jitter_share(scenario, batch.pipeline) * (low - always.max(axis=(1, 2)))
    return np.asarray(batch.chunk_microbatches * (low + np.maximum(jitter_s, 0.0)))


def _stages(
    scenario: Scenario, table: CostTable, batch: Batch, speeds: Speeds, *, free: bool
) -> _Stages:
    if free:
        return _FreeStages.of(scenario, table, batch, speeds)
    return _KeptStages.of(scenario, table, batch, speeds)


def _least_s(stages: _Stages, high: Floats) -> Floats:
    """[N]: the least time within which the stages may hold everything; at most `high`."""
    low = np.zeros(len(high))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = stages.hold_all(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return low


def _one_chunk_s(batch: Batch, speeds: Speeds, stages: _Stages, least_s: Floats) -> Floats:
    """[N]: over all times of the busiest stage that are possible, the larger of two paths. One
    microbatch passes the stages before the busiest, which does all its work. Or one goes all the
    way and back, and the busiest stage does all that has to wait for it."""
    m, p = batch.num_microbatches.astype(np.float64)[:, None], batch.pipeline
    counted, which = batch.in_flight
    in_flight = counted[which, :, 0]
    early = np.minimum(in_flight, m) - 1
    after = np.arange(p, 0, -1.0)
    slowest = (speeds.kinds_s / speeds.kinds_s.min(axis=1, keepdims=True).clip(1e-30)).max(
        axis=(1, 2)
    )
    all_s = stages.least_work_s(np.full(len(batch), np.inf))
    reach = slowest * all_s / np.maximum(batch.num_microbatches * least_s, 1e-30)
    best = np.full(len(batch), np.inf)
    times = [least_s * (1 + reach * step / STEPS) for step in range(STEPS + 1)]
    for step, time in enumerate(times):
        last = step == STEPS
        next_s = np.full(len(batch), np.inf) if last else times[step + 1]
        work = stages.least_work_s(next_s)[:, None]
        own = m * time[:, None]
        more = m - after
        waiting = more * np.where(more < 0, next_s[:, None], time[:, None])
        with np.errstate(invalid="ignore"):
            own = np.maximum(own, work + waiting)
        late = work + (m - 1 - early * speeds.forward_share[:, None]) * time[:, None]
        best = np.minimum(best, np.maximum(own, late).min(axis=1))
    return best


class _Stages(Protocol):
    """What stages hold within a time."""

    def hold_all(self, within_s: Floats) -> Bools:
        """[N]: whether the stages may hold everything, none taking longer than `within_s` [N]."""
        ...

    def least_work_s(self, within_s: Floats) -> Floats:
        """[N]: the least that all stages together take with one microbatch, none longer than
        that."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FreeStages:
    """Layers are divided among the stages at will. `pace` [N, T]: by how much any kind of layer is
    slower than on the fastest level, at least; `work_s` [N]: all layers on that level."""

    speeds: Speeds
    rooms: Rooms
    pace: Floats
    work_s: Floats

    @classmethod
    def of(cls, scenario: Scenario, table: CostTable, batch: Batch, speeds: Speeds) -> _FreeStages:
        held = speeds.kinds_s[..., speeds.held]
        present = speeds.counts[speeds.held] > 0
        best = held.min(axis=1)
        lines = MemoryLines(scenario=scenario, table=table, batch=batch)
        pace = (held / best[:, None].clip(1e-30))[..., present].min(axis=-1)
        return cls(
            speeds=speeds,
            rooms=Rooms.of(lines, speeds.types),
            pace=pace,
            work_s=best @ speeds.counts[speeds.held],
        )

    def hold_all(self, within_s: Floats) -> Bools:
        speeds, rooms = self.speeds, self.rooms
        layers = self._layers(within_s)
        usable = layers >= rooms.fewest[:, None]
        holds = _enough(usable, speeds.stages)
        total = _most_together(np.where(usable, layers, 0.0), speeds.stages)
        holds &= total >= speeds.layers
        if len(speeds.held) > 1:
            time = np.maximum(within_s[:, None, None] - speeds.ends_s, 0.0) / self.pace[:, None]
            with np.errstate(invalid="ignore"):
                holds &= _most_together(np.where(usable, time, 0.0), speeds.stages) >= (
                    self.work_s * (1 - 1e-12)
                )
        return holds

    def least_work_s(self, within_s: Floats) -> Floats:
        speeds, rooms = self.speeds, self.rooms
        layers = np.maximum(self._layers(within_s), 0.0)
        left = np.full(len(within_s), float(speeds.layers))
        total = np.zeros(len(within_s))
        held = np.zeros(len(within_s))
        best = np.maximum.accumulate(layers, axis=-1)
        for level in range(speeds.levels):
            up_to = _sum_of_largest(best[..., level], speeds.stages[:, level])
            here = np.clip(up_to - held, 0.0, left)
            if level == speeds.levels - 1:
                here = left
            total += here * speeds.layer_s[:, level]
            left, held = left - here, np.maximum(held, up_to)
        total = np.maximum(total, self.work_s)
        ends = speeds.ends_s.min(axis=-1).sum(axis=-1)
        return np.asarray(total + ends + rooms.fewest.sum() * speeds.replay_s.min(axis=-1))

    def _layers(self, within_s: Floats) -> Floats:
        """[N, p, T]: the most layers that a stage holds."""
        speeds, rooms = self.speeds, self.rooms
        layer, replay = speeds.layer_s[:, None], speeds.replay_s[:, None]
        time = within_s[:, None, None] - speeds.ends_s
        least = rooms.fewest[:, None] * replay
        found = np.minimum(np.floor((time - least) / layer + _ROUNDING), rooms.most)
        bounded = np.isfinite(rooms.over)
        if bounded.any():
            over = np.where(bounded, rooms.over, 0.0)
            with np.errstate(invalid="ignore"):
                needed = np.floor((time - replay * over) / (layer + replay * rooms.each))
            needed = np.maximum(needed, rooms.few[:, None])
            found = np.where(bounded, np.minimum(found, needed + _ROUNDING), found)
        return found


_ROUNDING = 1e-9
"""Share of a layer that rounding may hide."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _KeptStages:
    """Every stage keeps what it holds. `work_s` [N, p, T], infinite where it does not fit."""

    speeds: Speeds
    work_s: Floats

    @classmethod
    def of(cls, scenario: Scenario, table: CostTable, batch: Batch, speeds: Speeds) -> _KeptStages:
        held = batch.load.counts.sum(axis=1)
        held[:, np.setdiff1d(np.arange(held.shape[1]), speeds.held)] = 0
        work = np.einsum("ntk,pk->npt", speeds.kinds_s, held) + speeds.ends_s
        full = batch.granularity == FULL
        if full.any():
            layers = batch.load.counts[..., speeds.held].sum(axis=-1)
            chunks = (layers > 0).sum(axis=-1)
            work = work + full[:, None, None] * speeds.replay_s[:, None] * chunks[:, None]
        peaks = stage_peaks(scenario, table, batch)
        room = rooms_bytes(scenario, speeds.types)
        fits = allocated_bytes(peaks)[..., None] <= room[:, None]
        return cls(speeds=speeds, work_s=np.where(fits, work, np.inf))

    def hold_all(self, within_s: Floats) -> Bools:
        usable = self.work_s <= within_s[:, None, None] * (1 + 1e-12)
        usable &= np.isfinite(self.work_s)
        return _enough(usable, self.speeds.stages)

    def least_work_s(self, within_s: Floats) -> Floats:
        least = np.where(np.isfinite(self.work_s), self.work_s, 0.0).min(axis=-1)
        return np.asarray(least.sum(axis=-1))


def _enough(usable: Bools, stages: Ints) -> Bools:
    """[N]: whether there may be devices of a usable level for every stage. `usable` [N, p, T]."""
    slowest = np.where(usable, np.arange(usable.shape[-1]), -1).max(axis=-1)
    holds = (slowest >= 0).all(axis=-1)
    for level in range(usable.shape[-1] - 1):
        holds &= (slowest <= level).sum(axis=-1) <= stages[:, level]
    return np.asarray(holds)


def _most_together(held: Floats, stages: Ints) -> Floats:
    """[N]: the most that all stages hold, of `held` [N, p, T] by level, with only so many stages of
    each level or a faster one. Exact for two levels, an upper bound beyond."""
    best = np.maximum.accumulate(held[..., ::-1], axis=-1)[..., ::-1]
    total = best[..., -1].sum(axis=-1)
    for level in range(held.shape[-1] - 1):
        with np.errstate(invalid="ignore"):
            gain = best[..., level] - best[..., level + 1]
        gain = np.where(np.isnan(gain), 0.0, gain)
        total = total + _sum_of_largest(gain, stages[:, level])
    return np.asarray(total)


def _sum_of_largest(values: Floats, counts: Ints) -> Floats:
    """[N]: the sum of the `counts` largest of `values` [N, p]."""
    largest = -np.sort(-values, axis=-1)
    sums = np.concatenate((np.zeros((len(values), 1)), np.cumsum(largest, axis=-1)), axis=-1)
    return np.asarray(np.take_along_axis(sums, counts[:, None], axis=-1)[:, 0])
