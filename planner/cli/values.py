"""Texts of options to values. Errors name the option, what was found and what is allowed."""

from __future__ import annotations

import math
import re
import shlex

from planner.errors import InputError
from planner.specs import ranges

_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?", re.ASCII)


def whole(option: str, text: str | None, *, most: int, least: int = 1) -> int | None:
    """A whole number from `least` to `most`; None for an option that is not given."""
    if text is None:
        return None
    if _WHOLE.fullmatch(text) is None or not least <= int(text) <= most:
        raise ranges.not_whole(option, text, most, least)
    return int(text)


def share(option: str, text: str | None, *, below: float) -> float | None:
    """`5%` or `0.05` → 0.05, from 0 up to and without `below`."""
    if text is None:
        return None
    number = text.removesuffix("%").rstrip()
    amount = math.nan
    if _DECIMAL.fullmatch(number) is not None:
        amount = float(number) / 100 if text.endswith("%") else float(number)
    if not 0 <= amount < below:
        raise ranges.not_a_share(option, text, below)
    return amount


def times(option: str, text: str | None) -> float | None:
    """How often something is as large as something else, from 1."""
    if text is None:
        return None
    number = float(text) if _DECIMAL.fullmatch(text) is not None else math.nan
    if not 1 <= number <= ranges.MOST_TIMES:
        raise InputError(f"{option}: {text!r} is not a number from 1 to {ranges.MOST_TIMES:,}")
    return number


def positive(option: str, text: str | None) -> float | None:
    """A number above 0."""
    if text is None:
        return None
    number = float(text) if _DECIMAL.fullmatch(text) is not None else math.nan
    if not 0 < number <= ranges.MOST_TIMES:
        raise InputError(
            f"{option}: {text!r} is not a number above 0, at most {ranges.MOST_TIMES:,}"
        )
    return number


def switch(option: str, text: str | None) -> bool | None:
    """`on` or `off`."""
    return None if text is None else ranges.word(option, text, ("on", "off")) == "on"


def ranks(option: str, text: str | None) -> int | str | None:
    """`all`, or a number of ranks."""
    if text is None or text == "all":
        return text
    return whole(option, text, most=ranges.MOST_DEVICES)


def duration_s(option: str, text: str | None) -> float | None:
    """Seconds above 0."""
    if text is None:
        return None
    if _DECIMAL.fullmatch(text) is None or not 0 < float(text) <= ranges.LONGEST_S:
        raise ranges.not_a_duration(option, text)
    return float(text)


def hours(option: str, text: str | None) -> float | None:
    """Hours above 0."""
    if text is None:
        return None
    if _DECIMAL.fullmatch(text) is None:
        raise ranges.not_hours(option, text)
    return ranges.hours(option, float(text))


def rate(option: str, text: str | None) -> float | None:
    """`30000`, `30k`, `2M` → tokens per second."""
    if text is None:
        return None
    scales = {"k": 1e3, "M": 1e6, "B": 1e9}
    number = text[:-1] if text[-1:] in scales else text
    if _DECIMAL.fullmatch(number) is None or not float(number):
        raise InputError(
            f"{option}: {text[:40]!r} is no number of tokens per second",
            hint=f"write {option} 30000, or 2M for two million",
        )
    return float(number) * scales.get(text[-1:], 1.0)


def layers(option: str, text: str | None) -> tuple[int, ...] | None:
    """`12,12,11` → layers of every chunk in order."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if _WHOLE.fullmatch(part) is None or int(part) > ranges.MOST_DEVICES:
            raise InputError(
                f"{option}: {part!r} is not a whole number",
                hint=f"write the layers of every chunk in order, such as {option} 12,12,11",
            )
    return tuple(int(part) for part in parts)


def wholes(option: str, text: str | None, *, most: int, least: int = 1) -> tuple[int, ...] | None:
    """`16,32,64` → whole numbers from `least` to `most`."""
    if text is None:
        return None
    parts = (part.strip() for part in text.split(","))
    return tuple(whole(option, part, most=most, least=least) or 0 for part in parts)


def span(option: str, text: str | None, *, most: int) -> range | None:
    """`96..128` → the whole numbers from 96 to 128; None for a text without dots."""
    if text is None or ".." not in text:
        return None
    first, _, last = text.partition("..")
    ends = [whole(option, part.strip(), most=most) or 1 for part in (first, last)]
    if ends[0] > ends[1]:
        raise InputError(
            f"{option}: {text!r} counts down", hint=f"write it like {option} {ends[1]}..{ends[0]}"
        )
    if ends[1] - ends[0] >= ranges.MOST_SIZES:
        raise InputError(f"{option}: {text!r} are more than {ranges.MOST_SIZES:,} numbers")
    return range(ends[0], ends[1] + 1)


def paths(option: str, text: str) -> tuple[str, ...]:
    """`a.txt,b.csv` → paths of files."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise InputError(f"{option}: {text!r} leaves the name of a file out")
    return parts


def script_variables(variables: str | None, arguments: str | None) -> dict[str, str] | None:
    """`--set` and `--args` of a launch script: its arguments by their numbers."""
    if variables is None and arguments is None:
        return None
    try:
        words = [] if arguments is None else shlex.split(arguments)
    except ValueError as error:
        raise InputError(f"--args: {error}".lower()) from error
    numbered = {str(number): word for number, word in enumerate(words, start=1)}
    return {**numbered, **assignments("--set", variables)}


def assignments(option: str, text: str | None) -> dict[str, str]:
    """`A=1,B=2` → its variables; 1=… is the first argument of the script."""
    given: dict[str, str] = {}
    for part in [] if text is None else text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not (key.strip().isidentifier() or key.strip().isdigit()):
            raise InputError(f"{option}: {part!r} is not NAME=VALUE")
        given[key.strip()] = value.strip()
    return given
