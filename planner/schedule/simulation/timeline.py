"""The result of a simulation: when everything ran, and why the step took that long."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.passes import PassKind, Schedule

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.arrays import Floats, Ints, SmallInts
    from planner.schedule.graph.compile import Graph
    from planner.schedule.simulation.reductions import Reductions


class Segment(NamedTuple):
    """A piece of the critical path: one pass, one message or one reduction."""

    activity: str
    """A `PassKind` label, "forward_send", "backward_send", the name of an exchange,
    "chunk_reduction", "reduction" or "tied_reduction"."""
    stage: int
    """The stage that works or sends; for an exchange, the stage that it waited for last."""
    microbatch: int | None
    chunk: int | None
    start_s: float
    end_s: float


class CriticalPasses(NamedTuple):
    """Passes in order: each one's `PassKind`, stage and chunk."""

    kinds: Ints
    stages: Ints
    chunks: Ints


class KeptMemory(NamedTuple):
    """What one stage keeps: each `level` holds from its moment until the next. Moments never
    decrease."""

    moment_s: Floats
    level: Floats

    @classmethod
    def of(cls, moment_s: Floats, changes: Floats) -> KeptMemory:
        """Builds it from `changes` at moments, leaving out moments at which nothing changes.
        Changes at the same moment all stay, in the order of the passes: what one frees is available
        to the next."""
        change = changes.ravel()
        happens = change != 0
        return cls(moment_s[happens], np.cumsum(change[happens]))

    @property
    def peak(self) -> float:
        return float(self.level.max(initial=0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Times in seconds from the start of the step. [p, n] is in the order of `schedule.codes`."""

    schedule: Schedule
    graph: Graph
    ends: Floats
    table: Floats
    reductions: Reductions

    @cached_property
    def end_s(self) -> Floats:
        """[p, n]: end of every pass."""
        return self.ends[self.graph.pass_node]

    @cached_property
    def start_s(self) -> Floats:
        """[p, n]: start of every pass."""
        return self._starts(self.graph.pass_node)

    @cached_property
    def message_start_s(self) -> Floats:
        """[p, n]: start of the message that carries the result of every pass; NaN where none."""
        node = self.graph.message_node
        return np.where(node > 0, self._starts(node), np.nan)

    @cached_property
    def message_end_s(self) -> Floats:
        """[p, n]: arrival of that message; NaN where none."""
        node = self.graph.message_node
        return np.where(node > 0, self.ends[node], np.nan)

    @property
    def exchange_start_s(self) -> Floats:
        """[E, m]: start of every exchange of every microbatch."""
        return self._starts(self.graph.exchange_node)

    @property
    def exchange_end_s(self) -> Floats:
        """[E, m]: end of every exchange of every microbatch."""
        return self.ends[self.graph.exchange_node]

    def _starts(self, nodes: SmallInts) -> Floats:
        return np.maximum(self.ends[self.graph.left[nodes]], self.ends[self.graph.right[nodes]])

    @property
    def span_s(self) -> float:
        """The whole step, reductions included."""
        return float(self.reductions.span_s)

    @property
    def pass_span_s(self) -> float:
        """Until the last pass of the last stage ends."""
        return float(self.last_end_s.max())

    @property
    def first_start_s(self) -> Floats:
        """[p]: start of the first pass."""
        return self.start_s[:, 0]

    @property
    def last_end_s(self) -> Floats:
        """[p]: end of the last pass."""
        return self.end_s[:, -1]

    @property
    def reduction_end_s(self) -> Floats:
        """[p]: end of the stage's own reductions."""
        return self.reductions.stage_end_s

    @cached_property
    def busy_s(self) -> Floats:
        """[p]: seconds in passes."""
        return np.asarray(self.table[self.graph.weight[self.graph.pass_node]].sum(axis=1))

    @cached_property
    def send_waits_s(self) -> Floats:
        """[p, n − 1]: seconds in which the stage waited for its own messages to arrive after every
        pass but the last."""
        left = self.graph.left[self.graph.pass_node[:, 1:]]
        return np.asarray(self.ends[left] - self.end_s[:, :-1])

    @cached_property
    def send_wait_s(self) -> Floats:
        """[p]: seconds in which the stage waited for its own messages to arrive."""
        return np.asarray(self.send_waits_s.sum(axis=1))

    @property
    def bubble_s(self) -> Floats:
        """[p]: seconds until `pass_span_s` spent neither in passes nor waiting for messages; never
        negative through rounding."""
        return np.maximum(self.pass_span_s - self.busy_s - self.send_wait_s, 0.0)

    @property
    def bubble_fraction(self) -> Floats:
        """[p]: `bubble_s` as a fraction of `pass_span_s`."""
        return self.bubble_s / self.pass_span_s

    def memory(self, weights: ArrayLike, shared: ArrayLike = 0.0) -> tuple[KeptMemory, ...]:
        """What every stage keeps over time, stage by stage.

        A forward of chunk c of stage s allocates `weights` [p, v] (bytes, for example) when it
        starts. Its backward, or the weight half of a split one, frees it when it ends. A vocabulary
        pass allocates `shared` [p] until the pass of its gradients ends. The largest level of a
        stage equals `inflight.peak_weighted` when `shared` is 0.
        """
        shape = (self.schedule.stages, self.schedule.virtual_stages)
        chunk = np.broadcast_to(np.asarray(weights, dtype=np.float64), shape)
        vocabulary = np.broadcast_to(np.asarray(shared, dtype=np.float64), shape[:1])[:, None]
        kinds, split = self.schedule.kinds, self.schedule.splits_backward
        last = PassKind.BACKWARD_WEIGHT if split else PassKind.BACKWARD
        size = np.take_along_axis(chunk, self.schedule.chunks.astype(np.int64), 1)
        gained = np.select(
            [kinds == PassKind.FORWARD, kinds == PassKind.VOCAB_FORWARD], [size, vocabulary], 0.0
        )
        freed = np.select(
            [np.isin(kinds, (PassKind.BACKWARD, last)), kinds == PassKind.VOCAB_BACKWARD],
            [size, vocabulary],
            0.0,
        )
        moments = np.stack((self.start_s, self.end_s), axis=-1)
        changes = np.stack((gained, -freed), axis=-1)
        return tuple(
            KeptMemory.of(*one) for one in zip(moments.reshape(shape[0], -1), changes, strict=True)
        )

    def critical_path(self) -> tuple[Segment, ...]:
        """Consecutive segments from 0 to `span_s`, each starting when the previous one ends: the
        step gets shorter only if one of them does.

        Segments without duration are left out. Of two equal causes, the stage's own is taken.
        """
        stage, moment, tail = self._reduction_path()
        return (*self._pass_path(stage, moment), *tail)

    def pass_path(self) -> tuple[Segment, ...]:
        """The critical path of the passes alone, from 0 to `pass_span_s`."""
        return tuple(self._pass_path(int(self.last_end_s.argmax()), self.pass_span_s))

    def path_shares(self) -> dict[str, float]:
        """The share of the step that every activity of the critical path takes; the shares add up
        to 1."""
        seconds: dict[str, float] = {}
        for one in self.critical_path():
            seconds[one.activity] = seconds.get(one.activity, 0.0) + one.end_s - one.start_s
        return {activity: total / self.span_s for activity, total in seconds.items()}

    @property
    def awaited_stage(self) -> int:
        """The stage whose passes the end of the step waits for."""
        found = self.reductions
        stage = int(found.stage_end_s.argmax())
        if found.tied_end_s > found.stage_end_s[stage]:
            return 0 if found.stage_end_s[0] >= found.stage_end_s[-1] else len(self.end_s) - 1
        return stage

    def _reduction_path(self) -> tuple[int, float, list[Segment]]:
        """The stage whose passes the end of the step waits for, when these passes end, and the
        reductions from then on."""
        found = self.reductions
        path: list[Segment] = []

        def add(activity: str, stage: int, chunk: int | None, start: float, end: float) -> None:
            if end > start:
                path.insert(0, Segment(activity, stage, None, chunk, start, end))

        stage = self.awaited_stage
        if found.tied_end_s > found.stage_end_s[stage]:
            add("tied_reduction", stage, None, float(found.tied_start_s), float(found.tied_end_s))
        moment = float(found.stage_start_s[stage])
        add("reduction", stage, None, moment, float(found.stage_end_s[stage]))

        starts, ends = found.chunk_start_s[stage], found.chunk_end_s[stage]
        for chunk in np.argsort(ends, kind="stable")[::-1].tolist():
            if starts[chunk] < ends[chunk] == moment:
                add("chunk_reduction", stage, chunk, float(starts[chunk]), moment)
                moment = float(starts[chunk])
        return stage, moment, path

    def critical_passes(self) -> CriticalPasses:
        """The passes on the critical path, in order; those without duration are left out."""
        stage, moment, _ = self._reduction_path()
        nodes = np.array(self._path_nodes(stage, moment)[::-1], dtype=np.int64)
        position = self._position_of[nodes]
        place = position[(position >= 0) & (position < self.end_s.size)]
        schedule = self.schedule
        passes = schedule.codes.ravel()[place] // schedule.num_microbatches
        kinds, chunks = np.divmod(passes, schedule.virtual_stages)
        return CriticalPasses(kinds, place // self.end_s.shape[1], chunks)

    def _pass_path(self, stage: int, moment: float) -> list[Segment]:
        """Segments from the start of the step to the pass of `stage` that ends at `moment`."""
        left, right, ends = self.graph.left, self.graph.right, self.ends
        return [
            self._segment(node, float(max(ends[left[node]], ends[right[node]])), float(ends[node]))
            for node in reversed(self._path_nodes(stage, moment))
        ]

    def _path_nodes(self, stage: int, moment: float) -> list[int]:
        """Nodes with a duration, from the pass of `stage` that ends at `moment` back to the start
        of the step."""
        left, right, ends = self.graph.left, self.graph.right, self.ends
        column = int(np.flatnonzero(self.end_s[stage] == moment)[-1])
        node = int(self.graph.pass_node[stage, column])
        path: list[int] = []
        while node:
            one, other = int(left[node]), int(right[node])
            cause = other if ends[other] > ends[one] else one
            if ends[node] > ends[cause]:
                path.append(node)
            node = cause
        return path

    def _segment(self, node: int, start: float, end: float) -> Segment:
        position, size = int(self._position_of[node]), self.end_s.size
        if position >= 2 * size:
            index, microbatch = divmod(position - 2 * size, self.schedule.num_microbatches)
            name = self.schedule.exchanges[index].name
            return Segment(name, self._awaited_stage(node), microbatch, None, start, end)
        stage, column = divmod(position % size, self.end_s.shape[1])
        kind, microbatch, chunk = self.schedule.decode(int(self.schedule.codes[stage, column]))
        label = kind.label
        if position >= size:
            label = "forward_send" if kind is PassKind.FORWARD else "backward_send"
        return Segment(label, stage, microbatch, chunk, start, end)

    def _awaited_stage(self, node: int) -> int:
        """The stage of the pass that the causes of a node lead to, through any nodes in between."""
        position, size = -1, self.end_s.size
        while not 0 <= position < size:
            one, other = int(self.graph.left[node]), int(self.graph.right[node])
            node = other if self.ends[other] > self.ends[one] else one
            position = int(self._position_of[node])
        return position // int(self.end_s.shape[1])

    @cached_property
    def _position_of(self) -> Ints:
        """[nodes]: the flat position in `schedule.codes` for a pass; that plus p·n for its message;
        2·p·n + e·m + microbatch for an exchange; −1 for a join."""
        position = np.full(self.graph.num_nodes, -1, dtype=np.int64)
        size = self.end_s.size
        exchanges = self.graph.exchange_node.ravel()
        position[exchanges] = np.arange(exchanges.size) + 2 * size
        position[self.graph.message_node.ravel()] = np.arange(size) + size
        position[self.graph.pass_node.ravel()] = np.arange(size)
        return position
