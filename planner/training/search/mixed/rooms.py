"""How many layers a stage may hold on devices of every type: lower bounds on memory, linear in the
layers.

Memory is a maximum of functions that are linear in the layers of a chunk as long as it has any: the
first one brings what a layer needs while it runs. So memory lies above the line through the peaks
of one and of two layers in every chunk, with every layer more in the chunk that keeps the fewest
microbatches. A chunk beside the embedding or the head may be empty; then it lies above that line
less what such a layer takes beyond one of the others. Letters: N plans, p stages, v chunks, T
levels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULL, OUTER_KINDS, SELECTIVE
from planner.training.memory.activations import movable_of_layers
from planner.training.memory.parameters import stage_parameters
from planner.training.memory.stage import bucket_copies_bytes, stage_peaks
from planner.training.memory.standing import largest_workspaces, outside_allocator
from planner.training.search.mixed.speeds import layer_columns
from planner.workload.stages import StageLoad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.memory.peaks import StagePeaks
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rooms:
    """`fewest` [p]: layers of the smallest load; `few` [p]: layers that are too few for a layer in
    every chunk, of which nothing else is said. `most` [N, p, T]: layers that may fit, below
    `fewest` where not even those do. Under full recomputation k layers need at least `over` +
    `each` · k of them recomputed, [N, p, T] and [N, p, 1]; −infinity and 0 elsewhere."""

    fewest: Ints
    few: Ints
    most: Floats
    over: Floats
    each: Floats

    @classmethod
    def of(cls, lines: MemoryLines, types: Ints) -> Rooms:
        """`types` [N, T] are indices of the scenario's `candidate_devices`."""
        return cls.joined(cls.of_kinds(lines, types))

    @classmethod
    def joined(cls, kinds: Sequence[Rooms]) -> Rooms:
        """For layers of any of these kinds."""
        return cls(
            fewest=kinds[0].fewest,
            few=kinds[0].few,
            most=np.max([one.most for one in kinds], axis=0),
            over=np.min([one.over for one in kinds], axis=0),
            each=np.min([one.each for one in kinds], axis=0),
        )

    def some(self, which: Ints) -> Rooms:
        """Of some of the plans."""
        return replace(self, most=self.most[which], over=self.over[which], each=self.each[which])

    @classmethod
    def of_kinds(cls, lines: MemoryLines, types: Ints) -> tuple[Rooms, ...]:
        """Of every kind of layer alone, in the order of `layer_columns`."""
        scenario, table, batch = lines.scenario, lines.table, lines.batch
        chunks = batch.virtual_stages
        fewest = np.maximum(chunks - _ends(batch), 0)
        few = np.where(fewest < chunks, chunks - 1, 0)
        full = (batch.granularity == FULL)[:, None, None]
        room = rooms_bytes(scenario, types)[:, None]
        rooms = []
        for column in layer_columns(scenario).tolist():
            line = lines.of(column, replayed=True)
            most = chunks + np.floor((room - line.least(chunks - fewest)) / line.slope + _ROUNDING)
            most = np.maximum(most, few[:, None])
            over = np.full(most.shape, -np.inf)
            each = np.zeros((len(batch), batch.pipeline, 1))
            if full.any():
                bare = lines.of(column, replayed=False)
                freed = _freed(scenario, table, batch)
                needed = (bare.least(chunks - fewest) - bare.slope * chunks - room) / freed
                over = np.where(full, needed, over)
                each = np.where(full, bare.slope / freed, each)
            rooms.append(cls(fewest=fewest, few=few, most=most, over=over, each=each))
        return tuple(rooms)


_ROUNDING = 1e-6
"""Share of a layer that rounding may hide."""


def room_bytes(scenario: Scenario, types: Sequence[int]) -> float:
    """Bytes that the allocator may hold on every one of the device `types` (indices of the
    scenario's `candidate_devices`), where workspaces are as large as on the ideal device."""
    job, alone = scenario.job, [scenario.by_type[index] for index in types]
    size = min(one.device_types[0].memory_bytes for one in alone)
    outside = max(outside_allocator(one, (0,)) for one in alone)
    workspaces = max(largest_workspaces(one, (0,)) for one in alone)
    larger = workspaces - largest_workspaces(scenario, (0,))
    slack = 1 + job.software.slack
    return float(size - np.floor(size * job.headroom) - outside - np.ceil(slack * larger))


def rooms_bytes(scenario: Scenario, types: Ints) -> Floats:
    """[N, T]: the same of single types."""
    found = [room_bytes(scenario, (index,)) for index in range(len(scenario.candidate_devices))]
    return np.asarray(np.array(found)[types])


