"""Text with a unit to SI base units: "25 GB/s" → 25e9 bytes/s.

`GB` is 10^9 bytes, `GiB` 2^30; `Gbit` and `Gb` are bits. Case matters, because Gb is not GB.
A bare number is refused: it would be off by 8 or by 10^9 sooner or later.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from decimal import Decimal

from planner.specs.quantities import (
    BYTES,
    BYTES_PER_SECOND,
    DURATION,
    FLOP_PER_SECOND,
    GRAMS_PER_KWH,
    REQUESTS_PER_SECOND,
    SECONDS,
    WATTS,
    Kind,
    accepted_units,
)

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?"
_QUANTITY = re.compile(rf"({_NUMBER}) *([A-Za-zµ/][A-Za-zµ/%]*)?")
_PERCENT = re.compile(rf"({_NUMBER}) *%")
_TOKENS = re.compile(rf"({_NUMBER}) *([kKMBTP]?)")
_TOKEN_SCALES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "P": 10**15}
_LONGEST = 40
MOST_TOKENS = 10**18


class UnitError(ValueError):
    """The text is not a quantity of the kind asked for. The message says what is."""


_MEANT = {
    "bps": "bit/s",
    "Bps": "B/s",
    "bits/s": "bit/s",
    "Bytes/s": "B/s",
    "FLOPS": "FLOP/s",
    "FLOPs": "FLOP/s",
    "FLOPs/s": "FLOP/s",
    "FLOPS/s": "FLOP/s",
    "flops": "FLOP/s",
}


def _meant(unit: str, kind: Kind) -> str | None:
    for wrong, right in _MEANT.items():
        if unit.endswith(wrong) and unit.removesuffix(wrong) + right in kind.units:
            return unit.removesuffix(wrong) + right
    same = [known for known in kind.units if known.lower() == unit.lower()]
    if same:
        return same[0]
    near = difflib.get_close_matches(unit, list(kind.units), n=1, cutoff=0.5)
    return near[0] if near else None


def show_number(number: float) -> str:
    """A number as a person would write it: 400000000000, 2.5, 1e+300."""
    if isinstance(number, int):
        return str(number)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.12g}"


def _shown(value: object) -> str:
    text = show_number(value) if isinstance(value, float) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def unit_factor(kind: Kind, unit: str) -> float:
    """The unit in the SI base unit: "MB/s" → 1e6. Raises: UnitError for a unit of another kind."""
    if unit not in kind.units:
        meant = _meant(unit, kind)
        hint = f"; did you mean {meant}?" if meant else ""
        raise UnitError(
            f"{_shown(unit)} is not a unit of {kind.name}; accepted: {accepted_units(kind)}{hint}"
        )
    return float(kind.units[unit])


def parse_decimal(kind: Kind, value: object) -> Decimal:
    """The exact value in the SI base unit.

    Raises: UnitError, for anything but text made of a number and a unit of the kind, in the range
    that hardware has.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        shown = _shown(value)
        raise UnitError(f'{kind.name} needs a unit, found {shown}; write it like "{kind.example}"')
    if not isinstance(value, str):
        raise UnitError(f'expected a {kind.name} such as "{kind.example}", found {describe(value)}')
    match = _QUANTITY.fullmatch(value.strip(" ")) if len(value) <= _LONGEST else None
    if match is None:
        raise UnitError(
            f"{_shown(value)} is not a {kind.name}; write a number and a unit, "
            f'like "{kind.example}"'
        )
    number, unit = match.groups()
    if unit is None:
        raise UnitError(
            f'{kind.name} needs a unit, found {_shown(value)}; write it like "{kind.example}"'
        )
    unit_factor(kind, unit)
    return _in_range(kind, Decimal(number) * kind.units[unit], value)


def _in_range(kind: Kind, amount: Decimal, shown: str) -> Decimal:
    if amount < 0 or (kind.positive and amount == 0):
        bound = "positive" if kind.positive else "0 or more"
        raise UnitError(f"{kind.name} must be {bound}, found {shown!r}")
    if amount > kind.amount(kind.largest):
        raise UnitError(f"{kind.name} {shown!r} is beyond any hardware; at most {kind.largest}")
    if kind.least is not None and amount < kind.amount(kind.least):
        raise UnitError(f"{kind.name} {shown!r} is below any hardware; at least {kind.least}")
    if kind.positive and float(amount) == 0.0:
        raise UnitError(f"{kind.name} must be positive, found {shown!r}")
    return amount


def parse_bytes(value: object) -> int:
    """Bytes, rounded to a whole number: "80 GiB" → 85899345920."""
    size = int(parse_decimal(BYTES, value).to_integral_value())
    if size == 0:
        raise UnitError(f"size must be at least one byte, found {value!r}")
    return size


def parse_bytes_per_second(value: object) -> float:
    """Bytes per second: "100 Gbit/s" → 12.5e9."""
    return float(parse_decimal(BYTES_PER_SECOND, value))


def parse_seconds(value: object) -> float:
    """Seconds: "5 us" → 5e-6."""
    return float(parse_decimal(SECONDS, value))


def parse_duration(value: object) -> float:
    """Seconds of what takes long: "15 min" → 900."""
    return float(parse_decimal(DURATION, value))


def parse_tokens(value: object) -> int:
    """A number of tokens: "15T" → 15000000000000."""
    if isinstance(value, int) and not isinstance(value, bool):
        amount = Decimal(value)
    else:
        match = _TOKENS.fullmatch(value.strip(" ")) if isinstance(value, str) else None
        if match is None or len(str(value)) > _LONGEST:
            raise UnitError(f"{_shown(value)} is not a number of tokens; write it like 15T or 300B")
        amount = Decimal(match[1]) * _TOKEN_SCALES[match[2] or ""]
    if not 1 <= amount <= MOST_TOKENS or amount != amount.to_integral_value():
        raise UnitError(
            f"tokens are a whole number from 1 to {MOST_TOKENS / 10**15:g}P, found {_shown(value)}"
        )
    return int(amount)


def parse_flop_per_second(value: object) -> float:
    """Floating-point operations per second: "312 TFLOP/s" → 3.12e14."""
    return float(parse_decimal(FLOP_PER_SECOND, value))


def parse_watts(value: object) -> float:
    """Watts: "700 W" → 700."""
    return float(parse_decimal(WATTS, value))


def parse_grams_per_kwh(value: object) -> float:
    """Grams of CO2 per kilowatt-hour: "380 g/kWh" → 380."""
    return float(parse_decimal(GRAMS_PER_KWH, value))


def parse_requests_per_second(value: object) -> float:
    """Requests per second: "12 /s" → 12."""
    return float(parse_decimal(REQUESTS_PER_SECOND, value))


def parse_fraction(value: object) -> float:
    """A share between 0 and 1, written 0.05 or "5%"."""
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value.strip(" ")) if len(value) <= _LONGEST else None
        if match is None:
            raise UnitError(f'{_shown(value)} is not a fraction; write 0.05 or "5%"')
        amount = float(Decimal(match[1]) / 100)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        amount = float(value) if abs(value) <= 1 else math.inf
    else:
        raise UnitError(f'expected a fraction such as 0.05 or "5%", found {describe(value)}')
    if not 0 <= amount <= 1:
        raise UnitError(f"a fraction lies between 0 and 1 (0% and 100%), found {_shown(value)}")
    return amount


def describe(value: object) -> str:
    """What was found, in the words of the file rather than of Python."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {_shown(value)}"
    if isinstance(value, str):
        return f"the text {_shown(value)}"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else type(value).__name__
