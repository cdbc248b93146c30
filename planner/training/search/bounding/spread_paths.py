"""Paths of one schedule and number of stages and chunks, and what they take for cases of it.

Letters: N cases, J paths, V chunks in the order in which a microbatch visits them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.bounds.found_paths import found_paths
from planner.schedule.bounds.loop_paths import LoopPaths, loop_paths
from planner.schedule.build import build
from planner.training.search.bounding.spread_cases import fewest_layers
from planner.training.search.bounding.spread_passes import simulated
from planner.training.search.bounding.spread_program import SpreadRows

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.schedule.bounds.loop_paths import Visits
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import Schedule
    from planner.training.search.bounding.spread_cases import SpreadCases

GROUPS = 3
"""Groups of microbatches whose order is looked at where there are more than one more."""

LONGEST = 2
"""Paths that are kept of a simulation, the longest ones."""


@dataclass(slots=True, kw_only=True, eq=False)
class SpreadPaths:
    """Of a `schedule`, by name. `repeats`: whether layers are fully recomputed."""

    schedule: str
    stages: int
    chunks: int
    sends: Sends
    repeats: bool
    _known: dict[int, LoopPaths] = field(default_factory=dict)
    _found: dict[int, list[LoopPaths]] = field(default_factory=dict)
    """Not yet among these."""

    def ordered(self, microbatches: Ints) -> Ints:
        """Of how many microbatches the order is looked at; all others are whole groups in the
        steady phase."""
        least = GROUPS * self.stages + microbatches % self.stages
        return np.where(microbatches > least, least, microbatches)

    def known(self, microbatches: int) -> LoopPaths:
        """Paths with so few microbatches, those of simulations included."""
        if microbatches not in self._known:
            self._known[microbatches] = loop_paths(self._order(microbatches), self.sends)
        found = self._found.pop(microbatches, [])
        if found:
            self._known[microbatches] = LoopPaths.joined(self._known[microbatches], *found)
        return self._known[microbatches]

    def simulated(self, few: int, case: SpreadCases, spreads: Floats) -> LoopPaths:
        """The longest paths of simulations of one case with each of `spreads` [B, V or 2 · V]."""
        tried = simulated(case, self._order(few), self.sends, spreads)
        parts = []
        for number, spread in enumerate(spreads):
            found = found_paths(tried.timeline(number), self.sends)
            seconds = self.rows(found, few, case).seconds(spread)
            parts.append(found.some(np.argsort(-seconds, kind="stable")[:LONGEST]))
        longest = LoopPaths.joined(*parts)
        self._found.setdefault(few, []).append(longest)
        return longest

    def _order(self, microbatches: int) -> Schedule:
        return build(
            self.schedule,
            stages=self.stages,
            virtual_stages=self.chunks // self.stages,
            num_microbatches=microbatches,
        )

    def rows(self, paths: LoopPaths, few: int, cases: SpreadCases) -> SpreadRows:
        """What J paths take for one case, or one path for N cases."""
        visits = paths.longer((cases.microbatches - few) / self.stages)
        return self._rows(visits, self._at_end(paths), cases)

    def average(self, paths: LoopPaths, shares: Floats, few: int, cases: SpreadCases) -> SpreadRows:
        """What the average of paths with these `shares` [J] takes for N cases."""
        one = LoopPaths(
            visits=(shares @ paths.visits)[None],
            cycle=(shares @ paths.cycle)[None],
            end=np.zeros(1, dtype=np.int64),
        )
        visits = one.longer((cases.microbatches - few) / self.stages)
        return self._rows(visits, (shares @ self._at_end(paths))[None], cases)

    def _at_end(self, paths: LoopPaths) -> Floats:
        """[J, V]: 1 for the chunks of the stage with whose reduction a path ends, else 0."""
        here = paths.end[:, None] == np.arange(self.chunks) % self.stages
        return np.asarray(here, dtype=np.float64)

    def _rows(self, visits: Visits, at_end: Floats, cases: SpreadCases) -> SpreadRows:
        forward, backward = visits.forward, visits.backward
        f, b = cases.forward_s[:, None], cases.backward_s[:, None]
        at_slow = cases.slow[:, None] == np.arange(self.chunks) % self.stages
        slower_s = cases.slow_reduced_s - cases.reduced_s
        ends_slow = (at_end * at_slow)[:, : self.stages].sum(axis=1)
        once = at_end * (cases.reduced_s[:, 1:] + at_slow * slower_s[:, 1:])
        once = once + cases.gathered_s[:, 1:] * at_slow
        layer = forward * f + backward * (b + cases.more_s[:, None]) + once
        first = (forward * f + backward * (b + cases.first_s[:, None]) + once) @ fewest_layers(
            self.chunks
        )
        first = first + cases.reduced_s[:, 0] + ends_slow * slower_s[:, 0] + cases.gathered_s[:, 0]
        ends = cases.ends_s
        first = first + forward[:, 0] * ends[:, 0, 0] + backward[:, 0] * ends[:, 0, 1]
        first = first + forward[:, -1] * ends[:, 1, 0] + backward[:, -1] * ends[:, 1, 1]
        there, back = cases.sends_s[:, 0], cases.sends_s[:, 1]
        sent = (visits.forward_sends * there + visits.backward_sends * back).sum(axis=1)
        if self.repeats:
            layer = np.concatenate((layer, backward * cases.first_s[:, None]), axis=1)
        return SpreadRows(fixed_s=first + sent, each_s=layer)
