"""The layers of a plan that has its hosts, moved between its stages while that makes the step
shorter over the links that they have: where a ring is narrow, fewer parameters go around it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import inf
from typing import TYPE_CHECKING

from planner.schedule.graph.weight_table import WeightTable
from planner.schedule.simulation.causes import counts_to_ends
from planner.schedule.simulation.critical_path import awaited_stage
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.memory.stage import stage_peaks
from planner.training.search.layouts.default import stages_of
from planner.training.search.layouts.problem import kept_layout
from planner.training.step.ahead import with_ahead
from planner.training.step.simulated import slowest_replica, slowest_spans
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.budget import Budget
    from planner.plan import Plan
    from planner.training.scenario import Scenario

PRICED = 128
"""Layouts that are priced for one plan."""

WORTHWHILE = 1e-4
"""Share of the step that a move has to save."""


def moved_on_links(scenario: Scenario, plan: Plan, budget: Budget) -> Plan:
    """The plan with layers moved between stages of one chunk each, as far as that helps on its own
    hosts and fits; other plans as they are. Raises: OutOfTime."""
    shape = plan.degrees.pipeline, plan.virtual_stages, plan.schedule
    if plan.virtual_stages > 1 or plan.recompute.granularity == "full":
        return plan
    if kept_layout(scenario, *shape) is not None:
        return plan
    placed = scenario.running(plan)
    table = cost_table(placed, [shard_of(plan)])

    def step_s(one: Plan, below_s: float) -> float:
        load = stage_load(placed.model, placed.kinds, one.stages)
        batch = with_ahead(placed, table, batch_of_one(one, 0, load))
        seconds = slowest_spans(placed, table, batch).step_s
        fits = seconds < below_s and bool(stage_peaks(placed, table, batch).fits.all())
        return seconds if fits else inf

    def passes_waited_for(one: Plan) -> list[int]:
        """How many passes of each stage the step waits for, one after the other."""
        load = stage_load(placed.model, placed.kinds, one.stages)
        batch = with_ahead(placed, table, batch_of_one(one, 0, load))
        timeline = slowest_replica(placed, table, batch).timeline
        counts = counts_to_ends(timeline, [awaited_stage(timeline)])[0]
        rows = WeightTable(stages=len(one.stages), virtual_stages=1)
        passes = counts[rows.passes : rows.forward_sends].reshape(-1, len(one.stages))
        waited: list[int] = passes.sum(axis=0).tolist()
        return waited

    best, best_s, left = plan, step_s(plan, inf), budget.meter(PRICED)
    waited = passes_waited_for(plan)
    move = max(1, plan.stages[0].num_layers // 2)
    while move and not left.ended:
        for sizes in _moves([stage.num_layers for stage in best.stages], move, waited):
            budget.check()
            left.spend()
            stages = stages_of(sizes, len(sizes), 1, plan.schedule)
            found = replace(best, stages=stages)
            found_s = step_s(found, best_s * (1 - WORTHWHILE))
            if found_s < inf:
                best, best_s, waited = found, found_s, passes_waited_for(found)
                break
            if left.ended:
                break
        else:
            move //= 2
    return best


def _moves(sizes: Sequence[int], layers: int, waited: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Layers of every stage after so many went from one stage to another. The step waits for more
    passes of the first than of the second: else what it waits for takes no less than before."""
    pairs = permutations(range(len(sizes)), 2)
    gains = [(waited[giver] - waited[taker], giver, taker) for giver, taker in pairs]
    for gain, giver, taker in sorted(gains, key=lambda one: -one[0]):
        if gain > 0 and sizes[giver] > layers:
            moved = list(sizes)
            moved[giver] -= layers
            moved[taker] += layers
            yield tuple(moved)
