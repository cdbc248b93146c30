"""Spreads of layers over chunks simulated, in whole layers or not.

Letters: p stages, v chunks of a stage, V = p · v chunks in the order in which a microbatch visits
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.simulation.simulate import Durations, simulate_each
from planner.training.search.bounding.spread_cases import fewest_layers

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import Schedule
    from planner.schedule.simulation.simulate import Simulations
    from planner.solver.division import Parts
    from planner.training.search.bounding.spread_cases import SpreadCases

HALVINGS = 40
"""Of the interval in which the even number of layers lies."""


def simulated(cases: SpreadCases, schedule: Schedule, sends: Sends, spreads: Floats) -> Simulations:
    """The only one of `cases` with each of `spreads` [B, V or 2 · V]: layers beyond the fewest of
    every chunk, under full recomputation followed by how many more of them are repeated."""
    p, v = schedule.stages, schedule.virtual_stages
    least = fewest_layers(p * v)
    more, repeated = spreads[:, : p * v], spreads[:, p * v :]
    forward = (least + more) * cases.forward_s
    backward = (least + more) * cases.backward_s
    backward += least * cases.first_s + more * cases.more_s
    if repeated.size:
        backward += repeated * cases.first_s
    forward[:, [0, -1]] += cases.ends_s[0, :, 0]
    backward[:, [0, -1]] += cases.ends_s[0, :, 1]
    held = (least + more).reshape(-1, v, p).sum(axis=1)
    slow = (np.arange(p) == cases.slow[0])[:, None]
    reduced_s = np.where(slow, cases.slow_reduced_s, cases.reduced_s)
    return simulate_each(
        schedule,
        Durations(
            forward_s=forward.reshape(-1, v, p).swapaxes(1, 2),
            backward_s=backward.reshape(-1, v, p).swapaxes(1, 2),
            forward_send_s=cases.sends_s[0, 0],
            backward_send_s=cases.sends_s[0, 1],
            sends=sends,
            reduction_s=reduced_s[:, 0] + reduced_s[:, 1] * held,
        ),
    )


def even_spread(parts: Parts, chunks: int) -> Floats:
    """[V] or [2 · V]: layers beyond the fewest, as even as the floors and rooms of stages allow,
    and what they owe."""
    low, high = 0.0, float(parts.rooms.max())
    for _ in range(HALVINGS):
        level = (low + high) / 2
        enough = np.clip(level, parts.floors, parts.rooms).sum() >= parts.number
        low, high = (low, level) if enough else (level, high)
    stages = len(parts.rooms)
    held = np.clip(high, parts.floors, parts.rooms) * stages / chunks
    if parts.owed is None:
        return np.tile(held, chunks // stages)
    owed = np.maximum(parts.owed[0] * stages / chunks + parts.owed[1] * held, 0.0)
    return np.concatenate([np.tile(kind, chunks // stages) for kind in (held, owed)])
