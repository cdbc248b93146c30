"""Budgets, and the alarm that ends what does not look at them."""

from __future__ import annotations

import os
import signal
import time
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from planner.alarm import enforced
from planner.budget import UNLIMITED, Budget, OutOfTime, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable


def test_without_a_time_limit_nobody_asks_the_clock() -> None:
    def broken() -> float:
        raise AssertionError

    budget = Budget(clock=broken)
    budget.check()
    assert not budget.late
    assert budget.left_s == float("inf")
    assert budget.stopped(proven=False) is Stopped.WORK_LIMIT


def test_a_deadline_passes() -> None:
    now_s = [5.0]
    budget = Budget.lasting(2.0, clock=lambda: now_s[0])
    assert budget.left_s == 2.0
    assert budget.stopped(proven=False) is Stopped.WORK_LIMIT
    now_s[0] = 7.0
    assert budget.late
    assert budget.left_s == 0.0
    with pytest.raises(OutOfTime):
        budget.check()
    assert budget.stopped(proven=False) is Stopped.TIME_LIMIT
    assert budget.stopped(proven=True) is Stopped.PROVEN
    assert not budget.longer(1.0).late


def test_a_meter_ends_with_its_units_or_with_the_time() -> None:
    meter = UNLIMITED.meter(3)
    meter.spend(2)
    assert not meter.ended
    meter.spend()
    assert meter.ended
    assert not meter.late
    now_s = [0.0]
    timed = Budget.lasting(1.0, clock=lambda: now_s[0]).meter(3)
    assert not timed.ended
    now_s[0] = 1.0
    assert timed.ended
    assert timed.late


def test_work_is_scaled_and_the_deadline_stays() -> None:
    budget = Budget(work=2.0, deadline_s=9.0).scaled(0.25)
    assert (budget.work, budget.deadline_s) == (0.5, 9.0)


def test_stopped_is_what_the_documents_say() -> None:
    said = [str(one) for one in Stopped]
    assert said == ["proven", "work limit", "time limit", "interrupted"]


def busy() -> None:
    """Never looks at a budget."""
    for _ in count():
        pass


def swallowing() -> None:
    """Takes the first three exceptions for nothing, as a hook below native code may."""
    for _ in range(3):
        try:
            busy()
        except BaseException:
            continue
    busy()


def replacing() -> None:
    """Makes an error of its own of whatever comes up."""
    try:
        busy()
    except BaseException:
        raise TypeError("cannot compare") from None


@pytest.mark.parametrize("work", [busy, swallowing, replacing])
def test_the_alarm_ends_what_does_not_look(work: Callable[[], None]) -> None:
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)
    start_s = time.monotonic()
    with pytest.raises(OutOfTime), enforced(Budget.lasting(0.05)):
        work()
    assert time.monotonic() - start_s < 30
    assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("work", [busy, swallowing, replacing])
def test_an_interrupt_is_heard_whatever_happens_to_it(work: Callable[[], None]) -> None:
    def press() -> None:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    def pressed() -> None:
        presser.start()
        work()

    presser = Thread(target=press)
    with pytest.raises(KeyboardInterrupt), enforced(UNLIMITED):
        pressed()
    presser.join()


def test_an_error_without_an_alarm_is_itself() -> None:
    with pytest.raises(ValueError, match="mine"), enforced(Budget.lasting(60.0)):
        raise ValueError("mine")


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with enforced(UNLIMITED):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_are_left_to_their_checks() -> None:
    done = []

    def work() -> None:
        with enforced(Budget.lasting(0.01)):
            time.sleep(0.3)
            done.append(True)

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
