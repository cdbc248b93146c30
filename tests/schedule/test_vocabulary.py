"""Schedules whose stages share the vocabulary: memory and barriers as the paper has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.errors import RuleError
from planner.schedule.build import build
from planner.schedule.inflight import peak_in_flight
from planner.schedule.orders.vocabulary import BROADCAST, ONE_BARRIER
from planner.schedule.passes import Pass, PassKind, Schedule, looped
from planner.schedule.registry import SCHEDULES
from planner.schedule.simulation.critical_path import critical_path
from planner.schedule.simulation.simulate import Durations, simulate
from tests.schedule.own_paths import ordered

SHARING = sorted(name for name, kind in SCHEDULES.items() if kind.shares_vocabulary)
F, B = PassKind.FORWARD, PassKind.BACKWARD
S, T = PassKind.VOCAB_FORWARD, PassKind.VOCAB_BACKWARD


def span_s(name: str, p: int, m: int, *, exchange: float, send: float = 0.0) -> float:
    """Forwards of 1 s, backwards of 2 s, S of 0.3 s, T of 0.4 s, every collective as long."""
    return simulate(build(name, stages=p, num_microbatches=m), durations(p, exchange, send)).span_s


def durations(p: int, exchange: float, send: float = 0.0) -> Durations:
    return Durations(
        forward_s=np.ones((p, 1)),
        backward_s=np.full((p, 1), 2.0),
        vocab_forward_s=0.3,
        vocab_backward_s=0.4,
        exchange_s=exchange,
        forward_send_s=send,
        backward_send_s=send,
    )


WORK = 1 + 2 + 0.3 + 0.4


def test_there_are_three() -> None:
    assert SHARING == ["1f1b-vocab-1", "1f1b-vocab-2", "interlaced-vocab"]


@pytest.mark.parametrize("p", [2, 4, 8, 16])
def test_activation_overhead(p: int) -> None:
    """Yeung et al. 2024, section 5: p + 2 microbatches for two barriers, p + 1 for one; 1.5 times
    those of 1F1B interlaced."""
    kept = {
        name: peak_in_flight(name, stages=p, num_microbatches=4 * p)[:, 0].tolist()
        for name in ("1f1b", *SHARING)
    }
    assert kept["1f1b-vocab-1"] == [one + 2 for one in kept["1f1b"]]
    assert kept["1f1b-vocab-2"] == [one + 1 for one in kept["1f1b"]]
    assert kept["interlaced-vocab"] == [one + p // 2 for one in kept["1f1b"]]
    assert kept["interlaced-vocab"][0] == 1.5 * kept["1f1b"][0]


@pytest.mark.parametrize("name", ["1f1b-vocab-1", "1f1b-vocab-2"])
@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 7, 8, 12])
def test_collectives_shorter_than_a_forward_cost_nothing_in_the_steady_state(
    name: str, p: int
) -> None:
    """A microbatch more takes its work on a stage, no more; nor does the drain grow with m."""
    for exchange in (0.0, 0.2):
        more = span_s(name, p, 8 * p, exchange=exchange) - span_s(name, p, 7 * p, exchange=exchange)
        assert more == pytest.approx(p * WORK)
    idle = span_s(name, p, 8 * p, exchange=0.0) - 8 * p * WORK
    assert idle <= (p - 1) * 3 + p * WORK / 3


@pytest.mark.parametrize("p", [2, 4, 8])
def test_interlaced_waits_for_every_collective(p: int) -> None:
    for exchange in (0.0, 0.1, 0.5):
        longer = [span_s("interlaced-vocab", p, m, exchange=exchange) for m in (8 * p, 9 * p)]
        assert longer[1] - longer[0] == pytest.approx(p * (WORK + 3 * exchange))


def test_collectives_that_outlast_a_forward_delay_the_last_stage() -> None:
    """Two barriers are exposed before one is."""
    once = span_s("1f1b-vocab-2", 4, 32, exchange=1.4)
    twice = span_s("1f1b-vocab-1", 4, 32, exchange=1.4)
    assert 32 * WORK + 20 < once < twice
    path = simulate(build("1f1b-vocab-1", stages=4, num_microbatches=32), durations(4, 1.4))
    causes = {segment.activity for segment in critical_path(path)}
    assert {"vocab_broadcast", "vocab_softmax", "vocab_reduction"} <= causes


def test_times_of_two_stages_and_one_microbatch_by_hand() -> None:
    """F 1 + send 0.5 + F 1, broadcast 0.1, S 0.3, reduction 0.1, B 2, send 0.5, B 2; T while the
    first stage waits, and on the last when its message has arrived."""
    schedule = build("1f1b-vocab-2", stages=2, num_microbatches=1)
    timeline = simulate(schedule, durations(2, 0.1, 0.5))
    at = [
        {
            one.kind: start
            for one, start in zip(schedule.passes(stage), timeline.start_s[stage], strict=True)
        }
        for stage in range(2)
    ]
    assert at[1][F] == 1.5
    assert timeline.exchange_start_s[:, 0] == pytest.approx([2.5, 2.9])
    assert [at[stage][S] for stage in range(2)] == pytest.approx([2.6, 2.6])
    assert at[1][B] == pytest.approx(3.0)
    assert at[0][B] == pytest.approx(5.5)
    assert [at[stage][T] for stage in range(2)] == pytest.approx([3.0, 5.5])
    assert timeline.span_s == pytest.approx(7.5)


def by_hand(*rows: list[Pass]) -> Schedule:
    plain = ordered("by hand", rows, looped(len(rows), 1), num_microbatches=1)
    return replace(plain, exchanges=ONE_BARRIER)


def test_a_deadlock_through_a_collective_is_named() -> None:
    """Stage 0 wants its backward before its share of the logits, which that backward waits for."""
    first = [Pass(F, 0, 0), Pass(B, 0, 0), Pass(S, 0, 0), Pass(T, 0, 0)]
    last = [Pass(F, 0, 0), Pass(S, 0, 0), Pass(B, 0, 0), Pass(T, 0, 0)]
    with pytest.raises(RuleError) as raised:
        simulate(by_hand(first, last), durations(2, 0.1))
    text = str(raised.value)
    assert "these wait for each other" in text
    assert "vocab_reduction of microbatch 0 for stage 0 vocab_forward of microbatch 0" in text
    assert "stage 0 vocab_forward of microbatch 0 chunk 0 for stage 0 backward" in text


def test_every_stage_must_take_part() -> None:
    first = [Pass(F, 0, 0), Pass(B, 0, 0)]
    last = [Pass(F, 0, 0), Pass(S, 0, 0), Pass(B, 0, 0), Pass(T, 0, 0)]
    with pytest.raises(RuleError, match="vocab_forward of every microbatch must be run exactly"):
        simulate(by_hand(first, last), durations(2, 0.1))


def test_exchanges_are_those_of_the_kind() -> None:
    for name in SHARING:
        schedule = build(name, stages=4, num_microbatches=8)
        assert schedule.exchanges == SCHEDULES[name].exchanges
        assert schedule.exchanges[0] is BROADCAST
