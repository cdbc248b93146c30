"""What a timeline says about itself: critical path, busy time, waiting, reductions, deadlock."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import RuleError
from planner.schedule.build import allowed, build
from planner.schedule.graph import levels
from planner.schedule.graph.compile import Sends, compile_graph
from planner.schedule.inflight import peak_weighted
from planner.schedule.passes import Schedule, looped
from planner.schedule.simulation.critical_path import critical_path
from planner.schedule.simulation.kept_memory import kept_memory
from planner.schedule.simulation.simulate import Durations, simulate, step_spans
from planner.schedule.simulation.sweep import AT_ONCE, WINDOW
from tests.every_instance import instances


def example(seed: int, name: str, p: int, v: int, m: int) -> tuple[Schedule, Durations]:
    rng = np.random.default_rng(seed)
    backward = rng.uniform(1, 3, (p, v))
    return build(name, stages=p, virtual_stages=v, num_microbatches=m), Durations(
        forward_s=rng.uniform(0.5, 1.5, (p, v)),
        backward_s=backward,
        backward_weight_s=backward / 2,
        forward_send_s=rng.uniform(0, 0.5, p * v - 1),
        backward_send_s=rng.uniform(0, 0.5, p * v - 1),
        sends=("blocking", "asynchronous", "overlapped", "paired")[seed % 4],
        chunk_reduction_s=rng.uniform(0, 4, (p, v)) * rng.integers(0, 2),
        reduction_s=rng.uniform(0, 4, p) * rng.integers(0, 2),
        tied_reduction_s=float(rng.uniform(0, 2) * rng.integers(0, 2)),
    )


SIZES = [
    ("gpipe", 3, 1, 5),
    ("1f1b", 4, 1, 9),
    ("1f1b", 1, 1, 3),
    ("interleaved", 2, 2, 4),
    ("interleaved", 3, 2, 6),
    ("zb-h1", 3, 1, 5),
    ("zb-v", 3, 2, 6),
    ("dualpipe", 4, 2, 8),
]


@given(st.integers(0, 10_000), st.sampled_from(SIZES))
@settings(max_examples=instances(60, 200), deadline=None)
def test_the_critical_path_covers_the_step_without_gaps(
    seed: int, size: tuple[str, int, int, int]
) -> None:
    schedule, durations = example(seed, *size)
    timeline = simulate(schedule, durations)
    path = critical_path(timeline)
    assert path[0].start_s == 0
    assert path[-1].end_s == timeline.span_s
    assert path[0].activity == "forward"
    assert all(one.end_s == other.start_s for one, other in pairwise(path))
    assert all(segment.end_s > segment.start_s for segment in path)
    table = {
        "forward": durations.forward_s,
        "backward": durations.backward_s,
        "backward_weight": durations.backward_weight_s,
        "backward_input": np.asarray(durations.backward_s)
        - np.asarray(durations.backward_weight_s, dtype=np.float64),
        "chunk_reduction": durations.chunk_reduction_s,
    }
    for segment in path:
        if segment.activity in table:
            lasts = np.asarray(table[segment.activity])[segment.stage, segment.chunk]
        elif segment.activity in ("reduction", "tied_reduction"):
            lasts = getattr(durations, f"{segment.activity}_s")
            lasts = lasts if np.ndim(lasts) == 0 else np.asarray(lasts)[segment.stage]
        else:
            place = schedule.placement.virtual_stage[segment.stage, segment.chunk]
            boundary = place if segment.activity == "forward_send" else place - 1
            lasts = np.asarray(getattr(durations, f"{segment.activity}_s"))[boundary]
        assert segment.end_s - segment.start_s == pytest.approx(float(lasts), abs=1e-9)


@given(st.integers(0, 10_000), st.sampled_from(SIZES))
@settings(max_examples=instances(30, 100), deadline=None)
def test_time_of_a_stage_adds_up(seed: int, size: tuple[str, int, int, int]) -> None:
    schedule, durations = example(seed, *size)
    timeline = simulate(schedule, durations)
    lasts = timeline.end_s - timeline.start_s
    np.testing.assert_allclose(timeline.busy_s, lasts.sum(axis=1), rtol=1e-12)
    m = schedule.num_microbatches / len(schedule.placement.starts)
    work = np.asarray(durations.forward_s) + np.asarray(durations.backward_s)
    np.testing.assert_allclose(timeline.busy_s, m * work.sum(axis=1), rtol=1e-12)
    assert (timeline.start_s[:, 1:] >= timeline.end_s[:, :-1]).all()
    assert (timeline.send_wait_s >= 0).all()
    assert (timeline.bubble_s >= 0).all()
    assert (timeline.bubble_fraction >= 0).all()
    if durations.sends == "asynchronous":
        assert not timeline.send_wait_s.any()
    if durations.sends == "blocking":
        sent = timeline.message_end_s - timeline.end_s
        np.testing.assert_allclose(timeline.send_wait_s, np.nansum(sent[:, :-1], axis=1), atol=1e-9)
    np.testing.assert_allclose(
        timeline.bubble_fraction * timeline.pass_span_s,
        timeline.pass_span_s - timeline.busy_s - timeline.send_wait_s,
        atol=1e-12 * timeline.pass_span_s,
    )


def test_blocking_sends_hold_the_stage_and_asynchronous_ones_do_not() -> None:
    """Two stages, two microbatches, by hand: f = 1, b = 2, sends of 0.5."""
    schedule = build("1f1b", stages=2, num_microbatches=2)
    durations = Durations(
        forward_s=np.ones((2, 1)),
        backward_s=np.full((2, 1), 2.0),
        forward_send_s=[0.5],
        backward_send_s=[0.5],
    )
    blocking = simulate(schedule, durations)
    # stage 0: F0 0–1, send –1.5, F1 –2.5, send –3, B0 4.5–… ; stage 1: F0 1.5–2.5, B0 –4.5
    assert blocking.start_s.tolist() == [[0, 1.5, 5, 8.5], [1.5, 2.5, 5, 6]]
    assert blocking.span_s == 10.5
    goes_on = simulate(schedule, replace(durations, sends="asynchronous"))
    assert goes_on.start_s.tolist() == [[0, 1, 5, 8], [1.5, 2.5, 4.5, 5.5]]
    assert goes_on.span_s == 10


def test_messages_over_one_link_queue() -> None:
    """Three forwards of 1 s over a link that needs 3 s each arrive 3 s apart."""
    timeline = simulate(
        build("gpipe", stages=2, num_microbatches=3),
        Durations(
            forward_s=np.ones((2, 1)),
            backward_s=np.zeros((2, 1)),
            forward_send_s=[3.0],
            sends="asynchronous",
        ),
    )
    assert timeline.message_end_s[0, :3].tolist() == [4, 7, 10]
    assert timeline.message_start_s[0, :3].tolist() == [1, 4, 7]
    assert np.isnan(timeline.message_end_s[0, 3:]).all()
    assert timeline.span_s == 11


def test_reductions_start_when_their_stage_or_chunk_is_done() -> None:
    """f = b = 1, 2 stages of 2 chunks, 2 microbatches: 2·2·2 + 2 = 10 s of passes."""
    schedule = build("interleaved", stages=2, virtual_stages=2, num_microbatches=2)
    durations = Durations(forward_s=np.ones((2, 2)), backward_s=np.ones((2, 2)))
    timeline = simulate(schedule, replace(durations, reduction_s=[1.0, 5.0], tied_reduction_s=2.0))
    assert timeline.last_end_s.tolist() == [10, 9]
    assert timeline.reduction_end_s.tolist() == [11, 14]
    assert timeline.span_s == 16
    assert [one.activity for one in critical_path(timeline)][-2:] == [
        "reduction",
        "tied_reduction",
    ]

    ends = {
        (stage, chunk): max(
            timeline.end_s[stage, i]
            for i, one in enumerate(schedule.passes(stage))
            if one.chunk == chunk
        )
        for stage in range(2)
        for chunk in range(2)
    }
    per_chunk = simulate(schedule, replace(durations, chunk_reduction_s=[[1.0, 3.0], [1.0, 3.0]]))
    for stage in range(2):
        last_first = ends[stage, 1] + 3
        assert per_chunk.reductions.chunk_end_s[stage].tolist() == [
            max(ends[stage, 0], last_first) + 1,
            last_first,
        ]


@given(st.integers(0, 10_000), st.sampled_from(SIZES), st.sampled_from([1, 3, 40]))
@settings(max_examples=60, deadline=None)
def test_many_durations_at_once_give_the_same_spans(
    seed: int, size: tuple[str, int, int, int], batch: int
) -> None:
    schedule, one = example(seed, *size)
    rng = np.random.default_rng(seed)
    forward = np.asarray(one.forward_s) * rng.uniform(0.5, 2, (batch, 1, 1))
    tied = rng.uniform(0, 9, (2, 1))
    spans = step_spans(schedule, replace(one, forward_s=forward, tied_reduction_s=tied))
    assert spans.shape == (2, batch)
    for i, j in np.ndindex(*spans.shape):
        alone = replace(one, forward_s=forward[j], tied_reduction_s=tied[i, 0])
        assert spans[i, j] == simulate(schedule, alone).span_s


def test_a_window_that_moves_on_gives_the_same_spans() -> None:
    """More nodes than a window of the sweep takes in, and more sets than share one."""
    schedule = build("1f1b", stages=4, virtual_stages=1, num_microbatches=500)
    sets = AT_ONCE + 2
    forward = np.random.default_rng(0).uniform(1, 2, (sets, 4, 1))
    many = Durations(forward_s=forward, backward_s=2.5, forward_send_s=0.25, backward_send_s=0.5)
    assert compile_graph(schedule, "blocking").num_nodes > 2 * WINDOW
    spans = step_spans(schedule, many)
    for one in (0, AT_ONCE - 1, AT_ONCE, sets - 1):
        assert spans[one] == simulate(schedule, replace(many, forward_s=forward[one])).span_s


def by_hand(*stages: str) -> Schedule:
    """Orders such as "F0 B0" of one chunk per stage."""
    count = 1 + max(int(one[1:]) for one in stages[0].split())
    codes = [["FB".index(one[0]) * count + int(one[1:]) for one in row.split()] for row in stages]
    return Schedule(
        name="by hand",
        stages=len(stages),
        virtual_stages=1,
        num_microbatches=count,
        placement=looped(len(stages), 1),
        codes=np.array(codes, dtype=np.int32),
        steady=np.zeros((len(stages), 2), dtype=np.int32),
    )


def test_a_deadlock_is_found_and_spelled_out() -> None:
    schedule = by_hand("F0 F1 B0 B1", "F0 F1 B1 B0")
    simulate(schedule, Durations(forward_s=np.ones((2, 1)), backward_s=np.ones((2, 1))))
    stuck = by_hand("F0 B0 F1 B1", "F1 F0 B0 B1")
    with pytest.raises(RuleError) as raised:
        simulate(stuck, Durations(forward_s=np.ones((2, 1)), backward_s=np.ones((2, 1))))
    assert str(raised.value) == (
        "schedule-order: by hand: the order cannot be run, these wait for each other: "
        "stage 0 backward of microbatch 0 chunk 0 for stage 1 backward of microbatch 0 chunk 0; "
        "stage 1 forward of microbatch 1 chunk 0 for stage 0 forward of microbatch 1 chunk 0"
    )


def test_alternating_orders_come_with_places_that_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to search for, whatever the sends (pairs are for interleaving alone, and
    breadth first waits when microbatches are fewer than stages)."""

    def unreachable(*_: object) -> None:
        raise AssertionError("the places of the schedule break a dependency")

    monkeypatch.setattr(levels, "_search", unreachable)
    for name in ("gpipe", "1f1b", "interleaved", "looped-bfs"):
        for p in (1, 2, 3, 5, 8):
            for v in (1, 2, 3):
                for m, group in ((1, None), (3, None), (p, None), (3 * p, None), (3 * p, p + 1)):
                    size = {"stages": p, "virtual_stages": v, "num_microbatches": m}
                    if allowed(name, group=group, **size) and (name != "looped-bfs" or m >= p):
                        for sends in get_args(Sends)[: 4 if name == "interleaved" else 3]:
                            compile_graph.__wrapped__(build(name, group=group, **size), sends)


