"""The simulator against the naive event simulation of `conftest`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from planner.schedule.build import allowed, build
from planner.schedule.graph.compile import Sends
from planner.schedule.orders.recompute import with_recompute
from planner.schedule.passes import VOCAB_KINDS, PassKind, Schedule
from planner.schedule.registry import SCHEDULES
from planner.schedule.simulation.simulate import Durations, simulate
from tests.every_instance import instances

SENDS: tuple[Sends, ...] = get_args(Sends)
KINDS = st.sampled_from(sorted(SCHEDULES))
SECONDS = st.floats(0, 4, allow_subnormal=False)
NOT_BACK = (PassKind.FORWARD, PassKind.BACKWARD_WEIGHT, *VOCAB_KINDS)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Schedule, Durations]:
    name = draw(KINDS)
    sizes = [
        (p, v, m)
        for p in range(1, 5)
        for v in range(1, 4)
        for m in (*range(1, 10), 12)
        if allowed(name, stages=p, virtual_stages=v, num_microbatches=m)
    ]
    p, v, m = draw(st.sampled_from(sizes))
    groups = [g for g in range(1, m + 1) if g == p or name == "interleaved"]
    fitting = [
        g for g in groups if allowed(name, stages=p, virtual_stages=v, num_microbatches=m, group=g)
    ]
    group = draw(st.sampled_from(fitting)) if fitting else None
    schedule = build(name, stages=p, virtual_stages=v, num_microbatches=m, group=group)

    def times(*shape: int) -> np.ndarray:
        return draw(hnp.arrays(np.float64, shape, elements=SECONDS))

    weight = times(p, v)
    return schedule, Durations(
        forward_s=times(p, v),
        backward_s=times(p, v) + weight,
        backward_weight_s=weight,
        vocab_forward_s=times(p),
        vocab_backward_s=times(p),
        exchange_s=times(len(schedule.exchanges)),
        forward_send_s=times(p * v - 1),
        backward_send_s=times(p * v - 1),
        sends=draw(st.sampled_from(SENDS)),
        chunk_reduction_s=times(p, v),
        reduction_s=times(p),
        tied_reduction_s=draw(SECONDS),
    )


@pytest.mark.slow
@given(cases())
@settings(max_examples=instances(120, 400), deadline=None)
def test_every_pass_ends_when_the_naive_simulation_says(
    run_naively: Callable[[Schedule, Durations], np.ndarray], case: tuple[Schedule, Durations]
) -> None:
    schedule, durations = case
    timeline = simulate(schedule, durations)
    expected = run_naively(schedule, durations)
    np.testing.assert_allclose(timeline.end_s, expected, rtol=0, atol=1e-9)


@given(cases(), st.data())
@settings(max_examples=instances(60, 200), deadline=None)
def test_recomputation_as_passes_of_its_own_changes_no_time(
    case: tuple[Schedule, Durations], data: st.DataObject
) -> None:
    schedule, durations = case
    shape = (schedule.stages, schedule.virtual_stages)
    recompute = data.draw(hnp.arrays(np.float64, shape, elements=SECONDS))
    whole = np.asarray(durations.backward_s, dtype=np.float64) + recompute
    plain = simulate(schedule, replace(durations, backward_s=whole))
    spelled_out = with_recompute(schedule)
    timeline = simulate(spelled_out, replace(durations, backward_s=whole, recompute_s=recompute))
    others = (spelled_out.kinds != PassKind.RECOMPUTE) & (spelled_out.kinds != PassKind.IDLE)
    kept = schedule.kinds != PassKind.IDLE
    np.testing.assert_allclose(timeline.end_s[others], plain.end_s[kept], rtol=0, atol=1e-9)
    lasts = (timeline.end_s - timeline.start_s)[spelled_out.kinds == PassKind.RECOMPUTE]
    assert lasts.size == (~np.isin(schedule.kinds[kept], NOT_BACK)).sum()
    assert timeline.span_s == pytest.approx(plain.span_s, abs=1e-9)
