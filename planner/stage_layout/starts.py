"""Layouts of a regular form, to start from where chunks hold unequal numbers of pieces.

Interleaved stages pass one chunk after the other in step. So it matters which chunks of all stages
hold one piece more: the same ones everywhere, late or early, lose little time between two groups of
microbatches, and the chunks in the middle of the model, which are the larger ones of an even
division, lose much. Letters: p stages, v chunks of a stage, V = p · v chunks in the order in which
a microbatch visits them, n pieces: what may not be cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.stage_layout.problem import Layouts

if TYPE_CHECKING:
    from planner.arrays import Ints
    from planner.stage_layout.problem import LayoutProblem


def pieces_of(problem: LayoutProblem, layouts: Layouts) -> Ints:
    """[B, V]: pieces of every chunk."""
    return np.diff(np.searchsorted(problem.ends, layouts.ends), axis=1)


def with_pieces(problem: LayoutProblem, pieces: Ints, patterns: Ints) -> Layouts:
    """The layouts with so many pieces [B, V] that leave no chunk empty, and these patterns [p]."""
    whole = np.unique(pieces[(pieces > 0).all(axis=1)], axis=0)
    places = np.pad(np.cumsum(whole, axis=1), ((0, 0), (1, 0)))
    return Layouts(
        ends=problem.ends[places], patterns=np.broadcast_to(patterns, (len(whole), problem.stages))
    )


def regular_layouts(problem: LayoutProblem, start: Layouts) -> Layouts:
    """`start` first, and layouts in which the chunks of a stage hold equally much but for its
    rest: one piece more in each of some consecutive chunks, or all of it in one chunk. The first
    and the last piece of the chain come in addition. Stages hold what they do in `start`, or as
    even numbers as possible, the larger ones in the middle."""
    p, v = problem.stages, problem.virtual_stages
    ends = np.zeros((v, p), dtype=np.int64)
    ends[0, 0] += 1
    ends[-1, -1] += 1
    held = (pieces_of(problem, start)[0].reshape(v, p) - ends).sum(axis=0)
    each, more = divmod(int(held.sum()), p)
    even = np.full(p, each)
    even[(p - more) // 2 : (p - more) // 2 + more] += 1
    chunk = np.arange(v)
    found = []
    for number in (held, even):
        least, rest = np.divmod(number, v)
        for first in range(v):
            window = ((chunk - first) % v)[:, None] < rest
            found += [least + window, least + rest * (chunk == first)[:, None]]
    layouts = with_pieces(
        problem, np.stack(found).reshape(-1, p * v) + ends.ravel(), start.patterns[0]
    )
    return Layouts.joined(start, layouts)
