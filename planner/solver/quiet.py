"""Keeps what native code prints away from the process's standard output.

HiGHS prints a banner from its constructor, with C's `printf`, before any option can silence it.
Only redirecting the file descriptor itself stops that.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = 1
"""The descriptor that C's `stdout` writes to, whatever `sys.stdout` is."""

_ONE_AT_A_TIME = Lock()
"""Held while the descriptor is redirected, since the whole process shares it."""


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Inside, descriptor 1 leads nowhere. Afterwards it is what it was before: closed if it was
    closed.

    Text that Python and C had buffered before goes where it was meant to go. Text that Python
    writes inside and does not flush appears afterwards.
    """
    with _ONE_AT_A_TIME:
        _flush_python()
        _flush_c()
        kept = _duplicate(STDOUT)
        try:
            _point_nowhere(STDOUT)
            yield
        finally:
            _flush_c()
            if kept is None:
                with suppress(OSError):
                    os.close(STDOUT)
            else:
                os.dup2(kept, STDOUT)
                os.close(kept)


def _point_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _duplicate(descriptor: int) -> int | None:
    """A copy of the descriptor; None where it is closed."""
    try:
        return os.dup(descriptor)
    except OSError:
        return None


def _flush_python() -> None:
    """Flush Python's stream. One that is missing, closed or broken fails where it is written to,
    not here."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()


def _flush_c() -> None:
    """Empties C's own buffers; a platform whose C library cannot be reached has none to lose."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)
