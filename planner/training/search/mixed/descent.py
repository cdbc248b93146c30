"""A good split of one answer's layers over the chunks of its stages, where there are too many to
try all: from an even one, the best move of one layer between two chunks of a stage, and again.

Letters: B splits, p stages, v chunks of a stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.simulation.simulate import step_spans
from planner.training.search.mixed.split_tries import Split
from planner.training.search.mixed.splits import even_chunks, least_chunks

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.training.search.mixed.answer_paths import AnswerPaths
    from planner.training.search.mixed.splits import ChunkSeconds
    from planner.training.search.mixed.typed import TypedCombination

MOVES = 16
"""Most moves from the even split."""

PASSES = 3_000_000
"""Most passes that are simulated for one answer, in all its splits."""

GAIN = 1e-6
"""Share of a step that a move is to gain."""


def descended(
    of: TypedCombination, answers: AnswerPaths, answer: int, seconds: ChunkSeconds, budget: Budget
) -> Split | None:
    """The split of an answer at which no move gains, or the last that the work allows; None where
    the even one does not fit. Raises: OutOfTime."""
    classes, least = answers.classes[answer], least_chunks(of)
    chunks = even_chunks(of, answers.orders.layers[[answer]])[0]
    if not answers.ways.fit(classes, chunks):
        return None

    def steps_s(splits: Ints) -> Floats:
        where = np.broadcast_to(np.arange(len(classes)), splits.shape[:2])
        passes = seconds.seconds(where, np.broadcast_to(classes, where.shape), splits)
        passes = np.moveaxis(passes, 0, 2).reshape(*where.shape, -1)
        spans = step_spans(answers.schedule, answers.durations(answer, passes))
        return np.asarray(spans + answers.beside_s[answer])

    step_s = float(steps_s(chunks[None])[0])
    most = PASSES // answers.schedule.codes.size
    for _ in range(MOVES):
        budget.check()
        moved = _moved(chunks, least)
        most -= len(moved)
        if most < 0:
            break
        taken = steps_s(moved) if len(moved) else np.zeros(0)
        better = np.argsort(taken, kind="stable")[: int((taken < step_s * (1 - GAIN)).sum())]
        fitting = next((i for i in better.tolist() if answers.ways.fit(classes, moved[i])), None)
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
