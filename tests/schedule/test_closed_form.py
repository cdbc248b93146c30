"""Bounds stay below the simulation, and meet it where they claim to."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from planner.errors import RuleError
from planner.schedule.bounds.closed_form import bubble_fraction, span_lower_bound
from planner.schedule.bounds.windows import cycle_s, window_lower_bound
from planner.schedule.build import allowed, build
from planner.schedule.graph.compile import Sends
from planner.schedule.simulation.simulate import Durations, simulate, step_spans
from tests.every_instance import instances

SENDS: tuple[Sends, ...] = get_args(Sends)
WHOLE_BACKWARD = ["gpipe", "1f1b", "interleaved"]
SECONDS = st.floats(0, 4, allow_subnormal=False)
SIZES = [
    (name, p, v, m)
    for name in WHOLE_BACKWARD
    for p in (1, 2, 3, 4, 6)
    for v in (1, 2, 3)
    for m in (1, 2, 3, 4, 5, 8, 13, 24)
    if allowed(name, stages=p, virtual_stages=v, num_microbatches=m)
]


@given(st.sampled_from(SIZES), st.sampled_from(SENDS), st.data())
@settings(max_examples=instances(120, 400), deadline=None)
def test_no_schedule_beats_the_span_bound(
    size: tuple[str, int, int, int], sends: Sends, data: st.DataObject
) -> None:
    name, p, v, m = size

    def times(*shape: int) -> np.ndarray:
        return data.draw(hnp.arrays(np.float64, shape, elements=SECONDS))

    forward, backward = times(p, v), times(p, v)
    sent, returned, reduction = times(p * v - 1), times(p * v - 1), times(p)
    bound = span_lower_bound(
        forward,
        backward,
        sent,
        returned,
        num_microbatches=m,
        sends=sends,
        reduction_s=reduction,
    )
    span = simulate(
        build(name, stages=p, virtual_stages=v, num_microbatches=m),
        Durations(
            forward_s=forward,
            backward_s=backward,
            forward_send_s=sent,
            backward_send_s=returned,
            sends=sends,
            reduction_s=reduction,
        ),
    ).span_s
    assert bound <= span + 1e-9


@pytest.mark.parametrize(("name", "p", "v", "m"), SIZES)
def test_the_span_bound_is_the_span_for_uniform_stages(name: str, p: int, v: int, m: int) -> None:
    if name == "interleaved" and m % p:
        m = m // p * p
    forward, backward = np.full((p, v), 2.0), np.full((p, v), 3.0)
    schedule = build(name, stages=p, virtual_stages=v, num_microbatches=m)
    timeline = simulate(schedule, Durations(forward_s=forward, backward_s=backward))
    ideal = (m * v + p - 1) * 5.0
    assert timeline.span_s == ideal
    assert span_lower_bound(forward, backward, num_microbatches=m) == ideal
    fraction = bubble_fraction(name, stages=p, virtual_stages=v, num_microbatches=m)
    np.testing.assert_allclose(timeline.bubble_fraction, fraction, rtol=1e-12)


@given(st.integers(1, 6), st.integers(1, 30), st.booleans(), st.data())
@settings(max_examples=instances(120, 400), deadline=None)
def test_1f1b_never_beats_the_window_bound(
    p: int, m: int, blocking: bool, data: st.DataObject
) -> None:
    def times(*shape: int) -> np.ndarray:
        return data.draw(hnp.arrays(np.float64, shape, elements=SECONDS))

    forward, backward, sent, returned = times(p), times(p), times(p - 1), times(p - 1)
    bound = window_lower_bound(
        forward, backward, sent, returned, num_microbatches=m, blocking=blocking
    )
    span = simulate(
        build("1f1b", stages=p, num_microbatches=m),
        Durations(
            forward_s=forward[:, None],
            backward_s=backward[:, None],
            forward_send_s=sent,
            backward_send_s=returned,
            sends="blocking" if blocking else "asynchronous",
        ),
    ).span_s
    assert bound <= span + 1e-9
    assert bound >= 0.2 * span


@given(st.integers(1, 4), st.booleans(), st.data())
@settings(max_examples=instances(50, 150), deadline=None)
def test_cycle_is_the_steady_time_of_a_microbatch(
    p: int, blocking: bool, data: st.DataObject
) -> None:
    """Whole-number times, so that the steady phase is reached and is exactly periodic."""

    def times(*shape: int) -> np.ndarray:
        return data.draw(hnp.arrays(np.float64, shape, elements=st.integers(0, 9)))

    forward, backward, sent, returned = times(p), times(p), times(p - 1), times(p - 1)
    period = math.lcm(*range(1, p + 1))
    spans = [
        simulate(
            build("1f1b", stages=p, num_microbatches=m),
            Durations(
                forward_s=forward[:, None],
                backward_s=backward[:, None],
                forward_send_s=sent,
                backward_send_s=returned,
                sends="blocking" if blocking else "asynchronous",
            ),
        ).span_s
        for m in (300, 300 + period)
    ]
    expected = cycle_s(forward, backward, sent, returned, blocking=blocking)
    assert (spans[1] - spans[0]) / period == pytest.approx(float(expected), abs=1e-9)


def test_bounds_of_a_batch_are_the_bounds_of_its_entries() -> None:
    rng = np.random.default_rng(7)
    p, v, batch = 3, 2, (4, 5)
    forward, backward = rng.random((*batch, p, v)), rng.random((5, p, v))
    sent, returned = rng.random((4, 1, p * v - 1)), rng.random(p * v - 1)
    m = np.array([3, 6, 9, 6, 12])
    together = span_lower_bound(forward, backward, sent, returned, num_microbatches=m)
    assert together.shape == batch
    for i, j in np.ndindex(*batch):
        alone = span_lower_bound(
            forward[i, j], backward[j], sent[i, 0], returned, num_microbatches=int(m[j])
        )
        assert together[i, j] == pytest.approx(float(alone), rel=1e-14)

    windows = window_lower_bound(
        forward[..., 0], backward[..., 0], sent[..., : p - 1], returned[: p - 1], num_microbatches=m
    )
    cycles = cycle_s(forward[..., 0], backward[..., 0], sent[..., : p - 1], returned[: p - 1])
    assert windows.shape == cycles.shape == batch
    alone = window_lower_bound(
        forward[1, 2, :, 0],
        backward[2, :, 0],
        sent[1, 0, : p - 1],
        returned[: p - 1],
        num_microbatches=9,
    )
    assert windows[1, 2] == pytest.approx(float(alone), rel=1e-14)


def test_the_window_bound_sees_a_slow_link_that_the_stage_bound_does_not() -> None:
    """One slow link costs (cf + cb)/2 per microbatch, not 1/p of it."""
    p, m, slow = 8, 96, 0.6
    forward, backward = np.full(p, 1.0), np.full(p, 2.0)
    sent = np.zeros(p - 1)
    sent[3] = slow
    span = step_spans(
        build("1f1b", stages=p, num_microbatches=m),
        Durations(
            forward_s=forward[:, None],
            backward_s=backward[:, None],
            forward_send_s=sent,
            backward_send_s=sent,
            sends="asynchronous",
        ),
    )
    windows = window_lower_bound(forward, backward, sent, sent, num_microbatches=m, blocking=False)
    stages = span_lower_bound(forward[:, None], backward[:, None], sent, sent, num_microbatches=m)
    assert cycle_s(forward, backward, sent, sent, blocking=False) == pytest.approx(3 + slow)
    assert stages < 0.9 * span
    assert 0.99 * span < windows <= span + 1e-9


def test_bounds_count_the_reduction_of_every_stage() -> None:
    """Equal stages: the bound is exact, whichever stage the step ends on."""
    forward, backward = np.ones((3, 1)), np.full((3, 1), 2.0)
    schedule = build("1f1b", stages=3, num_microbatches=4)
    for reduction in ([0.0, 0.0, 9.0], [1.0, 9.0, 0.0], [5.0, 6.0, 7.0], [8.0, 6.0, 7.0]):
        durations = Durations(forward_s=forward, backward_s=backward, reduction_s=reduction)
        bound = span_lower_bound(forward, backward, num_microbatches=4, reduction_s=reduction)
        assert bound == simulate(schedule, durations).span_s


def test_the_window_bound_is_close_to_the_simulation() -> None:
    """Unequal stages and links, 60 pipelines: within 2 % each, 0.5 % on average."""
    rng = np.random.default_rng(3)
    p, m = 8, 32
    forward, sent = rng.uniform(0.7, 1.3, (60, p)), rng.uniform(0, 0.5, (60, p - 1))
    for blocking in (False, True):
        spans = step_spans(
            build("1f1b", stages=p, num_microbatches=m),
            Durations(
                forward_s=forward[..., None],
                backward_s=2 * forward[..., None],
                forward_send_s=sent,
                backward_send_s=sent,
                sends="blocking" if blocking else "asynchronous",
            ),
        )
        bounds = window_lower_bound(
            forward, 2 * forward, sent, sent, num_microbatches=m, blocking=blocking
        )
        gap = 1 - bounds / spans
        assert gap.min() >= -1e-12
        assert gap.max() < 0.02
        assert gap.mean() < 0.005


def test_no_closed_form_is_an_error_not_a_guess() -> None:
    with pytest.raises(RuleError, match=r"no pipeline schedule '1f2b'.*did you mean 1f1b"):
        bubble_fraction("1f2b", stages=2, num_microbatches=4)


@pytest.mark.parametrize(("p", "v", "m"), [(2, 2, 2), (4, 2, 9), (8, 3, 16), (4, 4, 5)])
def test_breadth_first_has_the_bubble_of_interleaving(p: int, v: int, m: int) -> None:
    """Lamy-Poirier 2022, section 3.2: (p − 1)/(v·m + p − 1) of the step, for m ≥ p."""
    timeline = simulate(
        build("looped-bfs", stages=p, virtual_stages=v, num_microbatches=m),
        Durations(forward_s=np.ones((p, v)), backward_s=np.full((p, v), 2.0)),
    )
    assert timeline.bubble_fraction == pytest.approx((p - 1) / (v * m + p - 1))
