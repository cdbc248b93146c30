"""The least that an average of paths takes over all spreads of layers over chunks, where stages
that hold many layers recompute some of them.

Letters: N cases, p stages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.arrays import Floats


def least_spread_s(
    number: float, layer_s: Floats, replay_s: Floats, owed: Floats, room: Floats, floors: Floats
) -> Floats:
    """[N]: the least seconds of a `number` of layers of which one takes `layer_s` [N, p] on every
    stage, with room for `room` [N, p] and no fewer than `floors` [p] there; infinite where they
    have no room. A stage with k of them repeats at least the first of `owed` [N, p, 2] and the
    second · k, each in `replay_s` [N, p]."""
    fixed, each = owed[..., 0], owed[..., 1]
    owing_s = layer_s + replay_s * each
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.where(each != 0, -fixed / each, 0.0)
    # Seconds of a stage are convex in its layers: they turn where it begins or ends to owe.
    turn = np.clip(turn, 0.0, np.maximum(room, 0.0))
    slopes = np.stack(
        (np.where(each < 0, owing_s, layer_s), np.where(each > 0, owing_s, layer_s)), axis=-1
    )
    lengths = np.stack((turn, room - turn), axis=-1)
    fits = (lengths >= 0).all(axis=(1, 2)) & (room >= floors).all(axis=1)
    spent = (replay_s * np.maximum(fixed, 0.0)).sum(axis=1)
    first = np.minimum(lengths[..., 0], floors)
    held = np.stack((first, floors - first), axis=-1)
    spent += (held * slopes).sum(axis=(1, 2))
    left = np.full(len(room), number) - floors.sum()
    lengths, slopes = ((one).reshape(len(room), -1) for one in (lengths - held, slopes))
    order = np.argsort(slopes, axis=1, kind="stable")
    for place in range(order.shape[1]):
        piece = order[:, place, None]
        taken = np.clip(np.take_along_axis(lengths, piece, axis=1)[:, 0], 0.0, np.maximum(left, 0))
        spent += taken * np.take_along_axis(slopes, piece, axis=1)[:, 0]
        left = left - taken
    return np.where((left > 0) | ~fits, np.inf, spent)
