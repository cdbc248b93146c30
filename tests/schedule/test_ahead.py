"""1F1B that runs ahead over slow boundaries, simulated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.schedule.bounds.closed_form import span_lower_bound
from planner.schedule.build import build
from planner.schedule.graph.compile import Sends
from planner.schedule.inflight import count_in_flight, peak_in_flight
from planner.schedule.orders.ahead import microbatches_ahead
from planner.schedule.orders.alternating import alternating_schedule
from planner.schedule.rules import ScheduleSize
from planner.schedule.simulation.simulate import Durations, simulate
from tests.every_instance import instances


def span_s(
    name: str,
    stage_s: tuple[float, float],
    there_s: np.ndarray,
    back_s: np.ndarray,
    m: int,
    sends: Sends = "asynchronous",
) -> float:
    """Seconds of equal stages, forward and backward given, with sends over every boundary."""
    p = len(there_s) + 1
    ahead = None
    if name == "1f1b-ahead":
        found = microbatches_ahead(np.full(p, sum(stage_s)), there_s, back_s)
        ahead = tuple(found.tolist())
    schedule = build(name, stages=p, num_microbatches=m, ahead=ahead)
    durations = Durations(
        forward_s=np.full((p, 1), stage_s[0]),
        backward_s=np.full((p, 1), stage_s[1]),
        forward_send_s=there_s,
        backward_send_s=back_s,
        sends=sends,
    )
    return simulate(schedule, durations).span_s


@pytest.mark.parametrize(
    ("p", "m", "round_trip", "blocking", "asynchronous", "ahead", "warmup"),
    [
        (8, 64, 1, 308.9, 306.4, 218.1, 8),
        (8, 64, 2, 409.3, 399.4, 221.1, 9),
        (4, 32, 1, 154.2, 153.1, 108.7, 4),
        (2, 32, 2, 198.0, 195.0, 105.0, 3),
    ],
)
def test_one_slow_boundary_in_the_middle(
    p: int,
    m: int,
    round_trip: float,
    blocking: float,
    asynchronous: float,
    ahead: float,
    warmup: int,
) -> None:
    """Forward 1 s, backward 2 s, a message there and back `round_trip` · 3 s, 0.04 s elsewhere."""
    sends = np.full(p - 1, 0.02)
    sends[p // 2 - 1] = 1.5 * round_trip

    def seconds(name: str, mode: Sends = "asynchronous") -> float:
        return span_s(name, (1.0, 2.0), sends, sends, m, mode)

    assert seconds("1f1b", "blocking") == pytest.approx(blocking, abs=0.05)
    assert seconds("1f1b") == pytest.approx(asynchronous, abs=0.05)
    assert seconds("1f1b-ahead") == pytest.approx(ahead, abs=0.05)
    found = microbatches_ahead(np.full(p, 3.0), sends, sends)
    assert p - 1 + int(found.sum()) == warmup


SECONDS = st.floats(0.1, 4.0)


@given(
    st.lists(st.tuples(st.floats(0, 6), st.floats(0, 6)), min_size=1, max_size=5),
    st.integers(1, 40),
    SECONDS,
    SECONDS,
)
@settings(max_examples=instances(50, 150), deadline=None)
def test_never_below_its_bound_and_as_fast_as_the_slowest_stage_or_link(
    links: list[tuple[float, float]], m: int, forward_s: float, backward_s: float
) -> None:
    there_s, back_s = (np.array(way) for way in zip(*links, strict=True))
    p = len(links) + 1
    found = span_s("1f1b-ahead", (forward_s, backward_s), there_s, back_s, m)
    bound = span_lower_bound(
        np.full((p, 1), forward_s),
        np.full((p, 1), backward_s),
        there_s,
        back_s,
        num_microbatches=m,
        sends="asynchronous",
    )
    assert found >= float(bound) * (1 - 1e-9)
    stage_s = forward_s + backward_s
    pace_s = max(stage_s, float(there_s.max()), float(back_s.max()))
    fill_s = p * stage_s + float((there_s + back_s).sum())
    # What is not worth a microbatch may hold every one up by a twentieth of a stage's time.
    slack = 1 + 0.05 * p
    assert found <= (m * pace_s + 2 * fill_s) * slack


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(1, 30))
@settings(max_examples=instances(30, 100), deadline=None)
def test_what_is_in_flight_is_the_count_over_the_order(ahead: list[int], m: int) -> None:
    p = len(ahead) + 1
    schedule = build("1f1b-ahead", stages=p, num_microbatches=m, ahead=tuple(ahead))
    counted = peak_in_flight("1f1b-ahead", stages=p, num_microbatches=m, ahead=np.array(ahead))
    np.testing.assert_array_equal(counted, count_in_flight(schedule))
    assert counted[0, 0] == min(m, p + sum(ahead))


@pytest.mark.parametrize("warmup", [(7, 6, 1, 0), (9, 8, 1, 0), (9, 2, 1, 0), (5, 5, 1, 0)])
def test_unequal_warmups_are_run_as_given(warmup: tuple[int, ...]) -> None:
    schedule = alternating_schedule("unequal", ScheduleSize.of(4, 1, 64, None), np.array(warmup))
    for stage, forwards in enumerate(warmup):
        labels = [one.kind.label for one in schedule.passes(stage)]
        assert labels.index("backward") == forwards + 1
        assert labels[forwards : 128 - forwards] == ["forward", "backward"] * (64 - forwards)
    sends = np.array([0.1, 4.0, 0.1])
    durations = Durations(
        forward_s=np.ones((4, 1)),
        backward_s=2 * np.ones((4, 1)),
        forward_send_s=sends,
        backward_send_s=sends,
        sends="asynchronous",
    )
    found = simulate(schedule, durations).span_s
    assert found == simulate(replace(schedule, places=None), durations).span_s


def test_unknown_sends_are_refused() -> None:
    durations = Durations(forward_s=1.0, backward_s=2.0, sends="buffered")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'buffered'.*blocking, asynchronous"):
        simulate(build("1f1b", stages=2, num_microbatches=2), durations)
