"""The months of a plan: nodes fail, are repaired and come back, with each number of spare nodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InputError, PlannerError
from planner.training.lifetime.failures import spares_needed
from planner.training.lifetime.simulation import FailingJob, Shrunk, lasting_goodput, simulate
from planner.training.scenario import resized
from planner.training.search.idle.nodes import may_idle
from planner.training.search.idle.sizes import SharedSizes
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Estimate
    from planner.training.lifetime.simulation import Lives
    from planner.training.scenario import Scenario

DAY_S = 24 * 3600.0

RARE = 0.999
"""Probability that no more nodes are away than those for which plans are looked for."""
MOST_AWAY = 24
"""Most nodes away for which plans are looked for; with more, the job waits."""
LISTED = 8
"""Most numbers of spare nodes that are tried where none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpareOutcome:
    """What a number of spare nodes gives. `goodput`: progress over that of a job that never fails,
    on average, and between which shares nine of ten lives are; `lasting`: the same in closed form,
    without an end. `full`, `shrunk`, `stopped`: shares of the time with the plan, with one on fewer
    nodes, without any. `for_each_node`: goodput for each node that is there, over that of no
    spares."""

    spares: int
    goodput: float
    goodput_low: float
    goodput_high: float
    lasting: float
    full: float
    shrunk: float
    stopped: float
    failures: float
    tokens_per_day: float
    for_each_node: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedMonths:
    """Lives of a job of `nodes` nodes, each of which fails every `node_mtbf_s`. `nodes_away`: on
    average; `rates`: by the number of nodes left, the rate of the best plan there over that of the
    plan."""

    days: float
    seeds: int
    nodes: int
    node_mtbf_s: float
    nodes_away: float
    rates: dict[int, float]
    outcomes: tuple[SpareOutcome, ...]

    @property
    def best(self) -> SpareOutcome:
        """The number of spare nodes with which each node that is there gives most; of equal ones
        the smallest."""
        return max(self.outcomes, key=lambda one: (one.for_each_node, -one.spares))

    @property
    def document(self) -> dict[str, Any]:
        """What `planner simulate --json` prints."""
        return {
            "schema": "planner/simulation/1",
            "days": self.days,
            "seeds": self.seeds,
            "nodes": self.nodes,
            "node_mtbf_s": self.node_mtbf_s,
            "nodes_away": self.nodes_away,
            "rates": [{"nodes": nodes, "rate": rate} for nodes, rate in self.rates.items()],
            "spares": [asdict(one) for one in self.outcomes],
            "best_spares": self.best.spares,
        }


def simulated_months(
    scenario: Scenario,
    estimate: Estimate,
    *,
    days: float,
    seeds: int,
    spares: Sequence[int] | None = None,
) -> SimulatedMonths:
    """`spares`: numbers of spare nodes to try; None tries those that may matter. The plan of the
    estimate uses all nodes of the scenario. Raises: InputError where the cluster does not say how
    often its devices fail, and how long nodes are away."""
    job, away = _failing_job(scenario, estimate)
    numbers = _that_matter(away, job.nodes) if spares is None else sorted({0, *spares})
    outcomes: list[SpareOutcome] = []
    for number in numbers:
        lives = simulate(job, spares=number, wall_s=days * DAY_S, lives=seeds)
        lasting = lasting_goodput(job, spares=number)
        without = outcomes[0].goodput if outcomes else None
        outcomes.append(_outcome(estimate, job, number, lives, lasting, without))
    return SimulatedMonths(
        days=days,
        seeds=seeds,
        nodes=job.nodes,
        node_mtbf_s=job.node_mtbf_s,
        nodes_away=away,
        rates={nodes: one.rate for nodes, one in enumerate(job.plans) if one.rate},
        outcomes=tuple(outcomes),
    )


def _failing_job(scenario: Scenario, estimate: Estimate) -> tuple[FailingJob, float]:
    """The job, and how many nodes are away on average. Raises: InputError where the cluster does
    not say."""
    known, goodput = scenario.cluster.reliability, estimate.goodput
    name = scenario.cluster.name
    if known is None or goodput is None:
        raise InputError(
            f"cluster {name} says nothing of failures",
            hint="add a reliability: block to its file (planner schema cluster)",
        )
    if known.repair_s is None:
        raise InputError(
            f"cluster {name} does not say how long a node is away",
            hint="add repair: 24 h, or what it is, to its reliability: block",
        )
    nodes = scenario.topology.nodes
    node_mtbf_s = known.device_mtbf_s / scenario.node_devices
    away = nodes * known.repair_s / node_mtbf_s
    plans = [Shrunk(rate=0.0, nodes=0)] * nodes
    for left, one in _smaller(scenario, estimate.step_s, away):
        plans[left] = one
    job = FailingJob(
        plans=(*plans, Shrunk(rate=1.0, nodes=nodes)),
        node_mtbf_s=node_mtbf_s,
        repair_s=known.repair_s,
        interval_s=goodput.interval_s,
        stall_s=goodput.stall_s,
        restart_s=goodput.restart_s,
    )
    return job, away


def _smaller(scenario: Scenario, step_s: float, away: float) -> list[tuple[int, Shrunk]]:
    """The best plans on the nodes that may be left, by their number."""
    nodes = scenario.topology.nodes
    most = min(nodes - 1, MOST_AWAY, max(1, spares_needed(min(away, nodes), RARE)))
    sizes = [resized(scenario, left * scenario.node_devices) for left in range(nodes - most, nodes)]
    shared = None
    if sizes and may_idle(sizes[-1]):
        shared = SharedSizes(sizes[-1], Restrictions())
    found = []
    for smaller in sizes:
        try:
            result = search(smaller, top=1, advise=False, sizes=shared)
        except PlannerError:
            continue
        if result.plans:
            best = result.plans[0]
            rate = min(1.0, step_s / best.estimate.step_s)
            used = Shrunk(rate=rate, nodes=len(best.plan.placement.hosts))
            found.append((smaller.topology.nodes, used))
    return found


def _that_matter(away: float, nodes: int) -> list[int]:
    """Numbers of spare nodes up to the one that nearly always suffices."""
    most = min(nodes, max(1, spares_needed(min(away, nodes), RARE)))
    step = max(1, -(-most // LISTED))
    return sorted({*range(0, most + 1, step), most})


def _outcome(
    estimate: Estimate,
    job: FailingJob,
    spares: int,
    lives: Lives,
    lasting: float,
    without: float | None,
) -> SpareOutcome:
    """`without`: goodput without spares; None for that itself."""
    share = float(lives.goodput.mean())
    low, high = (float(one) for one in np.quantile(lives.goodput, (0.05, 0.95)))
    gain = 1.0 if without is None else share / without if without else 0.0
    return SpareOutcome(
        spares=spares,
        goodput=share,
        goodput_low=low,
        goodput_high=high,
        lasting=lasting,
        full=float(lives.full.mean()),
        shrunk=float(lives.shrunk.mean()),
        stopped=float(lives.stopped.mean()),
        failures=float(lives.failures.mean()),
        tokens_per_day=share * estimate.tokens_per_s * DAY_S,
        for_each_node=gain / (1 + spares / job.nodes),
    )
