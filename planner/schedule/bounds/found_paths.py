"""Paths that simulations of interleaved schedules find, in the form of `loop_paths`.

More microbatches, whole groups of p, make a path longer that passes the same place of a stage's
order twice, one group apart, while the stages on the way alternate forwards and backwards: what
lies between is there once more for every group. Up to there the path runs as before, and the rest
of it follows with later microbatches. The order of every stage keeps both parts in order, since it
begins and ends alike for any number of whole groups. The same holds of a stage that alternates, and
of all its passes of a group. A path without either is there with more microbatches, too, and as
long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.bounds.loop_paths import LoopPaths, stage_cycle
from planner.schedule.graph.weight_table import WeightTable
from planner.schedule.passes import PassKind
from planner.schedule.simulation.causes import paths_to_ends

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.schedule.graph.compile import Sends
    from planner.schedule.simulation.timeline import Timeline

LATEST = 4
"""Stages of a simulation whose paths are taken, those that end last."""


def found_paths(timeline: Timeline, sends: Sends) -> LoopPaths:
    """The longest paths of a simulation to the ends of the stages that are done last."""
    ends = np.argsort(-timeline.reduction_end_s, kind="stable")[:LATEST]
    paths = [path[::-1] for path in paths_to_ends(timeline, ends.tolist())]
    visits = np.array([_visits(timeline, path) for path in paths])
    seconds = _visit_seconds(timeline)
    cycles = []
    for path in paths:
        known = _Alternating.of(timeline, path).cycles(timeline, path, sends)
        cycles.append(max(known, key=lambda cycle: float(cycle @ seconds)))
    return LoopPaths(visits=visits, cycle=np.array(cycles), end=ends)


def _visits(timeline: Timeline, nodes: Ints) -> Floats:
    """[4 · V − 2]: how often `nodes` pass everything, in the columns of `Visits`."""
    size = len(timeline.table)
    return _in_columns(timeline, np.bincount(timeline.graph.weight[nodes], minlength=size))


def _visit_seconds(timeline: Timeline) -> Floats:
    """[4 · V − 2]: what each takes in the simulation."""
    return _in_columns(timeline, timeline.table)


def _in_columns(timeline: Timeline, rows: Ints | Floats) -> Floats:
    """Of `rows` in the order of `WeightTable`, those of `Visits`, in its order."""
    schedule = timeline.schedule
    p, v = schedule.stages, schedule.virtual_stages
    table = WeightTable(stages=p, virtual_stages=v, exchanges=len(schedule.exchanges))
    passes = rows[table.passes : table.forward_sends].reshape(-1, p, v)
    # Chunks in the order in which a microbatch visits them.
    visits = passes.swapaxes(1, 2).reshape(-1, p * v)
    there = rows[table.forward_sends : table.backward_sends]
    back = rows[table.backward_sends : table.exchange]
    parts = (visits[PassKind.FORWARD], visits[PassKind.BACKWARD], there, back)
    return np.concatenate(parts).astype(np.float64)


class _Alternating(NamedTuple):
    """Of the nodes of a path, [n]: `stage` and `column` in its order of a pass, −1 of a message;
    whether the stage alternates `inside` there; and passes `outside` until then."""

    stage: Ints
    column: Ints
    inside: Bools
    outside: Ints

    @classmethod
    def of(cls, timeline: Timeline, path: Ints) -> _Alternating:
        schedule = timeline.schedule
        assert schedule.steady is not None
        position = timeline.position_of[path]
        stages, columns = timeline.end_s.shape
        is_pass = (position >= 0) & (position < stages * columns)
        stage, column = np.divmod(np.where(is_pass, position, 0), columns)
        first, end = schedule.steady[stage].T
        inside = is_pass & (column >= first) & (column < end)
        return cls(
            stage=np.where(is_pass, stage, -1),
            column=np.where(is_pass, column, -1),
            inside=inside,
            outside=np.cumsum(is_pass & ~inside),
        )

    def cycles(self, timeline: Timeline, path: Ints, sends: Sends) -> list[Floats]:
        """What a group more may add to the path, each [4 · V − 2]."""
        schedule = timeline.schedule
        p, v = schedule.stages, schedule.virtual_stages
        often = np.bincount(self.stage[self.inside], minlength=p)
        if not often.any():
            return [np.zeros(4 * p * v - 2)]
        found = [stage_cycle(p, v, int(often.argmax()), sends)]
        places = np.flatnonzero(self.inside)
        codes = self.stage[places] * timeline.end_s.shape[1] + self.column[places]
        # A group is a forward and a backward of p microbatches through every chunk.
        order = np.argsort(codes, kind="stable")
        later = np.searchsorted(codes[order], codes + 2 * p * v)
        twin = places[order[np.minimum(later, len(order) - 1)]]
        again = self.column[twin] == self.column[places] + 2 * p * v
        again &= self.stage[twin] == self.stage[places]
        again &= self.outside[twin] == self.outside[places]
        if again.any():
            seconds = np.where(again, timeline.ends[path[twin]] - timeline.ends[path[places]], 0.0)
            at = int(seconds.argmax())
            found.append(_visits(timeline, path[places[at] + 1 : twin[at] + 1]))
        return found
