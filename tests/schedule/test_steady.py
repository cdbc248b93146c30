"""Many microbatches from few, against simulating them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.schedule.build import build
from planner.schedule.graph.compile import Sends
from planner.schedule.registry import SCHEDULES
from planner.schedule.simulation.simulate import Durations, simulate, step_spans
from planner.schedule.simulation.steady import Spans, extended, fewer_microbatches, repeated_spans
from tests.every_instance import instances

SECONDS = st.floats(0.05, 3.0)


@given(st.data())
@settings(max_examples=instances(50, 150), deadline=None)
def test_as_if_all_had_been_simulated(data: st.DataObject) -> None:
    draw = data.draw
    name = draw(st.sampled_from(["1f1b", "1f1b-balanced", "1f1b-ahead", "interleaved"]))
    p = draw(st.integers(2, 4) if name == "interleaved" else st.integers(1, 5))
    v = draw(st.integers(2, 3)) if name == "interleaved" else 1
    ahead = None
    if name == "1f1b-ahead":
        ahead = tuple(draw(st.lists(st.integers(0, 2), min_size=p - 1, max_size=p - 1)))
    few = draw(st.integers(16, 40)) * p
    many = few + draw(st.integers(1, 60)) * p

    def drawn(*shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        return np.array(draw(st.lists(SECONDS, min_size=size, max_size=size))).reshape(shape)

    modes: list[Sends] = ["blocking", "asynchronous", "overlapped", "paired"]
    durations = Durations(
        forward_s=drawn(p, v),
        backward_s=drawn(p, v),
        forward_send_s=drawn(p * v - 1) * draw(st.sampled_from([0.0, 0.1, 1.0])),
        backward_send_s=drawn(p * v - 1) * draw(st.sampled_from([0.0, 0.1, 1.0])),
        sends=draw(st.sampled_from(modes)),
        reduction_s=drawn(p),
    )
    size = {"stages": p, "virtual_stages": v, "ahead": ahead}
    short = simulate(build(name, num_microbatches=few, **size), durations)
    found = extended(short, many)
    if found is None:
        return
    expected = Spans.of(simulate(build(name, num_microbatches=many, **size), durations))
    assert found.pass_span_s == pytest.approx(expected.pass_span_s, rel=1e-9)
    assert found.span_s == pytest.approx(expected.span_s, rel=1e-9)
    np.testing.assert_allclose(found.bubble_fraction, expected.bubble_fraction, atol=1e-8)


@pytest.mark.parametrize("sends", ["blocking", "asynchronous"])
def test_unequal_stages_and_a_slow_link_come_to_repeat_themselves(sends: Sends) -> None:
    durations = Durations(
        forward_s=np.array([[1.0], [1.2], [1.1], [0.9]]),
        backward_s=np.array([[2.0], [2.3], [2.2], [2.0]]),
        forward_send_s=np.array([0.1, 1.0, 0.1]),
        backward_send_s=np.array([0.1, 1.0, 0.1]),
        sends=sends,
    )
    found = extended(simulate(build("1f1b", stages=4, num_microbatches=64), durations), 6400)
    assert found is not None
    expected = simulate(build("1f1b", stages=4, num_microbatches=6400), durations)
    assert found.span_s == pytest.approx(expected.span_s, rel=1e-12)


def test_which_are_simulated_in_full() -> None:
    size = {"stages": 4, "virtual_stages": 1}
    assert fewer_microbatches("1f1b", **size, num_microbatches=1000) is None
    fewer = fewer_microbatches("1f1b", **size, num_microbatches=250_001)
    assert fewer is not None
    assert fewer % 4 == 1
    assert fewer < 25_000
    # All of these keep every microbatch, or have another order.
    for name in ("gpipe", "zb-h1", "1f1b-vocab-1"):
        assert name in SCHEDULES
        assert fewer_microbatches(name, **size, num_microbatches=250_001) is None


def test_many_steps_at_once() -> None:
    schedule = build("interleaved", stages=4, virtual_stages=2, num_microbatches=1600)
    scales = np.array([1.0, 1.3, 0.7])[:, None, None]
    durations = Durations(
        forward_s=scales * np.array([[1.0, 0.9], [1.2, 1.0], [1.1, 1.4], [0.9, 1.0]]),
        backward_s=scales * np.array([[2.0, 1.9], [2.2, 2.0], [2.1, 2.4], [1.9, 2.0]]),
        forward_send_s=0.1,
        backward_send_s=np.array([[0.1], [0.4], [0.2]]) * np.ones(7),
        sends="overlapped",
        reduction_s=np.array([0.5, 0.0, 0.3, 0.9]),
    )
    found = repeated_spans(schedule, durations)
    np.testing.assert_allclose(found, step_spans(schedule, durations), rtol=1e-9)
