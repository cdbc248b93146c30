"""Paths through interleaved schedules are no longer than the simulated step, for any durations,
sends and number of microbatches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.errors import RuleError
from planner.schedule.bounds.loop_paths import loop_paths
from planner.schedule.build import build
from planner.schedule.simulation.simulate import Durations, simulate

if TYPE_CHECKING:
    from planner.schedule.graph.compile import Sends


@pytest.mark.parametrize("sends", ["asynchronous", "blocking", "overlapped", "paired"])
def test_no_path_is_longer_than_the_step(sends: Sends) -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        p, v = int(rng.choice([2, 3, 4, 6])), int(rng.choice([2, 3, 4]))
        m = int(rng.integers(1, 7 * p))
        few = min(m, 3 * p + m % p)
        try:
            whole, some = (
                build("interleaved", stages=p, virtual_stages=v, num_microbatches=number)
                for number in (m, few)
            )
        except RuleError:
            continue
        forward, backward = rng.uniform(0.5, 1.5, (p, v)), rng.uniform(1, 3, (p, v))
        there, back = rng.uniform(0, 0.3, (2, p * v - 1))
        reduction = rng.uniform(0, 6, p)
        durations = Durations(
            forward_s=forward,
            backward_s=backward,
            forward_send_s=there,
            backward_send_s=back,
            sends=sends,
            reduction_s=reduction,
        )
        paths = loop_paths(some, sends)
        more = paths.groups_more(p, np.array([float(m - few)]))
        found = (paths.forward + more) @ forward.T.ravel()
        found += (paths.backward + more) @ backward.T.ravel()
        found += (paths.forward_sends + paths.waits[0] * more[:, :-1]) @ there
        found += (paths.backward_sends + paths.waits[1] * more[:, 1:]) @ back
        found += reduction[paths.end]
        step_s = simulate(whole, durations).span_s
        assert found.max() <= step_s * (1 + 1e-9)
        shares.append(found.max() / step_s)
    assert len(shares) > 10
    assert np.mean(shares) > 0.85


def test_equal_chunks_and_free_sends_make_the_last_stage_decide() -> None:
    """The path through the last stage is as long as the step then."""
    schedule = build("interleaved", stages=4, virtual_stages=3, num_microbatches=8)
    durations = Durations(
        forward_s=np.ones((4, 3)), backward_s=np.full((4, 3), 2.0), sends="asynchronous"
    )
    paths = loop_paths(schedule, "asynchronous")
    found = paths.forward.sum(axis=1) + 2 * paths.backward.sum(axis=1)
    assert found.max() == pytest.approx(simulate(schedule, durations).span_s)
