"""Physical quantities: their units as factors to the SI base unit, and what hardware can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A physical quantity: its units as factors to the SI base unit, largest first, and the
    largest and, if any, the least value that hardware could have."""

    name: str
    units: Mapping[str, Decimal]
    example: str
    largest: str
    least: str | None = None
    positive: bool = True

    def amount(self, text: str) -> Decimal:
        """`text`, a number and a unit, in the SI base unit."""
        number, unit = text.split(" ")
        return Decimal(number) * self.units[unit]

    @property
    def pattern(self) -> str:
        """Regular expression of accepted text, for JSON Schema."""
        units = "|".join(self.units)
        return rf"^[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)? *({units})$"


def _scales(unit: str, prefixes: Mapping[str, int], factor: Decimal) -> dict[str, Decimal]:
    largest_first = reversed(list(prefixes.items()))
    return {f"{prefix}{unit}": scale * factor for prefix, scale in largest_first}


_ONE = Decimal(1)
_BIT = Decimal("0.125")
_BITS = {prefix: scale for prefix, scale in _DECIMAL.items() if prefix in "kMGT" and prefix}

BYTES = Kind(
    name="size",
    units={**_scales("B", _BINARY, _ONE), **_scales("B", _DECIMAL, _ONE)},
    example="80 GiB",
    largest="1 PB",
)
BYTES_PER_SECOND = Kind(
    name="bandwidth",
    units={
        **_scales("B/s", _DECIMAL, _ONE),
        **_scales("B/s", _BINARY, _ONE),
        **_scales("bit/s", _BITS, _BIT),
        **_scales("b/s", _BITS, _BIT),
    },
    example="25 GB/s",
    largest="10 PB/s",
    least="100 kB/s",
)
SECONDS = Kind(
    name="time",
    units={
        "s": _ONE,
        "ms": Decimal("1e-3"),
        "us": Decimal("1e-6"),
        "µs": Decimal("1e-6"),
        "ns": Decimal("1e-9"),
    },
    example="5 us",
    largest="3600 s",
    positive=False,
)
DURATION = Kind(
    name="duration",
    units={"d": Decimal(86400), "h": Decimal(3600), "min": Decimal(60), "s": _ONE},
    example="15 min",
    largest="1000000000 h",
)
FLOP_PER_SECOND = Kind(
    name="compute rate",
    units=_scales("FLOP/s", _DECIMAL, _ONE),
    example="312 TFLOP/s",
    largest="1 EFLOP/s",
)
WATTS = Kind(
    name="power",
    units={"kW": Decimal(1000), "W": _ONE},
    example="700 W",
    largest="100 kW",
)
GRAMS_PER_KWH = Kind(
    name="carbon intensity",
    units={"kg/kWh": Decimal(1000), "g/kWh": _ONE},
    example="380 g/kWh",
    largest="5 kg/kWh",
    positive=False,
)
REQUESTS_PER_SECOND = Kind(
    name="request rate",
    units={"/s": _ONE, "/min": _ONE / 60},
    example="12 /s",
    largest="1000000 /s",
    least="0.0001 /s",
)


def accepted_units(kind: Kind) -> str:
    return " ".join(sorted(kind.units, key=lambda unit: (kind.units[unit], unit)))
