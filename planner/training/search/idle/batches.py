"""Global batches close to that of a job with which the same nodes train faster.

A batch that many numbers of replicas divide leaves a job free; on 126 nodes, 1,536 sequences do not
and 1,512 do. The batch is the user's: what another one gives is advice, priced and never taken.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.training.search.best_first.run import SearchRun
from planner.training.search.idle.bounds import WorkBounds, below
from planner.training.search.idle.nodes import on_nodes
from planner.training.search.result import NearBatch
from planner.training.search.space.enumeration import divisors

if TYPE_CHECKING:
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import Priced
    from planner.training.search.idle.nodes import FewerNodes
    from planner.training.search.space.restrictions import Restrictions

NEAR = 0.05
"""Share by which a batch may differ."""

WORTH = 0.01
"""Share of throughput that makes a batch worth a remark."""

OPENED = 6
"""Pairs of a number of nodes and a batch on which plans are looked for, on either side."""


def near_batches(smaller: FewerNodes) -> tuple[NearBatch, ...]:
    """The batch below the job's that gives the highest throughput, and the one above where that
    gives more, each where it is worth a remark. Raises: OutOfTime."""
    run, best = smaller.run, smaller.best
    if best is None or not _awkward(run.scenario, best):
        return ()
    sequence_s = best.step_s / run.scenario.job.global_batch_size
    lower = fastest_near(smaller, run.restrictions, sequence_s, above=False)
    if lower is not None:
        sequence_s = lower.step_s / lower.global_batch_size
    upper = fastest_near(smaller, run.restrictions, sequence_s, above=True)
    return tuple(one for one in (lower, upper) if one is not None)


def fastest_near(
    smaller: FewerNodes, restrictions: Restrictions, sequence_s: float, *, above: bool
) -> NearBatch | None:
    """The plan with the fewest seconds a sequence of all batches up to 5 % `above` the job's, or
    below it; None where none is 1 % faster than `sequence_s`. Raises: OutOfTime."""
    run = smaller.run
    largest = _largest_micro_batch(smaller)
    allowed = _up_to(restrictions, largest, run.scenario.job.global_batch_size)
    work = WorkBounds(run.scenario, allowed, run.space.growing, run.budget)
    found, below_s = None, sequence_s / (1 + WORTH)
    pairs = work.by_batch(*((1.0, 1 + NEAR) if above else (1 - NEAR, 1.0)), below_s)
    left = run.budget.meter(OPENED)
    for (nodes, batch), least_s in sorted(pairs.items(), key=lambda one: (one[1], one[0])):
        if least_s >= below_s or left.ended:
            break
        run.budget.check()
        left.spend()
        allowed = _up_to(restrictions, largest, batch)
        best = _fastest(run, allowed, nodes, batch, below_s * batch)
        if best is not None:
            below_s = best.step_s / batch
            found = NearBatch(
                global_batch_size=batch,
                nodes=nodes,
                step_s=best.step_s,
                tokens_per_s=best.estimate.tokens_per_s,
                plan=best.plan,
            )
    return found


def _awkward(scenario: Scenario, best: Priced) -> bool:
    """Whether the job's batch may cost much by itself: nodes are idle, or they do not divide it."""
    idle = best.estimate.devices < scenario.job.devices
    return idle or scenario.job.global_batch_size % scenario.topology.nodes != 0


def _largest_micro_batch(smaller: FewerNodes) -> int:
    """The largest micro-batch of anything that may fit with the job's own batch; a batch that is
    close to it makes room for no larger one."""
    groups = [group for run in (smaller.run, *smaller.all_runs) for group in run.space.fitting]
    sizes = (group.screened.grid.columns["micro_batch_size"][group.grid_row] for group in groups)
    return max((int(size.max()) for size in sizes), default=1)


def _up_to(restrictions: Restrictions, largest: int, batch: int) -> Restrictions:
    """The restrictions; where they leave micro-batches open, those of this global batch up to the
    largest."""
    if restrictions.micro_batch_size is not None:
        return restrictions
    sizes = tuple(size for size in divisors(batch) if size <= largest)
    return replace(restrictions, micro_batch_size=sizes)


def _fastest(
    run: SearchRun, restrictions: Restrictions, nodes: int, batch: int, below_s: float
) -> Priced | None:
    """The fastest plan with this batch, if any takes less than `below_s`. Raises: OutOfTime."""
    job = replace(run.scenario.job, global_batch_size=batch)
    scenario = replace(run.scenario, job=job).sharing_layers(run.scenario)
    work = WorkBounds(scenario, restrictions, run.space.growing, run.budget)
    other = SearchRun(
        scenario=on_nodes(scenario, nodes),
        restrictions=restrictions,
        top=1,
        budget=run.budget,
        solver=run.solver,
        improve=None,
        hopeful=below(work, below_s),
        enough_s=below_s,
        counts_all=False,
        priced=run.space.growing,
    )
    try:
        other.bound()
    except RuleError:
        return None
    if other.space.fitting:
        other.refine()
    return next((one for one in other.best.kept if one.step_s < below_s), None)
