"""Good splits of answers' layers over the chunks of their stages, where there may be too many to
try all: of the answers that are shortest with layers spread as evenly as they fit, the best move of
one layer between two chunks of a stage, and again.

Letters: B splits, p stages, v chunks of a stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.simulation.steady import repeated_spans
from planner.training.search.mixed.split_tries import Split
from planner.training.search.mixed.splits import least_chunks

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.training.search.mixed.answer_paths import AnswerPaths
    from planner.training.search.mixed.splits import ChunkSeconds
    from planner.training.search.mixed.typed import TypedCombination

STARTS = 8
"""Answers whose splits are improved."""

NEAR = 1.03
"""Multiple of what is to be beaten within which an answer has to be before that."""

MOVES = 16
"""Most moves from the first split of an answer."""

PASSES = 3_000_000
"""Most passes that are simulated for the first splits of all answers, and as many for one answer in
all its splits."""

GAIN = 1e-6
"""Share of a step that a move is to gain."""


class Descents:
    """Of the answers of a program, whose passes take `seconds`."""

    def __init__(
        self, of: TypedCombination, answers: AnswerPaths, seconds: ChunkSeconds, budget: Budget
    ) -> None:
        self._answers, self._seconds, self._budget = answers, seconds, budget
        self._least = least_chunks(of)
        self._most = PASSES // answers.schedule.codes.size

    def best(self, which: Ints, below_s: float) -> list[Split]:
        """Splits of these answers, the most promising first, that take less than `below_s`. Raises:
        OutOfTime."""
        which, chunks = self._first(which[: self._most])
        if not len(which):
            return []
        taken = self._steps_s(which, chunks)
        ranked = np.argsort(taken, kind="stable")[:STARTS]
        found = []
        for start in ranked[taken[ranked] < below_s * NEAR].tolist():
            split = self._descended(int(which[start]), chunks[start], float(taken[start]))
            if split.seconds < below_s:
                found.append(split)
        return found

    def _first(self, which: Ints) -> tuple[Ints, Ints]:
        """The answers that are known to fit, and their layers [B, p, v] as even as they do."""
        classes, layers = self._answers.classes[which], self._answers.orders.layers[which]
        chunks = np.zeros((*layers.shape, self._least.shape[1]), dtype=np.int64)
        fits = np.ones(len(which), dtype=np.bool_)
        for stage in range(layers.shape[1]):
            cells = np.column_stack((classes[:, stage], layers[:, stage]))
            kinds, kind_of = np.unique(cells, axis=0, return_inverse=True)
            for kind, (c, held) in enumerate(kinds.tolist()):
                nearest = self._answers.ways.nearest(stage, c, held)
                if nearest is None:
                    fits &= kind_of != kind
                else:
                    chunks[kind_of == kind, stage] = nearest
        return which[fits], chunks[fits]

    def _steps_s(self, which: Ints, chunks: Ints) -> Floats:
        """[B]: the steps of these answers with layers `chunks` [B, p, v]."""
        answers = self._answers
        classes = answers.classes[which]
        stages = np.broadcast_to(np.arange(classes.shape[1]), classes.shape)
        passes = self._seconds.seconds(stages, classes, chunks)
        passes = np.moveaxis(passes, 0, 2).reshape(*classes.shape, -1)
        spans = repeated_spans(answers.schedule, answers.durations(which, passes))
        return np.asarray(spans + answers.beside_s[which])

    def _descended(self, answer: int, chunks: Ints, step_s: float) -> Split:
        """The split of an answer at which no move gains, or the last that the work allows."""
        classes, most = self._answers.classes[answer], self._most
        for _ in range(MOVES):
            self._budget.check()
            moved = _moved(chunks, self._least)
            most -= len(moved)
            if most < 0 or not len(moved):
                break
            taken = self._steps_s(np.full(len(moved), answer), moved)
            better = np.argsort(taken, kind="stable")[: int((taken < step_s * (1 - GAIN)).sum())]
            ways = self._answers.ways
            fitting = next((i for i in better.tolist() if ways.fit(classes, moved[i])), None)
            if fitting is None:
                break
            chunks, step_s = moved[fitting], float(taken[fitting])
        return Split(answer, chunks, step_s)


def _moved(chunks: Ints, least: Ints) -> Ints:
    """[B, p, v]: the splits with one layer in another chunk of its stage."""
    stages, given = np.nonzero(chunks > least)
    v = chunks.shape[1]
    steps = [
        (stage, chunk, to)
        for stage, chunk in zip(stages.tolist(), given.tolist(), strict=True)
        for to in range(v)
        if to != chunk
    ]
    moved = np.repeat(chunks[None], len(steps), axis=0)
    for split, (stage, chunk, to) in zip(moved, steps, strict=True):
        split[stage, chunk] -= 1
        split[stage, to] += 1
    return moved
