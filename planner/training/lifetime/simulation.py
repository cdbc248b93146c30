"""A job's life with its failures, simulated event by event, many lives at once.

Every node that the job uses fails at random, at a constant rate, and is away for repair for an
exponentially distributed time. A spare takes its place; without one the job goes on with the best
plan on the nodes that are left, and waits where there is none. What was worked since the last
checkpoint is lost. When a node comes back and a better plan becomes possible, the job writes a
checkpoint and starts again on more nodes; otherwise the node is a spare. Failures happen during
restarts too. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.training.lifetime.failures import goodput

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """The best plan on some nodes: its rate of progress over that of the plan on all of them, from
    0 to 1, how many nodes it uses, and how much longer its restart takes (a checkpoint that has to
    be prepared for it)."""

    rate: float
    nodes: int
    prepare_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingJob:
    """`plans[m]`: the best plan on m nodes, from none up to those the job is given. A node fails
    every `node_mtbf_s` and comes back after `repair_s`, both on average. `interval_s` of work lie
    between two checkpoints, each stops the steps for `stall_s`; a restart takes `restart_s`."""

    plans: tuple[Shrunk, ...]
    node_mtbf_s: float
    repair_s: float
    interval_s: float
    stall_s: float
    restart_s: float

    @property
    def nodes(self) -> int:
        """Nodes that the job is given, spares apart."""
        return len(self.plans) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """[lives]: `goodput`, progress over that of a job that never fails nor writes a checkpoint;
    shares of the time with the plan on all nodes (`full`), with another one (`shrunk`), and without
    any (`stopped`); `failures`, their number."""

    goodput: Floats
    full: Floats
    shrunk: Floats
    stopped: Floats
    failures: Ints


def simulate(job: FailingJob, *, spares: int, wall_s: float, lives: int, seed: int = 0) -> Lives:
    """So many lives of `wall_s` each. The same seed gives the same lives."""
    state = _State(job, spares, wall_s, lives)
    random = np.random.default_rng(seed)
    while state.living.any():
        state.next_event(random.exponential(size=lives), random.random(size=lives))
    shares = [one / wall_s for one in (state.progress_s, state.full_s, state.shrunk_s)]
    return Lives(
        goodput=shares[0],
        full=shares[1],
        shrunk=shares[2],
        stopped=np.maximum(1 - shares[1] - shares[2], 0.0),
        failures=state.failures,
    )


def lasting_goodput(job: FailingJob, *, spares: int) -> float:
    """What lives come to in the long run, in closed form. How many nodes are away is a chain of
    failures and returns; its stationary distribution weighs Daly's goodput of the plan that the
    nodes left have. Restarts to grow back are left out."""
    weights, shares = [1.0], []
    for away in range(job.nodes + spares + 1):
        plan = job.plans[min(job.nodes, job.nodes + spares - away)]
        share = 0.0
        if plan.nodes:
            share = plan.rate * goodput(
                interval_s=job.interval_s,
                stall_s=job.stall_s,
                restart_s=job.restart_s + plan.prepare_s,
                between_failures_s=job.node_mtbf_s / plan.nodes,
            )
        shares.append(share)
        failing = plan.nodes / job.node_mtbf_s
        weights.append(weights[-1] * failing * job.repair_s / (away + 1))
    weights.pop()
    return sum(w * share for w, share in zip(weights, shares, strict=True)) / sum(weights)


class _State:
    """[lives]: where each life is."""

    def __init__(self, job: FailingJob, spares: int, wall_s: float, lives: int) -> None:
        self._job, self._wall_s, self._spares = job, wall_s, spares
        self._rates = np.array([one.rate for one in job.plans])
        self._used = np.array([one.nodes for one in job.plans], dtype=np.int64)
        self._restart_s = np.array([job.restart_s + one.prepare_s for one in job.plans])
        self._now_s = np.zeros(lives)
        self._ready_s = np.zeros(lives)
        """When the job works again; then its current stretch of work began."""
        self._away = np.zeros(lives, dtype=np.int64)
        self._plan = np.full(lives, job.nodes, dtype=np.int64)
        self.progress_s = np.zeros(lives)
        self.full_s = np.zeros(lives)
        self.shrunk_s = np.zeros(lives)
        self.failures: Ints = np.zeros(lives, dtype=np.int64)

    @property
    def living(self) -> Bools:
        living: Bools = self._now_s < self._wall_s
        return living

    def next_event(self, waits: Floats, draws: Floats) -> None:
        """A failure or a return in every life, whichever comes first, or the end. `waits` are
        exponential with mean 1, `draws` uniform."""
        failing = self._used[self._plan] / self._job.node_mtbf_s
        returning = self._away / self._job.repair_s
        total = failing + returning
        with np.errstate(divide="ignore"):
            wait_s = np.where(total > 0, waits / np.where(total > 0, total, 1.0), np.inf)
        living = self.living
        event_s = np.where(living, np.minimum(self._now_s + wait_s, self._wall_s), self._now_s)
        self._count_time(event_s)
        ends = living & (event_s >= self._wall_s)
        fails = living & ~ends & (draws * total < failing)
        returns = living & ~ends & ~fails
        self.progress_s += np.where(ends, self._worked_s(event_s), 0.0)
        self._fail(fails, event_s)
        self._return(returns, event_s)
        self._now_s = event_s

    def _count_time(self, event_s: Floats) -> None:
        spent_s = event_s - self._now_s
        rate = self._rates[self._plan]
        self.full_s += np.where(rate >= self._rates[-1], spent_s, 0.0)
        self.shrunk_s += np.where((rate > 0) & (rate < self._rates[-1]), spent_s, 0.0)

    def _fail(self, fails: Bools, event_s: Floats) -> None:
        """Only what a checkpoint holds is kept."""
        self.progress_s += np.where(fails, self._kept_s(event_s), 0.0)
        self.failures += fails
        self._away += fails
        self._plan = np.where(fails, self._best(), self._plan)
        self._ready_s = np.where(fails, event_s + self._restart_s[self._plan], self._ready_s)

    def _return(self, returns: Bools, event_s: Floats) -> None:
        self._away -= returns
        best = self._best()
        grows = returns & (self._rates[best] > self._rates[self._plan])
        works = grows & (self._rates[self._plan] > 0) & (event_s > self._ready_s)
        self.progress_s += np.where(works, self._worked_s(event_s), 0.0)
        stop_s = np.where(works, self._job.stall_s, 0.0) + self._restart_s[best]
        self._ready_s = np.where(grows, event_s + stop_s, self._ready_s)
        self._plan = np.where(grows, best, self._plan)

    def _best(self) -> Ints:
        """The plan for the nodes that are there."""
        there = self._job.nodes + self._spares - self._away
        best: Ints = np.clip(there, 0, self._job.nodes)
        return best

    def _kept_s(self, event_s: Floats) -> Floats:
        """Progress that the checkpoints since the last start hold."""
        stretch_s = np.maximum(event_s - self._ready_s, 0.0)
        segments = np.floor(stretch_s / (self._job.interval_s + self._job.stall_s))
        kept_s: Floats = segments * self._job.interval_s * self._rates[self._plan]
        return kept_s

    def _worked_s(self, event_s: Floats) -> Floats:
        """Progress since the last start, what no checkpoint holds yet included."""
        job = self._job
        stretch_s = np.maximum(event_s - self._ready_s, 0.0)
        segments = np.floor(stretch_s / (job.interval_s + job.stall_s))
        rest_s = stretch_s - segments * (job.interval_s + job.stall_s)
        done_s = segments * job.interval_s + np.minimum(rest_s, job.interval_s)
        worked_s: Floats = done_s * self._rates[self._plan]
        return worked_s