def test_wrong_places_are_ignored() -> None:
    schedule = build("interleaved", stages=3, virtual_stages=2, num_microbatches=6)
    assert schedule.places is not None
    durations = Durations(forward_s=np.ones((3, 2)), backward_s=np.ones((3, 2)))
    wrong = replace(schedule, places=np.zeros_like(schedule.places) + np.arange(24))
    assert simulate(wrong, durations).span_s == simulate(schedule, durations).span_s


def test_a_stage_that_runs_a_backward_before_its_forward_never_starts() -> None:
    with pytest.raises(RuleError, match=r"stage 0 backward of microbatch 0 .* for stage 0 forward"):
        simulate(by_hand("B0 F0"), Durations(forward_s=[[1.0]], backward_s=[[1.0]]))


def test_a_pass_run_twice_is_an_error() -> None:
    with pytest.raises(RuleError, match="exactly once"):
        simulate(by_hand("F0 F1 B0 B0"), Durations(forward_s=[[1.0]], backward_s=[[1.0]]))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("forward_s", np.ones((2, 2)), "forward_s has shape"),
        ("forward_send_s", np.ones(2), "forward_send_s has shape"),
        ("forward_s", np.ones((5, 2, 1)), "step_spans takes many"),
        ("tied_reduction_s", np.ones(5), "step_spans takes many"),
    ],
)
def test_wrong_shapes_are_errors(field: str, value: np.ndarray, message: str) -> None:
    fields: dict[str, Any] = {"forward_s": np.ones((2, 1)), "backward_s": np.ones((2, 1))}
    durations = Durations(**{**fields, field: value})
    with pytest.raises(ValueError, match=message):
        simulate(build("1f1b", stages=2, num_microbatches=2), durations)


