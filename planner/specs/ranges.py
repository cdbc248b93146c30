"""How large what a user gives may be, and the refusal of everything else. Messages call a number by
its option: `--nodes` is also the keyword `nodes`."""

from __future__ import annotations

from numbers import Real
from operator import index
from typing import TYPE_CHECKING, SupportsIndex

from planner.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NODES = 100_000
MOST_SIZES = 1_000
"""Numbers of nodes for which one search finds plans."""
MOST_DEVICES = 1_000_000
MOST_PLANS = 1_000
MOST_LAYERS = 10_000
MOST_SEQUENCES = 1_000_000
LONGEST_SEQUENCE = 4 * 2**20
MOST_COMMANDS = 1_000
LARGEST_VOCABULARY = 10**9
LONGEST_S = 7 * 24 * 3600.0
MOST_HOURS = 1_000_000
MOST_DEVICES_PER_NODE = 1024
MOST_CARDS = 1024
MOST_TIMES = 1_000
MOST_CONCURRENT = 100_000
"""Requests that are under way at a time. Each is simulated."""
MOST_CHUNKS = 10_000
WIDEST_SHARE = 100.0
"""How much slower or busier than something else a limit may allow: 1 is 100 %."""


def option_name(keyword: str) -> str:
    """`--seq-length` of `seq_length`."""
    return "--" + keyword.replace("_", "-")


def whole(option: str, value: SupportsIndex | None, *, most: int, least: int = 1) -> int | None:
    """A whole number from `least` to `most`; None for one that is not given. Raises: InputError."""
    if value is None:
        return None
    try:
        number = index(value)
    except TypeError:
        raise not_whole(option, value, most, least) from None
    if isinstance(value, bool) or not least <= number <= most:
        raise not_whole(option, value, most, least)
    return number


def share(option: str, value: float | None, *, below: float) -> float | None:
    """A share from 0 up to and without `below`. Raises: InputError."""
    if value is None:
        return None
    if not _is_real(value) or not 0 <= value < below:
        raise not_a_share(option, value, below)
    return float(value)


def times(option: str, value: float | None) -> float | None:
    """How often something is as large as something else, from 1. Raises: InputError."""
    if value is None:
        return None
    if not _is_real(value) or not 1 <= value <= MOST_TIMES:
        raise InputError(f"{option}: {value!r} is not a number from 1 to {MOST_TIMES:,}")
    return float(value)


def positive(option: str, value: float | None) -> float | None:
    """A number above 0, at most `MOST_TIMES`. Raises: InputError."""
    if value is None:
        return None
    if not _is_real(value) or not 0 < value <= MOST_TIMES:
        raise InputError(f"{option}: {value!r} is not a number above 0, at most {MOST_TIMES:,}")
    return float(value)


def switch(option: str, value: object) -> bool | None:
    """On or off. Raises: InputError."""
    if value is None or isinstance(value, bool):
        return value
    raise InputError(f"{option}: {value!r} is neither true nor false")


def duration_s(option: str, value: float | None) -> float | None:
    """Seconds above 0. Raises: InputError."""
    if value is None:
        return None
    if not _is_real(value) or not 0 < value <= LONGEST_S:
        raise not_a_duration(option, value)
    return float(value)


def hours(option: str, value: float | None) -> float | None:
    """Hours above 0. Raises: InputError."""
    if value is None:
        return None
    if not _is_real(value) or not 0 < value <= MOST_HOURS:
        raise not_hours(option, value)
    return float(value)


def word(option: str, text: str | None, allowed: Sequence[str]) -> str | None:
    """One of the allowed words. Raises: InputError."""
    if text is None or text in allowed:
        return text
    from planner.specs.files.spelling import did_you_mean

    raise InputError(
        f"{option}: {text!r} is not one of {', '.join(allowed)}",
        hint=did_you_mean(str(text), allowed),
    )


def not_whole(option: str, found: object, most: int, least: int = 1) -> InputError:
    return InputError(f"{option}: {found!r} is not a whole number from {least} to {most:,}")


def not_a_share(option: str, found: object, below: float) -> InputError:
    return InputError(
        f"{option}: {found!r} is not a share from 0% to below {100 * below:g}%",
        hint="write it like 5% or 0.05" if isinstance(found, str) else "0.05 is 5%",
    )


def not_a_duration(option: str, found: object) -> InputError:
    return InputError(f"{option}: {found!r} is not a number of seconds above 0, such as 30")


def not_hours(option: str, found: object) -> InputError:
    return InputError(
        f"{option}: {found!r} is not a number of hours above 0, at most {MOST_HOURS:,}, such as 300"
    )


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
