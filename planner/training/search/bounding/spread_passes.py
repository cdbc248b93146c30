"""A spread of layers over chunks simulated, in whole layers or not.

Letters: p stages, v chunks of a stage, V = p · v chunks in the order in which a microbatch visits
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.simulation.simulate import Durations, simulate
from planner.training.search.bounding.spread_cases import fewest_layers

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import Schedule
    from planner.schedule.simulation.timeline import Timeline
    from planner.solver.division import Parts
    from planner.training.search.bounding.spread_cases import SpreadCases

HALVINGS = 40
"""Of the interval in which the even number of layers lies."""


def simulated(cases: SpreadCases, schedule: Schedule, sends: Sends, spread: Floats) -> Timeline:
    """The only one of `cases` with so many layers [V] beyond the fewest of every chunk."""
    p, v = schedule.stages, schedule.virtual_stages
    least = fewest_layers(p * v)
    forward = (least + spread) * cases.forward_s
    backward = (least + spread) * cases.backward_s
    backward += least * cases.first_s + spread * cases.more_s
    forward[[0, -1]] += cases.ends_s[0, :, 0]
    backward[[0, -1]] += cases.ends_s[0, :, 1]
    held = (least + spread).reshape(v, p).sum(axis=0)
    return simulate(
        schedule,
        Durations(
            forward_s=forward.reshape(v, p).T,
            backward_s=backward.reshape(v, p).T,
            forward_send_s=cases.sends_s[0, 0],
            backward_send_s=cases.sends_s[0, 1],
            sends=sends,
            reduction_s=cases.reduced_s[0, 0] + cases.reduced_s[0, 1] * held,
        ),
    )


def even_spread(parts: Parts, chunks: int) -> Floats:
    """[V]: layers beyond the fewest, as even as the floors and rooms of stages allow."""
    low, high = 0.0, float(parts.rooms.max())
    for _ in range(HALVINGS):
        level = (low + high) / 2
        enough = np.clip(level, parts.floors, parts.rooms).sum() >= parts.number
        low, high = (low, level) if enough else (level, high)
    stages = len(parts.rooms)
    held = np.clip(high, parts.floors, parts.rooms) * stages / chunks
    each: Floats = np.tile(held, chunks // stages)
    return each
