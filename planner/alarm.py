"""Ends whatever runs when time is up: the last resort behind the checks of a budget.

Most computations check their budget often. Some cannot: a file that is being parsed, one plan
priced on thousands of unequal links. Inside `enforced` the deadline raises there too, in whatever
Python code runs, and so does Ctrl-C. Native code may swallow an exception that is raised below it,
or replace it with one of its own (numpy does both), and Python drops what is raised in the callback
of a weak reference. Therefore both are raised again until the block ends, and an error that appears
meanwhile is attributed to them. A block may stand in another.
"""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from planner.budget import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.budget import Budget

    Ring = Callable[[int, object], None]

PATIENCE_S = 0.2
"""How late the alarm is: a computation that checks its budget ends by itself first, with more to
show."""

AGAIN_S = 0.1
"""Seconds until it rings again if nothing reacted."""


_RUNG: dict[Ring, list[type[BaseException]]] = {}
"""What the handlers of the open blocks have raised."""


def report_unraisable(dropped: sys.UnraisableHookArgs) -> None:
    """What Python does with an exception that it drops, but without a word on those that are raised
    again."""
    if not issubclass(dropped.exc_type, (OutOfTime, KeyboardInterrupt)):
        sys.__unraisablehook__(dropped)


def hush() -> None:
    """Ends the repetition: what was raised has arrived."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def enforced(budget: Budget) -> Iterator[None]:
    """Raises inside the block: OutOfTime when the deadline has passed, KeyboardInterrupt on Ctrl-C.

    It does nothing outside the main thread, where no signals arrive, or on systems without timers.
    """
    if current_thread() is not main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    pressed = any(KeyboardInterrupt in rung for rung in _RUNG.values())
    rung: list[type[BaseException]] = [KeyboardInterrupt] if pressed else []
    open_ = True

    def ring(number: int, frame: object) -> None:
        if not open_:
            return
        if number == signal.SIGINT:
            rung[:] = [KeyboardInterrupt]
        elif not rung:
            rung.append(OutOfTime)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise rung[0]

    heard = [signal.SIGALRM]
    hears = signal.getsignal(signal.SIGINT)
    if hears is signal.default_int_handler or hears in _RUNG:
        heard.append(signal.SIGINT)
    _RUNG[ring] = rung
    before = {number: signal.signal(number, ring) for number in heard}
    try:
        try:
            if pressed:
                signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            elif budget.timed:
                signal.setitimer(signal.ITIMER_REAL, budget.left_s + PATIENCE_S)
            yield
        finally:
            open_ = False
    except Exception as error:
        if rung:
            raise rung[0] from error
        raise
    finally:
        open_ = False
        del _RUNG[ring]
        hush()
        for number, handler in before.items():
            signal.signal(number, handler)