def allocated_bytes(peaks: StagePeaks) -> Ints:
    """[N, p]: what the allocator holds at the peak, its slack included."""
    return np.asarray(peaks.device_peak - peaks.fixed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryLine:
    """Bytes [N, p, 1] of one layer in every chunk, and at least of every layer more. `even` [N, p,
    1]: of every layer more where all chunks have as many; `filled` [N, p]: what buckets grow by
    with one layer more in every chunk, which it leaves out. `emptied` [N, p, 1]: by how much what
    a chunk saves without its layer may exceed `slope`."""

    base: Floats
    slope: Floats
    even: Floats
    filled: Floats
    emptied: Floats

    def least(self, empty: Ints) -> Floats:
        """[N, p, 1]: `base`, less what chunks may save that need no layer, `empty` [p] of them."""
        return np.asarray(self.base - self.emptied * empty[:, None])

    @classmethod
    def of(
        cls, scenario: Scenario, table: CostTable, batch: Batch, column: int, *, replayed: bool
    ) -> MemoryLine:
        loaded = _loaded(scenario, batch, column, replayed=replayed)
        peaks = stage_peaks(scenario, table, loaded)
        parameters = np.add(*stage_parameters(scenario, table, loaded))
        copies = np.split(bucket_copies_bytes(scenario, parameters), 2, axis=1)
        base, fuller = np.split(allocated_bytes(peaks).astype(np.float64), 2, axis=1)
        # Buckets stop growing once they are full, so what they grow by is no bound for more layers.
        filled = np.ceil((1 + peaks.slack_fraction) * (copies[1] - copies[0]))
        even = slope = (fuller - base - filled) / batch.virtual_stages
        more = np.zeros_like(even)
        if batch.virtual_stages > 1:
            less, more = _uneven(scenario, table, batch, column, replayed=replayed)
            slope = even - less
        if batch.offloads:
            slope = slope - _leaving(scenario, table, batch, column) / batch.virtual_stages
        return cls(
            base=base[..., None],
            slope=np.maximum(slope, 1.0)[..., None],
            even=even[..., None],
            filled=filled,
            emptied=(even + more - slope + filled)[..., None] * (batch.virtual_stages > 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryLines:
    """The lines of the plans of a batch, each worked out once; `scenario` and `table` are of the
    ideal topology."""

    scenario: Scenario
    table: CostTable
    batch: Batch
    known: dict[tuple[int, bool], MemoryLine] = field(default_factory=dict, init=False)

    def of(self, column: int, *, replayed: bool) -> MemoryLine:
        """Of one kind of layer, with or without one of them recomputed in every chunk, which counts
        under full recomputation alone."""
        key = column, replayed and bool((self.batch.granularity == FULL).any())
        if key not in self.known:
            self.known[key] = MemoryLine.of(
                self.scenario, self.table, self.batch, column, replayed=key[1]
            )
        return self.known[key]


def _loaded(scenario: Scenario, batch: Batch, column: int, *, replayed: bool) -> Batch:
    """The batch with a layer of one kind in every chunk, and then once more with two."""
    counts = np.tile(batch.load.counts, (2, 1, 1))
    counts[..., layer_columns(scenario)] = 0
    counts[: batch.pipeline, :, column] = 1
    counts[batch.pipeline :, :, column] = 2
    every = counts.copy()
    every[..., -OUTER_KINDS:] = 0
    leading = np.stack([np.zeros_like(every), every])
    return replace(
        batch,
        load=StageLoad(counts=counts, leading=leading),
        loads_of=np.tile(np.arange(batch.pipeline), 2),
        recomputed_layers=np.full(len(batch), int(replayed), dtype=np.int64),
    )


def _ends(batch: Batch) -> Ints:
    """[p]: chunks of a stage that the embedding or the head may fill alone."""
    outer = batch.load.counts[..., -OUTER_KINDS:].sum(axis=-1)
    return np.asarray(np.minimum(outer, 1).sum(axis=1))


def _uneven(
    scenario: Scenario, table: CostTable, batch: Batch, column: int, *, replayed: bool
) -> tuple[Floats, Floats]:
    """[N, p] each: by how much a layer takes less than the average in the chunk that keeps fewest,
    and more in the one that keeps most."""
    in_flight, which = batch.in_flight
    mean = in_flight.mean(axis=-1)
    less = (mean - in_flight.min(axis=-1))[which]
    more = (in_flight.max(axis=-1) - mean)[which]
    saved = table.saved_bytes[batch.row, column]
    saved = np.where(
        batch.granularity == SELECTIVE, table.selective_bytes[batch.row, column], saved
    )
    if replayed:
        full = batch.granularity == FULL
        saved = np.where(full, table.full_bytes[batch.row, column], saved)
    slack = 1 + scenario.job.software.slack
    each = slack * saved[:, None]
    return each * less, each * more


def _leaving(scenario: Scenario, table: CostTable, batch: Batch, column: int) -> Floats:
    """[N, p]: what of the second layer of every chunk is on the device, and of every further one is
    not: the first layers on their way to the host are there."""
    window = scenario.job.software.offload.activation_window.value
    counted, which = batch.in_flight
    in_flight = counted.sum(axis=-1)[which]
    late = np.clip(np.minimum(in_flight, window - in_flight), 0, None)
    moved = batch.host_activations * movable_of_layers(table, batch)[:, column]
    slack = 1 + scenario.job.software.slack
    return np.asarray(slack * late * moved[:, None])


def _freed(scenario: Scenario, table: CostTable, batch: Batch) -> Floats:
    """[N, p, 1]: the most bytes that recomputing one layer more may save."""
    columns = layer_columns(scenario)
    dropped = (table.saved_bytes - table.full_bytes)[batch.row][:, columns].max(axis=-1)
    counted, which = batch.in_flight
    in_flight = counted.max(axis=-1)[which]
    slack = 1 + scenario.job.software.slack
    return np.asarray(np.maximum(slack * dropped[:, None] * in_flight, 1.0)[..., None])
