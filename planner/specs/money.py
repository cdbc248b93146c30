"""Prices as text: an amount, a currency and what it is for, such as "2.95 $/h"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from planner.specs.units import UnitError, describe

Per = Literal["h", "GB", "kWh"]

CURRENCY = r"[$€£¥]|[A-Z]{3}"
"""A sign, or a code of ISO 4217."""
NUMBER = r"[0-9]*\.?[0-9]+"
_EXAMPLES: dict[Per, str] = {"h": "2.95 $/h", "GB": "0.02 $/GB", "kWh": "0.09 $/kWh"}
_LONGEST = 40
_LARGEST = Decimal("1e9")


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of a currency, for one unit of what is paid for."""

    amount: float
    currency: str


def price_pattern(per: Per) -> str:
    """Regular expression of accepted text, for JSON Schema."""
    return rf"^{NUMBER} *({CURRENCY})/{per}$"


def price_example(per: Per) -> str:
    return _EXAMPLES[per]


def parse_price(value: object, per: Per) -> Price:
    """ "2.95 $/h" → 2.95, "$". Raises: UnitError."""
    like = f'write it like "{_EXAMPLES[per]}"'
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise UnitError(f"expected a price per {per}, found {describe(value)}; {like}")
    match = re.fullmatch(rf"({NUMBER}) *({CURRENCY})/{per}", value.strip(" "))
    if match is None:
        raise UnitError(f"{value!r} is not a price per {per}; {like}")
    amount = Decimal(match[1])
    if amount > _LARGEST:
        raise UnitError(f"a price is at most {_LARGEST:.0e}, found {value!r}")
    return Price(float(amount), match[2])


def format_price(price: Price, per: Per) -> str:
    """ "2.95 $/h"."""
    return f"{price.amount!r} {price.currency}/{per}"
