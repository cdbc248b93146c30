"""The months of a plan: nodes fail, are repaired and come back, with each number of spare nodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InputError
from planner.resilience.fewer import on_fewer_nodes
from planner.training.lifetime.failures import spares_needed
from planner.training.lifetime.simulation import FailingJob, Shrunk, lasting_goodput, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Estimate, Plan
    from planner.resilience.fewer import OnFewer
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
    average; `fewer`: how the job goes on with fewer nodes."""

    days: float
    seeds: int
    nodes: int
    node_mtbf_s: float
    nodes_away: float
    fewer: tuple[OnFewer, ...]
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
            "rates": [*map(asdict, self.fewer), {"nodes": self.nodes, "rate": 1.0}],
            "spares": [asdict(one) for one in self.outcomes],
            "best_spares": self.best.spares,
        }


def simulated_months(
    scenario: Scenario,
    plan: Plan,
    estimate: Estimate,
    *,
    days: float,
    seeds: int,
    spares: Sequence[int] | None = None,
) -> SimulatedMonths:
    """`spares`: numbers of spare nodes to try; None tries those that may matter. The plan of the
    estimate uses all nodes of the scenario. Raises: InputError where the cluster does not say how
    often its devices fail, and how long nodes are away."""
    job, away, fewer = _failing_job(scenario, plan, estimate)
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
        fewer=tuple(fewer),
        outcomes=tuple(outcomes),
    )


def _failing_job(
    scenario: Scenario, plan: Plan, estimate: Estimate
) -> tuple[FailingJob, float, list[OnFewer]]:
    """The job, how many nodes are away on average, and how it goes on with fewer. Raises:
    InputError where the cluster does not say."""
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
    most = min(nodes - 1, MOST_AWAY, max(1, spares_needed(min(away, nodes), RARE)))
    fewer = on_fewer_nodes(scenario, plan, estimate, most)
    plans = [Shrunk(rate=0.0, nodes=0)] * nodes
    for one in fewer:
        plans[one.nodes] = Shrunk(rate=one.rate, nodes=one.used, prepare_s=one.prepare_s)
    job = FailingJob(
        plans=(*plans, Shrunk(rate=1.0, nodes=nodes)),
        node_mtbf_s=node_mtbf_s,
        repair_s=known.repair_s,
        interval_s=goodput.interval_s,
        stall_s=goodput.stall_s,
        restart_s=goodput.restart_s,
    )
    return job, away, fewer


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