def test_splitting_schedules_need_the_weight_half() -> None:
    one, two = np.ones((4, 1)), np.ones((4, 2))
    for name, times in (("zb-h1", one), ("zb-v", two), ("dualpipe", two)):
        with pytest.raises(ValueError, match=f"{name} splits backwards and needs"):
            simulate(
                build(name, stages=4, virtual_stages=times.shape[1], num_microbatches=8),
                Durations(forward_s=times, backward_s=times),
            )


@given(st.integers(0, 10_000), st.sampled_from(SIZES))
@settings(max_examples=60, deadline=None)
def test_memory_over_time_peaks_at_the_peak_in_flight(
    seed: int, size: tuple[str, int, int, int]
) -> None:
    schedule, durations = example(seed, *size)
    timeline = simulate(schedule, durations)
    weights = np.random.default_rng(seed).integers(1, 2**40, (schedule.stages, size[2]))
    curves = kept_memory(timeline, weights)
    assert [curve.peak for curve in curves] == peak_weighted(schedule, weights).tolist()
    for stage, curve in enumerate(curves):
        assert (np.diff(curve.moment_s) >= 0).all()
        assert (curve.level >= 0).all()
        assert curve.level[-1] == 0
        assert curve.moment_s[0] == timeline.first_start_s[stage]
        assert curve.moment_s[-1] <= timeline.last_end_s[stage]


