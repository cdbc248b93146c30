"""Schedules that split backwards: what their papers promise for equal stages and free sends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from planner.errors import RuleError
from planner.schedule.bounds.closed_form import work_lower_bound
from planner.schedule.build import allowed, build
from planner.schedule.graph.compile import Sends
from planner.schedule.inflight import peak_in_flight
from planner.schedule.registry import SCHEDULES
from planner.schedule.simulation.simulate import Durations, simulate
from tests.every_instance import instances

STAGES = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16]


def idle_s(
    name: str,
    p: int,
    v: int,
    m: int,
    *,
    f: float = 1.0,
    b: float = 1.0,
    w: float = 1.0,
    sends: Sends = "asynchronous",
) -> float:
    """Longest time a stage waits between its first and its last pass."""
    timeline = simulate(
        build(name, stages=p, virtual_stages=v, num_microbatches=m),
        Durations(
            forward_s=np.full((p, v), f),
            backward_s=np.full((p, v), b + w),
            backward_weight_s=np.full((p, v), w),
            sends=sends,
        ),
    )
    return float((timeline.last_end_s - timeline.first_start_s - timeline.busy_s).max())


def kept(name: str, p: int, v: int, m: int) -> float:
    """Largest number of microbatches a stage keeps; a chunk is 1/v of one."""
    peak = peak_in_flight(name, stages=p, virtual_stages=v, num_microbatches=m)
    return float(peak.sum(axis=-1).max() / v)


@pytest.mark.parametrize("p", STAGES)
@pytest.mark.parametrize(("b", "w"), [(1.0, 1.0), (1.0, 0.5), (1.25, 0.75), (2.0, 1.0)])
def test_handcrafted_bubbles(p: int, b: float, w: float) -> None:
    """Qi et al. 2024, arXiv:2401.10241: ZB-H1 at the memory of 1F1B, ZB-H2 at twice that."""
    m = 3 * p
    assert idle_s("1f1b", p, 1, m, b=b, w=w) == pytest.approx((p - 1) * (1 + b + w))
    assert idle_s("zb-h1", p, 1, m, b=b, w=w) == pytest.approx((p - 1) * (1 + b - w))
    assert idle_s("zb-h2", p, 1, m, b=b, w=w) == pytest.approx((p - 1) * (1 + b - 2 * w))
    assert kept("zb-h1", p, 1, m) == p
    assert kept("zb-h2", p, 1, m) == 2 * p - 1


@pytest.mark.parametrize("p", STAGES)
@pytest.mark.parametrize("times", [2, 5])
def test_zb_v_has_no_bubble_at_the_memory_of_1f1b(p: int, times: int) -> None:
    assert idle_s("zb-v", p, 2, times * p) == 0
    assert kept("zb-v", p, 2, times * p) == p


@pytest.mark.parametrize("p", STAGES)
@pytest.mark.parametrize("times", [1, 2, 5])
def test_controllable_memory(p: int, times: int) -> None:
    """Qi et al. 2024, arXiv:2405.15362: activations (p+2)//2 and (p+4)//3, bubbles a half and two
    thirds of 1F1B's 6·(p − 1) passes of a chunk, V-Min's up to a place."""
    m = times * max(p, 2)
    assert kept("v-half", p, 2, m) <= (p + 2) // 2
    assert kept("v-min", p, 2, m) <= (p + 4) // 3
    assert idle_s("v-half", p, 2, m) <= 3 * (p - 1)
    assert abs(idle_s("v-min", p, 2, m) - 4 * (p - 1)) <= 1
    if p % 2 == 0:
        assert idle_s("v-half", p, 2, m) == 3 * (p - 1)
        assert kept("v-half", p, 2, m) == (p + 2) // 2


@pytest.mark.parametrize("p", [2, 4, 6, 8, 16])
@pytest.mark.parametrize(("b", "w"), [(1.0, 1.0), (1.5, 0.5)])
def test_dualpipe(p: int, b: float, w: float) -> None:
    """DeepSeek-V3 report, table 2: bubble (p/2 − 1)(F&B + B − 3W), p + 1 activations; with pairs
    that take F + B, and B the whole backward. DualPipeV is the same on half of the stages."""
    pair, whole = 1 + b + w, b + w
    bubble = (p / 2 - 1) * (pair + whole - 3 * w)
    assert idle_s("dualpipe", p, 2, 4 * p, b=b, w=w, sends="paired") == pytest.approx(bubble)
    assert 2 * kept("dualpipe", p, 2, 4 * p) == p + 1
    folded = idle_s("dualpipe-v", p // 2, 2, 4 * p, b=b, w=w, sends="paired")
    assert folded == pytest.approx(bubble)
    assert SCHEDULES["dualpipe"].parameter_copies == 2
    assert SCHEDULES["dualpipe-v"].parameter_copies == 1


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_size_runs_to_its_end(name: str) -> None:
    """Also sizes no paper draws: no order deadlocks, and no bound is beaten."""
    found = 0
    for p in range(1, 21):
        for v in (1, 2, 3):
            for m in (1, 2, 3, 5, p, 2 * p, 2 * p + 1):
                if allowed(name, stages=p, virtual_stages=v, num_microbatches=m):
                    found += 1
                    assert idle_s(name, p, v, m) >= 0
    assert found >= 7


@given(st.sampled_from(sorted(SCHEDULES)), st.data())
@settings(max_examples=instances(100, 300), deadline=None)
def test_no_schedule_beats_its_work(name: str, data: st.DataObject) -> None:
    sizes = [
        (p, v, m)
        for p in range(1, 5)
        for v in range(1, 4)
        for m in range(1, 13)
        if allowed(name, stages=p, virtual_stages=v, num_microbatches=m)
    ]
    p, v, m = data.draw(st.sampled_from(sizes))

    def times(*shape: int) -> np.ndarray:
        seconds = st.floats(0, 4, allow_subnormal=False)
        return data.draw(hnp.arrays(np.float64, shape, elements=seconds))

    weight = times(p, v)
    durations = Durations(
        forward_s=times(p, v),
        backward_s=weight + times(p, v),
        backward_weight_s=weight,
        forward_send_s=times(p * v - 1),
        backward_send_s=times(p * v - 1),
        sends=data.draw(st.sampled_from(["blocking", "asynchronous"])),
        reduction_s=times(p),
    )
    bound = work_lower_bound(
        name,
        durations.forward_s,
        durations.backward_s,
        durations.forward_send_s,
        num_microbatches=m,
        reduction_s=durations.reduction_s,
    )
    schedule = build(name, stages=p, virtual_stages=v, num_microbatches=m)
    assert bound <= simulate(schedule, durations).span_s + 1e-9


@pytest.mark.parametrize(
    ("name", "p", "v", "m", "sentence"),
    [
        ("zb-h1", 2, 2, 4, "one chunk per stage, not 2"),
        ("zb-v", 2, 1, 4, "exactly 2 chunks per stage, not 1"),
        ("dualpipe", 3, 2, 6, r"stages \(3\) and microbatches \(6\) must be even"),
        ("dualpipe", 4, 2, 9, r"microbatches \(9\) must be even"),
        ("dualpipe-v", 4, 2, 7, "two microbatches per stage, not 7 microbatches on 4 stages"),
    ],
)
def test_a_broken_rule_is_named(name: str, p: int, v: int, m: int, sentence: str) -> None:
    with pytest.raises(RuleError, match=sentence):
        build(name, stages=p, virtual_stages=v, num_microbatches=m)
