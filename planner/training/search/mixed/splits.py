"""How stages divide their layers among their chunks, and what every way of it takes.

Several chunks per stage that may be laid out have layers of one kind only
(`planner.training.search.layouts.problem.kept_layout`), so a way is a number of layers for every
chunk. Passes take a constant and a share for every layer; the layers that full recomputation
repeats are the first few of every chunk.

Letters: C classes, p stages, v chunks of a stage, I ways, B answers. The four kinds of passes are
forward, whole backward, and its halves for inputs and for weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import PassKind
from planner.training.batch import FULL, OUTER_KINDS
from planner.training.memory.stage import stage_peaks
from planner.training.search.mixed.rooms import allocated_bytes, room_bytes
from planner.training.search.mixed.speeds import layer_columns
from planner.workload.stages import StageLoad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.training.search.mixed.classes import RowClasses
    from planner.training.search.mixed.typed import TypedCombination

PASSES = (
    PassKind.FORWARD,
    PassKind.BACKWARD,
    PassKind.BACKWARD_INPUT,
    PassKind.BACKWARD_WEIGHT,
)
"""The kinds of passes whose seconds are told apart."""

PRICED_WAYS = 1024
"""Ways of one stage up to which the memory of each is computed."""

CORNERS = 64
"""Ways of one stage up to which each counts as a corner of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkSeconds:
    """Seconds of a pass by chunk and class: `layer_s` [4, C, p] for every layer, `replay_s` [C, p]
    for every one that is repeated, `held_s` [4, C, p, v] for what a chunk holds besides; where the
    layout is kept, for everything."""

    layer_s: Floats
    replay_s: Floats
    held_s: Floats
    recomputed: int

    @classmethod
    def of(cls, of: TypedCombination, pace: Sequence[int], recomputed: int) -> ChunkSeconds:
        """`pace` [C]: the slowest device type of every class."""
        batch, columns = of.batch, layer_columns(of.ideal)
        counts = batch.pass_counts.astype(np.float64)
        full = bool(batch.granularity[0] == FULL)
        led = batch.load.leading[min(recomputed, batch.load.most_layers)].astype(np.float64)
        if of.free:
            counts[..., columns] = 0
        layer, replay, held = [], [], []
        for index in pace:
            one = of.problems[index]
            weight = one.weight_gradient_s
            kinds = (one.forward_s, one.backward_s, one.backward_s - weight, weight)
            beside = np.stack([np.einsum("pvk,pk->pv", counts, kind) for kind in kinds])
            first = one.forward_s[:, columns].min(axis=-1)
            if full and not of.free:
                beside[1:3] += np.einsum("pvk,pk->pv", led, one.forward_s)
            layer.append([kind[:, columns].min(axis=-1) * of.free for kind in kinds])
            replay.append(first * (full and of.free))
            held.append(beside)
        return cls(
            layer_s=np.array(layer).swapaxes(0, 1),
            replay_s=np.array(replay),
            held_s=np.stack(held, axis=1),
            recomputed=recomputed,
        )

    def seconds(self, stages: Ints, classes: Ints, chunks: Ints | Floats) -> Floats:
        """[4, ..., v] for [...] stages and classes and [..., v] layers of their chunks."""
        layers = chunks.astype(np.float64)
        found = self.layer_s[:, classes, stages, None] * layers + self.held_s[:, classes, stages]
        repeated = np.minimum(layers, self.recomputed)
        found[1:3] += self.replay_s[classes, stages, None] * repeated
        return np.asarray(found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkWays:
    """The ways in which a stage may divide its layers: `chunks` [I, v], `seconds` [I, 4 · v]. No
    average of the seconds, however weighted, is less than that of one of the `corners_s`, which are
    [X, 4 · v]. `complete`: all are listed."""

    chunks: Ints
    seconds: Floats
    corners_s: Floats
    complete: bool


def least_chunks(of: TypedCombination) -> Ints:
    """[p, v]: layers that every chunk has at least: none beside the embedding or the head."""
    outer = of.batch.load.counts[..., -OUTER_KINDS:].sum(axis=-1)
    return np.asarray(1 - np.minimum(outer, 1))


def spread(layers: int, least: Ints) -> list[int]:
    """Layers of every chunk of a stage: equal, with the larger ones late, and none with fewer than
    its least."""
    chunks = len(least)
    each, rest = divmod(layers, chunks)
    even = np.array([each + (chunk >= chunks - rest) for chunk in range(chunks)])
    missing = np.maximum(least - even, 0)
    even += missing
    for _ in range(int(missing.sum())):
        even[int((even - least).argmax())] -= 1
    return [int(held) for held in even]


def even_chunks(of: TypedCombination, layers: Ints) -> Ints:
    """[B, p, v]: the same of all stages of answers with `layers` [B, p]."""
    least = least_chunks(of)
    each = [
        {held: spread(held, least[stage]) for held in set(layers[:, stage].tolist())}
        for stage in range(len(least))
    ]
    found = [
        [of_stage[held] for of_stage, held in zip(each, answer, strict=True)]
        for answer in layers.tolist()
    ]
    return np.array(found, dtype=np.int64).reshape(*layers.shape, least.shape[1])


def corner_ways(least: Ints, layers: int) -> Ints:
    """[v, v]: the ways to divide layers over the chunks of a stage, which have their least, with
    all others in one chunk; none where there are fewer layers."""
    rest, v = layers - int(least.sum()), len(least)
    if rest < 0:
        return np.zeros((0, v), dtype=np.int64)
    return np.asarray(least + rest * np.eye(v, dtype=np.int64))


class StageWays:
    """The ways of all stages of a combination for one number of recomputed layers per chunk; memory
    is that of `replayed`, which may be more."""

    def __init__(
        self, of: TypedCombination, classes: RowClasses, seconds: ChunkSeconds, replayed: int
    ) -> None:
        self._of, self._seconds, self._replayed = of, seconds, replayed
        self._room = np.array([room_bytes(of.ideal, types) for types in classes.types])
        self._rooms = of.chunk_rooms if of.free else None
        self._least = least_chunks(of)
        self._known: dict[tuple[int, int, int, bool], ChunkWays] = {}
        self._divided: dict[tuple[int, float, int], tuple[Ints, bool]] = {}
        self._bytes: dict[tuple[int, ...], Floats] = {}

    def of(self, stage: int, c: int, layers: int, *, priced: bool = False) -> ChunkWays | None:
        """Those of a stage of class c with so many layers, with `priced` those that fit in its
        memory, as far as there are few enough to tell; None where there is none."""
        key = stage, c, layers, priced
        if key not in self._known:
            self._known[key] = self._listed(*key)
        found = self._known[key]
        return found if len(found.chunks) else None

    def nearest(self, stage: int, c: int, layers: int) -> Ints | None:
        """[v]: of the ways that fit, the one that differs least from an even one; None where it is
        not known."""
        even = np.array(spread(layers, self._least[stage]))
        if self._of_stage(stage, even[None])[0] <= self._room[c]:
            return even
        found = self.of(stage, c, layers, priced=True)
        if found is None or not found.complete or len(found.chunks) > PRICED_WAYS:
            return None
        nearest = np.abs(found.chunks - even).sum(axis=1).argmin()
        return np.asarray(found.chunks[nearest])

    def corners_of(self, stage: int, c: int, layers: int) -> Floats:
        """[X, 4 · v]: no way with so many layers, however its seconds are weighted, takes less than
        one of these; none where there is no way."""
        least = self._least[stage]
        if not self._of.free:
            return self._of_chunks(stage, c, np.zeros((1, len(least)), dtype=np.int64))
        corners = corner_ways(least, layers).astype(np.float64)
        if self._rooms is not None and len(corners):
            corners = self._rooms.corners(stage, float(self._room[c]), corners)
        return self._of_chunks(stage, c, corners)

    def fit(self, classes: Ints, chunks: Ints) -> bool:
        """Whether stages of these classes [p] fit with these layers in their chunks [p, v]."""
        held = held_bytes(self._of, chunks[None], self._replayed)[0]
        return bool((held <= self._room[classes]).all())

    def _listed(self, stage: int, c: int, layers: int, priced: bool) -> ChunkWays:
        chunks, complete = self._chunks(stage, c, layers)
        if priced and complete and len(chunks) <= PRICED_WAYS:
            chunks = chunks[self._of_stage(stage, chunks) <= self._room[c]]
        few = complete and len(chunks) <= CORNERS
        corners_s = self._of_chunks(stage, c, chunks) if few else self.corners_of(stage, c, layers)
        return ChunkWays(
            chunks=chunks,
            seconds=self._of_chunks(stage, c, chunks),
            corners_s=corners_s,
            complete=complete,
        )

    def _of_chunks(self, stage: int, c: int, chunks: Ints | Floats) -> Floats:
        """[I, 4 · v]"""
        where = np.full(len(chunks), stage), np.full(len(chunks), c)
        seconds = self._seconds.seconds(*where, chunks)
        return np.moveaxis(seconds, 0, 1).reshape(len(chunks), 4 * chunks.shape[1])

    def _chunks(self, stage: int, c: int, layers: int) -> tuple[Ints, bool]:
        """[I, v]: all ways that may fit, or the corners and an even one where there are too many;
        and whether they are all."""
        least, rooms = self._least[stage], self._rooms
        if rooms is None:
            return np.zeros((1, len(least)), dtype=np.int64), True
        room = float(self._room[c])
        key = stage, room, layers
        if key not in self._divided:
            chunks = rooms.ways(stage, room, least, layers, self._replayed)
            complete = chunks is not None
            if chunks is None:
                corners = corner_ways(least, layers)
                chunks = np.vstack((corners, spread(layers, least)))
            self._divided[key] = chunks, complete
        return self._divided[key]

    def _of_stage(self, stage: int, chunks: Ints) -> Floats:
        """[I]: what the allocator holds of a stage with these layers in its chunks [I, v]."""
        keys = [tuple(one) for one in chunks.tolist()]
        new = [i for i, key in enumerate(keys) if key not in self._bytes]
        if new:
            every = np.repeat(chunks[new][:, None], len(self._least), axis=1)
            held = held_bytes(self._of, every, self._replayed)
            self._bytes |= {keys[i]: one for i, one in zip(new, held, strict=True)}
        return np.array([self._bytes[key][stage] for key in keys])


def held_bytes(of: TypedCombination, chunks: Ints, recomputed: int) -> Floats:
    """[I, p]: what the allocator holds of every stage with these layers in its chunks [I, p, v].
    Turns of a combination ask for the same again, so it is kept."""
    key = chunks.tobytes(), recomputed
    if key not in of.held_bytes:
        of.held_bytes[key] = _held_bytes(of, chunks, recomputed)
    return of.held_bytes[key]


def _held_bytes(of: TypedCombination, chunks: Ints, recomputed: int) -> Floats:
    batch, (column, *_) = of.batch, layer_columns(of.ideal)
    if not of.free:
        held = allocated_bytes(stage_peaks(of.ideal, of.table, batch))
        return np.asarray(np.repeat(held, len(chunks), axis=0))
    counts = np.tile(batch.load.counts, (len(chunks), 1, 1))
    counts[..., layer_columns(of.ideal)] = 0
    leading = np.zeros((recomputed + 1, *counts.shape), dtype=np.int64)
    layers = chunks.reshape(-1, chunks.shape[-1])
    counts[..., column] = layers
    leading[..., column] = np.minimum(layers, np.arange(recomputed + 1)[:, None, None])
    loaded = replace(
        batch,
        load=StageLoad(counts=counts, leading=leading),
        loads_of=np.tile(np.arange(batch.pipeline), len(chunks)),
        recomputed_layers=np.full(1, recomputed),
    )
    held = allocated_bytes(stage_peaks(of.ideal, of.table, loaded))
    return np.asarray(held.reshape(len(chunks), batch.pipeline), dtype=np.float64)
