"""The result of a simulation: when everything ran."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import Schedule

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints, SmallInts
    from planner.schedule.graph.compile import Graph
    from planner.schedule.simulation.reductions import Reductions


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

    @cached_property
    def position_of(self) -> Ints:
        """[nodes]: the flat position in `schedule.codes` for a pass; that plus p·n for its message;
        2·p·n + e·m + microbatch for an exchange; −1 for a join."""
        position = np.full(self.graph.num_nodes, -1, dtype=np.int64)
        size = self.end_s.size
        exchanges = self.graph.exchange_node.ravel()
        position[exchanges] = np.arange(exchanges.size) + 2 * size
        position[self.graph.message_node.ravel()] = np.arange(size) + size
        position[self.graph.pass_node.ravel()] = np.arange(size)
        return position
