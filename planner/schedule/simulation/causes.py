"""What the end of every stage waits for: paths through a simulated schedule, as counts of
durations.

A path exists whatever the durations are. So with other durations, a stage's last pass ends no
earlier than the sum of the durations on its path: a cutting plane (Kelley 1960).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Ints
    from planner.schedule.simulation.timeline import Timeline


def counts_to_ends(timeline: Timeline, stages: Sequence[int]) -> Ints:
    """Int [stages, rows]: how often the longest path to the end of the last pass of each of some
    stages goes through each row of the duration table (`WeightTable`)."""
    weight, size = timeline.graph.weight, len(timeline.table)
    paths = paths_to_ends(timeline, stages)
    return np.array([np.bincount(weight[path], minlength=size) for path in paths], dtype=np.int64)


def paths_to_ends(timeline: Timeline, stages: Sequence[int]) -> list[Ints]:
    """The nodes of the longest path to the end of the last pass of each of some stages, the last
    one first. If two causes are equal, the stage's own counts."""
    graph = timeline.graph
    left, right, ends = graph.left, graph.right, timeline.ends
    cause = np.where(ends[right] > ends[left], right, left)
    walked: list[Ints] = []
    seen: dict[int, tuple[int, int]] = {}
    for number, stage in enumerate(stages):
        node = int(graph.pass_node[stage, -1])
        own: list[int] = []
        while node and node not in seen:
            seen[node] = number, len(own)
            own.append(node)
            node = cause.item(node)
        path = np.array(own, dtype=np.int64)
        if node:
            earlier, place = seen[node]
            path = np.concatenate((path, walked[earlier][place:]))
        walked.append(path)
    return walked
