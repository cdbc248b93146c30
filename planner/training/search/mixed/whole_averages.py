"""A bound over every answer of a program and every split of its layers over chunks, by averages of
paths that were found for other combinations of the same schedule.

No step is shorter than an average of the paths through its schedule
(`planner.training.search.mixed.averages`). An average is a sum over the stages: of the passes that
the cheapest split of a stage's layers runs, of its messages, of its reduction. So the answer that
takes least on an average comes from a dynamic program like the one with the shortest way, and no
answer has to be listed.

Letters: C classes, p stages, L layers, K the most of a stage, v chunks of a stage, X corners.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.layouts.bound import jitter_share
from planner.training.search.mixed.order_problem import taken
from planner.training.search.mixed.orders import least_sum, shortest_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.training.search.mixed.cuts import Paths
    from planner.training.search.mixed.program import OrderTables
    from planner.training.search.mixed.splits import StageWays
    from planner.training.search.mixed.typed import TypedCombination


def averages_bound_s(
    of: TypedCombination,
    program: OrderTables,
    ways: StageWays,
    averages: Sequence[Paths],
    within_s: float,
) -> float:
    """A lower bound in seconds on the step of every answer; at most `within_s`."""
    problem = program.problem
    shortest = shortest_way(problem, within_s, within_s) if averages else None
    if shortest is None:
        return within_s if averages else 0.0
    late_s = within_s - float(taken(problem, problem.way_s, shortest).sum())
    usable = (problem.own_s <= within_s) & (problem.late_s <= late_s)
    cells = np.argwhere(usable.any(axis=-1)).tolist()
    corners_s = [ways.corners_of(stage, c, layers) for c, stage, layers in cells]
    busy = program.forward_s + program.backward_s
    m = int(of.batch.chunk_microbatches[0])
    jitter_s = jitter_share(of.ideal, problem.stages) * m * busy / problem.stages
    bound_s = 0.0
    for average in averages:
        passes = np.full(usable.shape[:3], inf)
        for (c, stage, layers), corners in zip(cells, corners_s, strict=True):
            passes[c, stage, layers] = (corners @ average.passes[0, stage]).min(initial=inf)
        ends = average.ends[0][:, None, None] * (program.after_s + program.reduction_s)
        costs = jitter_s + ends + (passes + _besides_s(of, program, average)[..., None])[..., None]
        bound_s = max(bound_s, least_sum(problem, costs, within_s, late_s))
        if bound_s >= within_s:
            break
    return min(bound_s, within_s)


def _besides_s(of: TypedCombination, program: OrderTables, average: Paths) -> Floats:
    """[C, p]: messages and the reduction between the ends. A message takes what the slower of its
    ends allows, so at least the mean of both."""
    p, v = program.problem.stages, of.batch.virtual_stages
    found = np.zeros((len(program.tied_s), p))
    sent = program.sends.links
    for after_s, before_s, counts in (
        (sent.forward_after_s, sent.forward_before_s, average.forward_sends[0]),
        (sent.backward_after_s, sent.backward_before_s, average.backward_sends[0]),
    ):
        if p > 1:
            links = np.append(counts, np.zeros(p * v - len(counts))).reshape(v, p).sum(axis=0)
            found += (links * after_s + np.roll(links, 1) * before_s) / 2
    ends = sorted({0, p - 1})
    found[:, ends] += average.ends[0][ends].sum() * program.tied_s[:, None] / len(ends)
    return found
