"""When chunks end under many sets of durations, level by level.

Nodes wait only for some that are close before them. So a sweep that tells when chunks end, and
nothing else, holds a window of nodes at a time, and many sets share it.

Letters: p stages, v chunks of a stage, B sets of durations.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.arrays import Floats, Ints
    from planner.schedule.graph.compile import Graph

AT_ONCE = 512
"""Sets of durations in one sweep, so that its window is small."""

WINDOW = 2048
"""Nodes that are added to a window before what is no longer waited for leaves it."""


def last_ends(graph: Graph, table: Floats) -> Floats:
    """[B, p, v]: end of the last pass of every chunk, for a table [rows, B]."""
    columns = range(0, table.shape[1], AT_ONCE)
    parts = [
        _last_ends(graph, np.ascontiguousarray(table[:, first : first + AT_ONCE]))
        for first in columns
    ]
    return np.concatenate(parts).reshape(table.shape[1], *graph.last_node.shape)


class _Piece(NamedTuple):
    """Levels that follow each other: nodes from `first` until `stop`, and, of every level, the rows
    of the window where its causes are, its weights, and the rows where it goes. `last`: which of
    the ends asked for are in it, and in which rows."""

    first: int
    levels: list[tuple[Ints, Ints, Ints, slice]]
    last: Ints
    rows: Ints


def _last_ends(graph: Graph, table: Floats) -> Floats:
    """[B, p · v]: the same of sets that are few enough."""
    reach, pieces = _pieces(graph)
    widest = max(stop - first for first, stop in graph.levels)
    size = table.shape[1]
    window = np.zeros((1 + reach + WINDOW + widest, size))
    one, other = np.empty((widest, size)), np.empty((widest, size))
    found = np.zeros((graph.last_node.size, size))
    before = 1
    for piece in pieces:
        moved = piece.first - before
        window[1 : 1 + reach] = window[1 + moved : 1 + moved + reach].copy()
        before = piece.first
        for left, right, weight, rows in piece.levels:
            level, more = one[: len(left)], other[: len(left)]
            window.take(left, axis=0, out=level, mode="clip")
            window.take(right, axis=0, out=more, mode="clip")
            np.maximum(level, more, out=level)
            table.take(weight, axis=0, out=more, mode="clip")
            np.add(level, more, out=window[rows])
        found[piece.last] = window[piece.rows]
    return found.T


@lru_cache(maxsize=4)
def _pieces(graph: Graph) -> tuple[int, list[_Piece]]:
    """How many nodes before a piece its nodes wait for, and the pieces. Row 0 of the window is the
    start of the step, and the nodes of a piece follow those before it."""
    nodes = np.arange(graph.num_nodes)
    reach = int(
        max(np.where(cause > 0, nodes - cause, 0).max() for cause in (graph.left, graph.right))
    )
    last = graph.last_node.ravel().astype(np.int64)
    pieces = []
    for first, stop, levels in _divided(graph):
        shift = 1 + reach - first
        left, right = (
            np.where(cause[first:stop] > 0, cause[first:stop] + shift, 0).astype(np.intp)
            for cause in (graph.left, graph.right)
        )
        weight = graph.weight[first:stop].astype(np.intp)
        inside = np.flatnonzero((last >= first) & (last < stop))
        pieces.append(
            _Piece(
                first=first,
                levels=[
                    (left[at], right[at], weight[at], slice(begin + shift, end + shift))
                    for begin, end in levels
                    for at in (slice(begin - first, end - first),)
                ],
                last=inside,
                rows=last[inside] + shift,
            )
        )
    return reach, pieces


def _divided(graph: Graph) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Runs of levels that have `WINDOW` nodes, or the one level that has more: the first node, the
    one after the last, and the levels."""
    run: list[tuple[int, int]] = []
    for first, stop in graph.levels:
        if run and stop - run[0][0] > WINDOW:
            yield run[0][0], first, run
            run = []
        run.append((first, stop))
    if run:
        yield run[0][0], run[-1][1], run
