"""Activations in flight: closed forms against counting, weighted peaks against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from planner.schedule.build import allowed, build
from planner.schedule.inflight import (
    count_in_flight,
    heaviest_in_flight,
    peak_in_flight,
    peak_weighted,
)
from planner.schedule.orders.alternating import moments
from planner.schedule.passes import PassKind, Schedule
from planner.schedule.registry import SCHEDULES
from planner.schedule.rules import ScheduleSize
from tests.every_instance import instances

CLOSED = sorted(name for name, kind in SCHEDULES.items() if kind.peak is not None)


def kept(schedule: Schedule, stage: int) -> list[list[int]]:
    """Activations per chunk after every pass of a stage, one pass after the other."""
    done = PassKind.BACKWARD_WEIGHT if schedule.splits_backward else PassKind.BACKWARD
    now = [0] * schedule.virtual_stages
    history = []
    for one in schedule.passes(stage):
        if one.kind is PassKind.FORWARD:
            now[one.chunk] += 1
        elif one.kind in (done, PassKind.BACKWARD):
            now[one.chunk] -= 1
        history.append(list(now))
    return history


@pytest.mark.parametrize("name", CLOSED)
def test_closed_form_is_the_count_over_the_order(name: str) -> None:
    compared = 0
    for p in (1, 2, 3, 4, 5, 8):
        for v in (1, 2, 3, 4):
            for group in (None, p + 1, p + 3, 2 * p):
                m = np.arange(1, 41)
                m = m[allowed(name, stages=p, virtual_stages=v, num_microbatches=m, group=group)]
                if not m.size:
                    continue
                closed = peak_in_flight(
                    name, stages=p, virtual_stages=v, num_microbatches=m, group=group
                )
                assert closed.shape == (m.size, p, v)
                for row, one in zip(closed, m.tolist(), strict=True):
                    schedule = build(
                        name, stages=p, virtual_stages=v, num_microbatches=one, group=group
                    )
                    counted = count_in_flight(schedule)
                    np.testing.assert_array_equal(row, counted)
                    compared += 1
    assert compared > 100


@given(st.data())
@settings(max_examples=instances(60, 200), deadline=None)
def test_counts_and_weighted_peaks_are_those_of_running_the_passes(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SCHEDULES)))
    sizes = [
        (p, v, m)
        for p in range(1, 5)
        for v in range(1, 4)
        for m in range(1, 13)
        if allowed(name, stages=p, virtual_stages=v, num_microbatches=m)
    ]
    p, v, m = data.draw(st.sampled_from(sizes))
    schedule = build(name, stages=p, virtual_stages=v, num_microbatches=m)
    weights = data.draw(hnp.arrays(np.int64, (2, p, v), elements=st.integers(0, 2**40)))
    found = peak_weighted(schedule, weights)
    heaviest, which = heaviest_in_flight(
        name,
        weights.astype(np.float64),
        stages=p,
        virtual_stages=v,
        num_microbatches=np.array([m, m]),
    )
    np.testing.assert_array_equal((heaviest[which] * weights).sum(axis=-1), found)
    counts = count_in_flight(schedule)
    assert found.shape == (2, p)
    for stage in range(p):
        history = np.array(kept(schedule, stage))
        assert (history >= 0).all()
        assert not history[-1].any()
        totals = history.sum(axis=1)
        np.testing.assert_array_equal(counts[stage], history[totals.argmax()])
        np.testing.assert_array_equal(found[:, stage], (history @ weights[:, stage].T).max(axis=0))


@pytest.mark.parametrize("name", sorted(set(SCHEDULES) - set(CLOSED)))
@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 8])
def test_more_microbatches_keep_no_more_once_the_pipeline_has_settled(name: str, p: int) -> None:
    """What `peak_in_flight` counts on four microbatches per stage holds for all larger numbers."""
    p += p % 2 if name == "dualpipe" else 0
    settled = peak_in_flight(name, stages=p, virtual_stages=2, num_microbatches=4 * p)
    for m in (4 * p + 2, 6 * p, 10 * p):
        schedule = build(name, stages=p, virtual_stages=2, num_microbatches=m)
        np.testing.assert_array_equal(count_in_flight(schedule), settled)
        np.testing.assert_array_equal(
            peak_in_flight(name, stages=p, virtual_stages=2, num_microbatches=m), settled
        )


def test_known_peaks() -> None:
    """Narayanan et al. 2021, section 2.2: m for GPipe, at most p for 1F1B."""
    assert peak_in_flight("gpipe", stages=3, num_microbatches=7).tolist() == [[7]] * 3
    assert peak_in_flight("1f1b", stages=3, num_microbatches=7).tolist() == [[3], [2], [1]]
    assert peak_in_flight("1f1b", stages=3, num_microbatches=2).tolist() == [[2], [2], [1]]


def test_interleaving_keeps_more_by_a_fraction_of_the_stages() -> None:
    """Korthikanti et al. 2022, section 4.2.3: stage 0 keeps 1 + (p − 1)/(p·v) times as much."""
    p, v = 8, 3
    peak = peak_in_flight("interleaved", stages=p, virtual_stages=v, num_microbatches=64)
    assert peak[0].sum() == p * v * (1 + (p - 1) / (p * v))
    assert peak[0].tolist() == [15, 8, 8]
    assert peak.sum(axis=1).tolist() == [2 * (p - 1 - s) + (v - 1) * p + 1 for s in range(p)]


def test_unequal_chunks_may_peak_at_another_moment() -> None:
    """Counting alone finds the first moment of the largest count; weights find the largest sum."""
    schedule = build("interleaved", stages=2, virtual_stages=2, num_microbatches=8)
    counts = count_in_flight(schedule)
    assert counts[0].tolist() == [3, 2]
    heavy_first = np.array([[10.0, 1.0], [10.0, 1.0]])
    assert (counts[0] * heavy_first[0]).sum() == 32
    assert peak_weighted(schedule, heavy_first)[0] == 41


def test_a_stage_counts_alike_wherever_it_stands() -> None:
    weights = np.random.default_rng(0).uniform(1, 9, (2, 3, 2))
    of, numbers = np.array([2, 0, 2]), np.array([6, 9])
    found, which = heaviest_in_flight(
        "interleaved", weights, stages=3, virtual_stages=2, num_microbatches=numbers, stage_of=of
    )
    for entry, stage in enumerate(of.tolist()):
        alone = np.repeat(weights[:, [entry]], 3, axis=1)
        kept, row = heaviest_in_flight(
            "interleaved", alone, stages=3, virtual_stages=2, num_microbatches=numbers
        )
        assert (found[which][:, entry] == kept[row][:, stage]).all()


@given(st.data())
@settings(max_examples=instances(60, 200), deadline=None)
def test_moments_without_an_order_are_those_of_the_order(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([n for n, kind in SCHEDULES.items() if kind.warmup]))
    p, v = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 4))
    m = data.draw(st.integers(1, 6 * p + 5))
    assume(allowed(name, stages=p, virtual_stages=v, num_microbatches=m))
    warmup = SCHEDULES[name].warmup
    assert warmup is not None
    size = ScheduleSize.of(p, v, m, None)
    schedule = build(name, stages=p, virtual_stages=v, num_microbatches=m)
    for stage, warm in enumerate(warmup(size).tolist()):
        passes, counts = schedule.passes(stage), kept(schedule, stage)
        expected = {
            tuple(held)
            for held, one, following in zip(counts, passes, passes[1:], strict=False)
            if (one.kind, following.kind) == (PassKind.FORWARD, PassKind.BACKWARD)
        }
        assert {tuple(row) for row in moments(warm, size).tolist()} == expected
