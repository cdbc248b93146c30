"""Paths that simulations of interleaved schedules find, in the form of `loop_paths`.

More microbatches, whole groups of p, make a path longer that passes its stage while that alternates
forwards and backwards: up to there it runs as before, the stage then goes on through so many passes
more, and the rest of the path follows with later microbatches. The order of every stage keeps both
parts in order, since it begins and ends alike for any number of whole groups. A path that no stage
passes like that is there with more microbatches, too, and as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.bounds.loop_paths import LoopPaths
from planner.schedule.graph.weight_table import WeightTable
from planner.schedule.passes import PassKind
from planner.schedule.simulation.causes import paths_to_ends

if TYPE_CHECKING:
    from planner.arrays import Ints
    from planner.schedule.graph.compile import Sends
    from planner.schedule.simulation.timeline import Timeline

LATEST = 4
"""Stages of a simulation whose paths are taken, those that end last."""

NOWHERE = -1
"""The stage of a path that no stage passes while it alternates."""


def found_paths(timeline: Timeline, sends: Sends) -> LoopPaths:
    """The longest paths of a simulation to the ends of the stages that are done last."""
    schedule = timeline.schedule
    p, v = schedule.stages, schedule.virtual_stages
    ends = np.argsort(-timeline.reduction_end_s, kind="stable")[:LATEST]
    rows = WeightTable(stages=p, virtual_stages=v, exchanges=len(schedule.exchanges))
    paths = paths_to_ends(timeline, ends.tolist())
    counts = np.array(
        [np.bincount(timeline.graph.weight[path], minlength=rows.size) for path in paths]
    )
    passes = counts[:, rows.passes : rows.forward_sends].reshape(len(paths), -1, p, v)
    # Chunks in the order in which a microbatch visits them.
    visits = passes.swapaxes(2, 3).reshape(len(paths), -1, p * v).astype(np.float64)
    return LoopPaths(
        forward=visits[:, PassKind.FORWARD],
        backward=visits[:, PassKind.BACKWARD],
        forward_sends=counts[:, rows.forward_sends : rows.backward_sends].astype(np.float64),
        backward_sends=counts[:, rows.backward_sends : rows.exchange].astype(np.float64),
        stage=np.array([_alternating(timeline, path) for path in paths]),
        end=ends,
        waits=(sends in ("blocking", "paired"), sends == "blocking"),
    )


def _alternating(timeline: Timeline, path: Ints) -> int:
    """The stage that a path passes oftenest while it alternates."""
    schedule = timeline.schedule
    assert schedule.steady is not None
    stages, columns = timeline.end_s.shape
    position = timeline.position_of[path]
    stage, column = np.divmod(position[(position >= 0) & (position < stages * columns)], columns)
    first, end = schedule.steady[stage].T
    often = np.bincount(stage[(column >= first) & (column < end)], minlength=stages)
    return int(often.argmax()) if often.any() else NOWHERE
