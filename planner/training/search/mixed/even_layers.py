"""Layers of every stage such that all stages are busy for about as long: a stage that is slow, or
held up by its messages, gets fewer. A rule for whole batches of plans, not a proof of anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.registry import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.training.step.sends import Sends

_HALVINGS = 40
"""How often the range of the longest stage is halved."""


def held_s(sends: Sends, schedule: str, pipeline: int, virtual_stages: int) -> Floats:
    """[N, p]: seconds of one microbatch that each stage waits for its own messages, as
    `planner.schedule.simulation.simulate` has them hold up a stage."""
    rows = len(sends.forward_s)
    if sends.mode in ("asynchronous", "overlapped") or pipeline == 1:
        return np.zeros((rows, pipeline))
    positions = kind_of(schedule).placement(pipeline, virtual_stages).positions
    none = np.zeros((rows, 1))
    forward = np.concatenate((sends.forward_s, none), axis=1)[:, positions]
    backward = np.concatenate((none, sends.backward_s), axis=1)[:, positions]
    both = np.maximum(forward, backward) if sends.mode == "paired" else forward + backward
    held: Floats = both.sum(axis=-1)
    return held


def even_layers(
    passes_s: Floats, layers: Sequence[int], each_s: Floats, held: Floats, least: Ints
) -> tuple[Ints, Floats]:
    """Layers of every stage of every plan, int [N, p], at least `least` [p], and what the longest
    stage takes for one microbatch then, seconds [N]. `passes_s` [N, p] is what both passes take
    with `layers` [p], of which one takes `each_s` [N, p] in proportion, and `held` [N, p] what a
    stage waits besides."""
    now = np.maximum(layers, 1).astype(np.float64)
    slower = each_s / each_s.max(axis=1, keepdims=True)
    layer_s = (passes_s / (now * slower)).min(axis=1, keepdims=True) * slower
    once_s = passes_s - layer_s * now + held
    total = sum(layers)
    low = np.zeros(len(layer_s))
    high = (once_s + layer_s * total).max(axis=1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = _below(middle, layer_s, once_s, least).sum(axis=1) >= total
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found = _below(high, layer_s, once_s, least)
    for row in np.flatnonzero(found.sum(axis=1) > total).tolist():
        for _ in range(int(found[row].sum()) - total):
            longest = np.where(found[row] > least, once_s[row] + layer_s[row] * found[row], -np.inf)
            found[row, longest.argmax()] -= 1
    return found, (once_s + layer_s * found).max(axis=1)


def _below(limit_s: Floats, layer_s: Floats, once_s: Floats, least: Ints) -> Ints:
    """[N, p]: the layers of stages that take at most so long."""
    room = np.floor((limit_s[:, None] - once_s) / layer_s + 1e-9)
    return np.maximum(room, least).astype(np.int64)
