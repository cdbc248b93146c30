"""Paths through interleaved schedules are no longer than the simulated step, for any durations,
sends and number of microbatches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from planner.errors import RuleError
from planner.schedule.bounds.found_paths import found_paths
from planner.schedule.bounds.loop_paths import loop_paths
from planner.schedule.build import build
from planner.schedule.simulation.simulate import Durations, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.arrays import Floats
    from planner.schedule.bounds.loop_paths import LoopPaths
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import Schedule


SENDS: tuple[Sends, ...] = ("asynchronous", "blocking", "overlapped", "paired")


@pytest.mark.parametrize("sends", SENDS)
def test_no_path_is_longer_than_the_step(sends: Sends) -> None:
    rng = np.random.default_rng(0)
    shares = []
    for p, v, m in sizes(rng, 60):
        few = min(m, 3 * p + m % p)
        paths = loop_paths(interleaved(p, v, few), sends)
        seconds = random_seconds(rng, p, v)
        found = lengths(paths, seconds, m - few)
        step_s = simulate(interleaved(p, v, m), seconds.durations(sends)).span_s
        assert found.max() <= step_s * (1 + 1e-9)
        shares.append(found.max() / step_s)
    assert len(shares) > 10
    assert np.mean(shares) > 0.85


@pytest.mark.parametrize("sends", SENDS)
def test_paths_of_simulations_are_there_with_more_microbatches(sends: Sends) -> None:
    """And with other durations. With the same ones they make up most of the step."""
    rng = np.random.default_rng(1)
    shares = []
    for p, v, m in sizes(rng, 60):
        few = m if m % p else min(m, 3 * p)
        seconds = random_seconds(rng, p, v)
        timeline = simulate(interleaved(p, v, few), seconds.durations(sends))
        paths = found_paths(timeline, sends)
        assert lengths(paths, seconds, 0).max() == pytest.approx(timeline.span_s)
        step_s = simulate(interleaved(p, v, m), seconds.durations(sends)).span_s
        shares.append(lengths(paths, seconds, m - few).max() / step_s)
        assert shares[-1] <= 1 + 1e-9
        for _ in range(3):
            others = random_seconds(rng, p, v)
            step_s = simulate(interleaved(p, v, m), others.durations(sends)).span_s
            assert lengths(paths, others, m - few).max() <= step_s * (1 + 1e-9)
    assert np.mean(shares) > 0.95


def sizes(rng: np.random.Generator, count: int) -> Iterator[tuple[int, int, int]]:
    """Stages, chunks of a stage and microbatches that the schedule takes."""
    for _ in range(count):
        p, v = int(rng.choice([2, 3, 4, 6])), int(rng.choice([2, 3, 4]))
        m = int(rng.integers(1, 7 * p))
        try:
            interleaved(p, v, m), interleaved(p, v, min(m, 3 * p + m % p))
        except RuleError:
            continue
        yield p, v, m


def interleaved(p: int, v: int, m: int) -> Schedule:
    return build("interleaved", stages=p, virtual_stages=v, num_microbatches=m)


class Seconds(NamedTuple):
    """Of passes [p, v], sends [V − 1] and reductions [p]."""

    forward: Floats
    backward: Floats
    there: Floats
    back: Floats
    reduction: Floats

    def durations(self, sends: Sends) -> Durations:
        return Durations(
            forward_s=self.forward,
            backward_s=self.backward,
            forward_send_s=self.there,
            backward_send_s=self.back,
            sends=sends,
            reduction_s=self.reduction,
        )


def random_seconds(rng: np.random.Generator, p: int, v: int) -> Seconds:
    return Seconds(
        rng.uniform(0.5, 1.5, (p, v)),
        rng.uniform(1, 3, (p, v)),
        rng.uniform(0, 0.3, p * v - 1),
        rng.uniform(0, 0.3, p * v - 1),
        rng.uniform(0, 6, p),
    )


def lengths(paths: LoopPaths, seconds: Seconds, microbatches: int) -> Floats:
    """[J]: seconds of paths with so many microbatches more."""
    visits = paths.longer(np.array([microbatches / len(seconds.reduction)]))
    found = visits.forward @ seconds.forward.T.ravel()
    found += visits.backward @ seconds.backward.T.ravel()
    found += visits.forward_sends @ seconds.there + visits.backward_sends @ seconds.back
    return np.asarray(found + seconds.reduction[paths.end])


def test_equal_chunks_and_free_sends_make_the_last_stage_decide() -> None:
    """The path through the last stage is as long as the step then."""
    schedule = build("interleaved", stages=4, virtual_stages=3, num_microbatches=8)
    durations = Durations(
        forward_s=np.ones((4, 3)), backward_s=np.full((4, 3), 2.0), sends="asynchronous"
    )
    paths = loop_paths(schedule, "asynchronous")
    visits = paths.longer(np.zeros(1))
    found = visits.forward.sum(axis=1) + 2 * visits.backward.sum(axis=1)
    assert found.max() == pytest.approx(simulate(schedule, durations).span_s)