def test_memory_of_two_stages_by_hand() -> None:
    """1f1b, f = 1, b = 2, free sends; stage 0: F0 0–1, F1 1–2, B0 4–6, B1 7–9."""
    schedule = build("1f1b", stages=2, num_microbatches=2)
    timeline = simulate(
        schedule, Durations(forward_s=np.ones((2, 1)), backward_s=np.full((2, 1), 2.0))
    )
    first, last = kept_memory(timeline, [[10.0], [7.0]])
    assert first.moment_s.tolist() == [0, 1, 6, 9]
    assert first.level.tolist() == [10, 20, 10, 0]
    assert last.moment_s.tolist() == [1, 4, 4, 7]
    assert last.level.tolist() == [7, 0, 7, 0]


def test_shared_logits_live_from_their_pass_to_that_of_their_gradients() -> None:
    schedule = build("1f1b-vocab-2", stages=4, num_microbatches=8)
    ones = np.ones((4, 1))
    timeline = simulate(
        schedule,
        Durations(
            forward_s=ones,
            backward_s=2 * ones,
            vocab_forward_s=0.3,
            vocab_backward_s=0.4,
            exchange_s=0.1,
        ),
    )
    assert [curve.peak for curve in kept_memory(timeline, 0.0, shared=3.0)] == [3.0] * 4
    kept = [curve.peak for curve in kept_memory(timeline, 1.0, shared=1e-3)]
    assert kept == pytest.approx([5.001, 4.001, 3.001, 2.001])
