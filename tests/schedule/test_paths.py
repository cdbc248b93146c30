"""Microbatches on paths of their own: times by hand, against the naive simulation, deadlocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import RuleError
from planner.schedule.build import build
from planner.schedule.graph.compile import Sends
from planner.schedule.inflight import count_in_flight
from planner.schedule.passes import Pass, PassKind, Schedule, looped
from planner.schedule.simulation.simulate import Durations, simulate
from tests.every_instance import instances
from tests.schedule.own_paths import boundary_seconds, ordered, path_schedule

F, B = PassKind.FORWARD, PassKind.BACKWARD


def durations(stages: int, routes: int, send: float = 0.0) -> Durations:
    """Forwards of 1 s, backwards of 2 s, the same on every route."""
    return Durations(
        forward_s=np.ones((stages, routes)),
        backward_s=np.full((stages, routes), 2.0),
        forward_send_s=send,
        backward_send_s=send,
        sends="asynchronous",
    )


def spelled(schedule: Schedule, stage: int) -> str:
    return " ".join(f"{'FB'[one.kind]}{one.microbatch}" for one in schedule.passes(stage))


def test_a_microbatch_that_skips_a_stage_does_not_wait_for_it() -> None:
    """Three stages, two microbatches; the second goes from stage 0 to stage 2, sends of 0.5 s."""
    schedule = path_schedule([(0, 1, 2), (0, 2)], stages=3)
    assert [spelled(schedule, stage) for stage in range(3)] == [
        "F0 F1 B0 B1",
        "F0 B0",
        "F0 B0 F1 B1",
    ]
    timeline = simulate(schedule, durations(3, 2, 0.5))
    # Microbatch 0: 0–1, 1.5–2.5, 3–4, 4–6, 6.5–8.5, 9–11; microbatch 1: 1–2, 6–7, 7–9, then 11–13.
    assert timeline.start_s[2].tolist() == [3, 4, 6, 7]
    assert timeline.start_s[0].tolist() == [0, 1, 9, 11]
    assert timeline.span_s == 13


def test_stages_in_another_order() -> None:
    """The second microbatch sees stage 2 before stage 1; free sends."""
    schedule = path_schedule([(0, 1, 2), (0, 2, 1)], stages=3)
    assert [spelled(schedule, stage) for stage in (1, 2)] == ["F0 B0 F1 B1"] * 2
    timeline = simulate(schedule, durations(3, 2))
    assert timeline.start_s[2].tolist() == [2, 3, 5, 10]
    assert timeline.start_s[1].tolist() == [1, 5, 7, 8]
    assert timeline.span_s == 14


def test_one_path_for_all_is_one_forward_one_backward() -> None:
    """The same order as 1f1b keeps, and so the same time, for equal passes."""
    for stages, microbatches in ((2, 5), (3, 6), (4, 9)):
        schedule = path_schedule([range(stages)] * microbatches, stages=stages)
        plain = build("1f1b", stages=stages, num_microbatches=microbatches)
        assert simulate(schedule, durations(stages, 1)).span_s == (
            simulate(plain, durations(stages, 1)).span_s
        )
        assert (count_in_flight(schedule) <= stages).all()


PATHS = st.integers(1, 4).flatmap(
    lambda stages: st.tuples(
        st.just(stages),
        st.lists(
            st.permutations(range(stages)).flatmap(
                lambda order: st.integers(1, len(order)).map(lambda n: tuple(order[:n]))
            ),
            min_size=1,
            max_size=6,
        ),
    )
)


@given(PATHS, st.integers(0, 10_000), st.sampled_from(get_args(Sends)))
@settings(max_examples=instances(50, 150), deadline=None)
def test_any_paths_run_as_the_naive_simulation_says(
    run_naively: Callable[[Schedule, Durations], np.ndarray],
    case: tuple[int, list[tuple[int, ...]]],
    seed: int,
    sends: Sends,
) -> None:
    stages, paths = case
    schedule = path_schedule(paths, stages=stages, kept=len(paths))
    for stage in range(stages):
        visits = [m for m, path in enumerate(paths) if stage in path]
        for kind in (F, B):
            ran = [one.microbatch for one in schedule.passes(stage) if one.kind is kind]
            assert sorted(ran) == visits
    rng = np.random.default_rng(seed)
    shape = (stages, schedule.virtual_stages)
    forward, backward = boundary_seconds(schedule.placement, rng.uniform(0, 2, (stages, stages)))
    of = Durations(
        forward_s=rng.uniform(0, 2, shape),
        backward_s=rng.uniform(0, 2, shape),
        forward_send_s=forward,
        backward_send_s=backward,
        sends=sends,
    )
    found = simulate(schedule, of).end_s
    expected = run_naively(schedule, of)
    for stage in range(stages):
        count = len(schedule.passes(stage))
        np.testing.assert_allclose(found[stage, :count], expected[stage, :count], atol=1e-9)


def test_memory_is_kept_below_what_is_allowed() -> None:
    paths = [(0, 1, 2, 3)] * 12
    assert count_in_flight(path_schedule(paths, stages=4, kept=2)).max() == 2
    slow = simulate(path_schedule(paths, stages=4, kept=2), durations(4, 1)).span_s
    assert slow > simulate(path_schedule(paths, stages=4, kept=4), durations(4, 1)).span_s


def test_room_that_only_each_other_could_make_is_a_named_deadlock() -> None:
    with pytest.raises(RuleError, match=r"no stage can go on: .* stage 0 microbatch 1, stage 1"):
        path_schedule([(0, 1), (1, 0)], stages=2, kept=1)


def test_an_order_that_cannot_be_run_names_who_waits_for_whom() -> None:
    """Stage 0 wants the backward of microbatch 0 before it starts microbatch 1, stage 1 the
    forward of microbatch 1 before anything else."""
    stuck = ordered(
        "by hand",
        [
            [Pass(F, 0, 0), Pass(B, 0, 0), Pass(F, 1, 0), Pass(B, 1, 0)],
            [Pass(F, 1, 0), Pass(F, 0, 0), Pass(B, 0, 0), Pass(B, 1, 0)],
        ],
        looped(2, 1),
        num_microbatches=2,
    )
    with pytest.raises(RuleError, match="these wait for each other: stage 0 backward of micro"):
        simulate(stuck, durations(2, 1))


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        ([], "there is no microbatch"),
        ([(0, 1), ()], "microbatch 1 visits no stage"),
        ([(0, 3)], "microbatch 0 visits stages 0, 3; there are 0 to 2"),
        ([(0, 1, 0)], "microbatch 0 visits stage 0 twice"),
    ],
)
def test_impossible_paths_are_errors(paths: list[tuple[int, ...]], sentence: str) -> None:
    with pytest.raises(RuleError, match=sentence):
        path_schedule(paths, stages=3)
