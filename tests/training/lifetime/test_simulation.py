"""Simulated lives against closed forms: Daly's wall time, and the chain of failures and repairs."""

from __future__ import annotations

import numpy as np
import pytest

from planner.training.lifetime.failures import best_interval_s, goodput
from planner.training.lifetime.simulation import FailingJob, Shrunk, lasting_goodput, simulate

HOUR_S, DAY_S = 3600.0, 86400.0
NOTHING = Shrunk(rate=0.0, nodes=0)


@pytest.mark.parametrize(
    ("between_s", "restart_s", "stall_s", "interval_s", "nodes"),
    [
        (3.1 * HOUR_S, 600, 5, None, 2048),
        (3.1 * HOUR_S, 600, 30, None, 2048),
        (100 * HOUR_S, HOUR_S, 40, 3 * HOUR_S, 48),
        (7.5 * HOUR_S, 2 * HOUR_S, 120, None, 124),
    ],
    ids=["llama-3", "llama-3-slow-checkpoints", "bloom", "opt"],
)
def test_with_spares_at_hand_lives_are_as_long_as_daly_says(
    between_s: float, restart_s: float, stall_s: float, interval_s: float | None, nodes: int
) -> None:
    interval_s = interval_s or best_interval_s(stall_s, between_s)
    job = FailingJob(
        plans=(*[NOTHING] * nodes, Shrunk(rate=1.0, nodes=nodes)),
        node_mtbf_s=between_s * nodes,
        repair_s=DAY_S,
        interval_s=interval_s,
        stall_s=stall_s,
        restart_s=restart_s,
    )
    lives = simulate(job, spares=1000, wall_s=30 * DAY_S, lives=1000)
    exact = goodput(
        interval_s=interval_s,
        stall_s=stall_s,
        restart_s=restart_s,
        between_failures_s=between_s,
    )
    assert float(lives.goodput.mean()) == pytest.approx(exact, abs=0.01)
    assert lasting_goodput(job, spares=1000) == pytest.approx(exact, abs=1e-9)
    assert float(lives.failures.mean()) == pytest.approx(30 * DAY_S / between_s, rel=0.05)


def _shrinking(nodes: int, least: int) -> tuple[Shrunk, ...]:
    """Plans on even numbers of nodes, with a little less for each node the fewer there are."""
    used = [2 * (left // 2) for left in range(nodes + 1)]
    return tuple(
        NOTHING if one < least else Shrunk(rate=(one / nodes) ** 1.2, nodes=one) for one in used
    )


@pytest.mark.parametrize("spares", [0, 1, 3])
def test_a_job_that_shrinks_and_grows_back_is_a_chain_in_the_long_run(spares: int) -> None:
    job = FailingJob(
        plans=_shrinking(16, least=12),
        node_mtbf_s=16 * 4 * DAY_S,
        repair_s=4 * DAY_S,
        interval_s=HOUR_S,
        stall_s=20,
        restart_s=600,
    )
    lives = simulate(job, spares=spares, wall_s=400 * DAY_S, lives=500)
    assert float(lives.goodput.mean()) == pytest.approx(
        lasting_goodput(job, spares=spares), abs=0.01
    )
    shares = lives.full + lives.shrunk + lives.stopped
    assert np.allclose(shares, 1.0)
    assert np.all(lives.goodput <= lives.full + lives.shrunk)


def test_the_same_seed_gives_the_same_lives() -> None:
    job = FailingJob(
        plans=_shrinking(8, least=2),
        node_mtbf_s=20 * DAY_S,
        repair_s=DAY_S,
        interval_s=HOUR_S,
        stall_s=10,
        restart_s=300,
    )
    one, same, other = (
        simulate(job, spares=1, wall_s=9 * DAY_S, lives=9, seed=s) for s in (1, 1, 2)
    )
    assert np.array_equal(one.goodput, same.goodput)
    assert not np.array_equal(one.goodput, other.goodput)
