"""A lower bound on the step over all stage layouts that fit, of many combinations on equal devices.

Some stage takes at least T with one microbatch: the least time within which the stages together
hold all layers, by time and by memory. What the pipeline then takes is in docs/search.md. Letters:
N plans, p stages, v chunks of a stage, m microbatches, r recomputed layers of every chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULL, SELECTIVE
from planner.training.search.layouts.bound import beside_pipeline_s, jitter_share, waited_s
from planner.training.search.mixed.rooms import MemoryLines, Rooms
from planner.training.search.mixed.speeds import layer_columns
from planner.training.step.reduction import tied_reduction_s

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

ENDS = 2
"""Chunks that may hold no layer: those with the embedding and with the head."""

HALVINGS = 14
"""Of the interval in which T is looked for."""

REACH = 3.0
"""How many times longer than known before T may be found to be."""

MOST_RECOMPUTED = 12
"""Numbers of recomputed layers per chunk that are told apart; more count as the next."""

_ROUNDING = 1e-9
"""Share of a layer that rounding may hide."""


def every_layout_s(
    scenario: Scenario, table: CostTable, batch: Batch, stages: LayoutStages
) -> Floats:
    """[N]: lower bound in seconds on the step under every layout and number of recomputed layers;
    infinite where none fits. `stages` are those of the batch. `scenario` has one device type, or is
    the ideal one of such a cluster."""
    least = np.full(len(batch), np.inf)
    numbers = recomputed_numbers(stages, batch)
    for recomputed in numbers:
        last = recomputed == numbers[-1]
        least = np.minimum(least, stages.pipeline_s(batch, recomputed, last=last))
    average_s = batch.num_microbatches * stages.work_s / batch.pipeline
    return np.asarray(
        least
        + jitter_share(scenario, batch.pipeline) * average_s
        + beside_pipeline_s(scenario, table, batch)
        + waited_s(scenario, table, batch)
    )


def recomputed_numbers(stages: LayoutStages, batch: Batch) -> tuple[int, ...]:
    """The numbers of recomputed layers per chunk that are told apart; more count as the last."""
    if not stages.full.any():
        return (0,)
    even = -(-stages.layers // (batch.pipeline * batch.virtual_stages))
    return tuple(range(1, min(MOST_RECOMPUTED, 2 * even, stages.layers) + 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Layers:
    """Layers to be divided among the stages: `number` of one kind, or all of them as if each was
    the cheapest; what a stage has room for."""

    number: int
    layer_s: Floats
    """[N]: all passes of one with one microbatch."""
    rooms: Rooms

    def most(self, recomputed: int, chunks: int, full: Bools, *, last: bool) -> Floats:
        """[N, p]: how many a stage has memory for."""
        rooms = self.rooms
        most = rooms.most[..., 0]
        if not recomputed or last:
            return most
        replayed = recomputed * chunks
        with np.errstate(divide="ignore", invalid="ignore"):
            needing = np.floor((replayed - rooms.over[..., 0]) / rooms.each[..., 0] + _ROUNDING)
        return np.where(full[:, None], np.minimum(most, np.maximum(needing, replayed)), most)

    @property
    def roomy(self) -> _Layers:
        endless = np.full_like(self.rooms.most, np.inf)
        return replace(self, rooms=replace(self.rooms, most=endless))

    def some(self, which: Ints) -> _Layers:
        return replace(self, layer_s=self.layer_s[which], rooms=self.rooms.some(which))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayoutStages:
    """Seconds of one microbatch: `replay_s` [N] of a forward that full recomputation repeats, 0
    elsewhere; `ends_s` [N, p] of what a stage holds besides layers; `work_s` [N] of all there is
    without repetition; `tied_s` [N] of the reduction between the ends of the model, after the last
    backward of the first stage; 0 where a pipeline may end elsewhere. `full` [N]: where layers are
    fully recomputed."""

    kinds: tuple[_Layers, ...]
    replay_s: Floats
    ends_s: Floats
    work_s: Floats
    tied_s: Floats
    chunks: int
    full: Bools

    @classmethod
    def of(cls, scenario: Scenario, table: CostTable, batch: Batch) -> LayoutStages:
        held = layer_columns(scenario)
        kinds = (table.forward_s.sum(axis=0) + table.backward_s.sum(axis=0)).min(axis=0)[batch.row]
        selective = batch.granularity == SELECTIVE
        if selective.any():
            kinds[selective] += table.selective_s.min(axis=0)[batch.row[selective]]
        counts = batch.load.counts.sum(axis=(0, 1))
        outside = batch.load.counts.sum(axis=1).astype(np.float64)
        outside[:, held] = 0
        present = held[counts[held] > 0]
        full = batch.granularity == FULL
        replay = table.full_s.min(axis=0)[batch.row][:, present].min(axis=1)
        none = np.zeros((len(batch), 1), dtype=np.int64)
        lines = MemoryLines(scenario=scenario, table=table, batch=batch)
        rooms = Rooms.of_kinds(lines, none)
        layers = [
            _Layers(number=int(counts[column]), layer_s=kinds[:, column], rooms=of_kind)
            for column, of_kind in zip(held.tolist(), rooms, strict=True)
            if counts[column]
        ]
        if len(layers) > 1:
            layers.append(
                _Layers(
                    number=int(counts[held].sum()),
                    layer_s=kinds[:, present].min(axis=1),
                    rooms=Rooms.joined(rooms),
                )
            )
        return cls(
            kinds=tuple(layers),
            replay_s=np.where(full, replay, 0.0),
            ends_s=kinds @ outside.T,
            work_s=kinds @ counts.astype(np.float64),
            tied_s=tied_reduction_s(scenario, batch) * batch.kind.returns_to_first,
            chunks=batch.virtual_stages,
            full=full,
        )

    @property
    def roomy(self) -> LayoutStages:
        """The same with memory for any number of layers."""
        return replace(self, kinds=tuple(kind.roomy for kind in self.kinds))

    def some(self, which: Ints) -> LayoutStages:
        """Those of some of the combinations."""
        return replace(
            self,
            kinds=tuple(kind.some(which) for kind in self.kinds),
            replay_s=self.replay_s[which],
            ends_s=self.ends_s[which],
            work_s=self.work_s[which],
            tied_s=self.tied_s[which],
            full=self.full[which],
        )

    def most(self, recomputed: int, *, last: bool) -> Floats:
        """[N, p]: layers that stages have memory for with so many recomputed layers per chunk, or
        with more where they are the `last` number; −1 where not even the fewest fit."""
        kind = self.kinds[-1]
        most = kind.most(recomputed, self.chunks, self.full, last=last)
        return np.where(most >= kind.rooms.fewest, most, -1.0)

    def replays(self, unlike: Floats) -> Floats:
        """[N, p, 2]: under full recomputation a stage with k layers repeats at least the first and
        the second · k of them, or they do not fit. Fewer by `unlike` [N] may do where a chunk needs
        no layer."""
        rooms = self.kinds[-1].rooms
        over = rooms.over[..., 0] - np.where(rooms.fewest < self.chunks, unlike[:, None], 0.0)
        each = np.broadcast_to(rooms.each[..., 0], over.shape)
        full = self.full[:, None]
        return np.stack((np.where(full, over, 0.0), np.where(full, each, 0.0)), axis=-1)

    @property
    def layers(self) -> int:
        """Layers of the model."""
        return self.kinds[-1].number

    def pipeline_s(self, batch: Batch, recomputed: int, *, last: bool) -> Floats:
        """[N]: what the pipeline takes at least with so many recomputed layers per chunk, or with
        more where they are the `last` number; infinite where nothing fits."""
        p, v = batch.pipeline, batch.virtual_stages
        m = batch.num_microbatches.astype(np.float64)
        fits = np.ones(len(batch), dtype=np.bool_)
        work = self.work_s + self._replayed(recomputed, last=last) * self.replay_s
        busiest = np.maximum(work / p, self.ends_s.max(axis=1))
        for kind in self.kinds:
            most = kind.most(recomputed, v, self.full, last=last)
            fits &= (most >= kind.rooms.fewest).all(axis=1) & (most.sum(axis=1) >= kind.number)
            busiest = self._busiest_s(kind, most, recomputed, busiest)
        pipeline = m * busiest + self.tied_s
        if batch.kind.runs_in_groups:
            bubble = (p - 1) / v
            average = m * work / p * (m + bubble) / (m + bubble / 2)
            pipeline = np.maximum(pipeline, average)
        elif batch.kind.windows_are_paths and not batch.kind.runs_ahead:
            there_and_back = 2 * work + (m - p - 1) * busiest
            pipeline = np.where(m > p, np.maximum(pipeline, there_and_back), pipeline)
        return np.where(fits, pipeline, np.inf)

    def _replayed(self, recomputed: int, *, last: bool) -> Floats:
        """[N]: how many layers are recomputed at least: one in every chunk that has any; and of k
        on a stage min(k, `once`), at least k · `once` / the most that any stage holds."""
        if not recomputed:
            return np.zeros(len(self.work_s))
        kind = self.kinds[-1]
        most = kind.most(recomputed, self.chunks, self.full, last=last).max(axis=1)
        once = self._once(recomputed)
        share = np.minimum(once / np.clip(most, 1.0, float(kind.number)), 1.0)
        chunks = kind.rooms.most.shape[1] * self.chunks - ENDS
        return np.asarray(np.maximum(kind.number * share, float(max(chunks, 0))))

    def _once(self, recomputed: int) -> int:
        """Layers of a stage that has so many that are recomputed, however they are spread over its
        chunks."""
        return max(self.chunks - ENDS, 0) + recomputed

    def _busiest_s(self, kind: _Layers, most: Floats, recomputed: int, least_s: Floats) -> Floats:
        """[N]: the least time, `least_s` at least, within which the stages hold all layers of the
        kind."""
        layer, replay = kind.layer_s[:, None], self.replay_s[:, None]
        once = self._once(recomputed)
        low, high = least_s, least_s * REACH
        for halving in range(HALVINGS + 1):
            middle = low if not halving else (low + high) / 2
            time = middle[:, None] - self.ends_s
            held = time / (layer + replay)
            held = np.where(held <= once, held, (time - replay * once) / layer)
            layers = np.maximum(np.minimum(np.floor(held + _ROUNDING), most), 0.0)
            enough = layers.sum(axis=1) >= kind.number
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return low
