"""Values in SI base units as the shortest exact text: 25e9 bytes/s → "25 GB/s"."""

from __future__ import annotations

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
)


def _plain(number: float) -> str:
    text = f"{number:.9g}"
    return text if "e" not in text else f"{float(text):f}".rstrip("0").rstrip(".")


def _formatted(kind: Kind, amount: float, units: tuple[str, ...], base: str) -> str:
    exact = Decimal(amount)
    for unit in units:
        scaled = exact / kind.units[unit]
        if scaled >= 1:
            text = _plain(float(scaled))
            if float(Decimal(text) * kind.units[unit]) == float(amount):
                return f"{text} {unit}"
    return f"{amount!r} {base}"


def format_bytes(size_bytes: int) -> str:
    """The shortest exact text: 85899345920 → "80 GiB"."""
    return _formatted(BYTES, size_bytes, ("TiB", "GiB", "MiB", "KiB"), "B")


def format_bytes_per_second(bytes_per_s: float) -> str:
    """The shortest exact text: 25e9 → "25 GB/s"."""
    return _formatted(BYTES_PER_SECOND, bytes_per_s, ("TB/s", "GB/s", "MB/s", "kB/s"), "B/s")


def format_seconds(seconds: float) -> str:
    """The shortest exact text: 5e-6 → "5 us"."""
    return _formatted(SECONDS, seconds, ("s", "ms", "us", "ns"), "s")


def format_duration(seconds: float) -> str:
    """The shortest exact text: 900 → "15 min"."""
    return _formatted(DURATION, seconds, ("d", "h", "min", "s"), "s")


def format_flop_per_second(flop_per_s: float) -> str:
    """The shortest exact text: 3.12e14 → "312 TFLOP/s"."""
    units = ("PFLOP/s", "TFLOP/s", "GFLOP/s", "MFLOP/s")
    return _formatted(FLOP_PER_SECOND, flop_per_s, units, "FLOP/s")


def format_watts(watts: float) -> str:
    """The shortest exact text: 700 → "700 W"."""
    return _formatted(WATTS, watts, ("W",), "W")


def format_grams_per_kwh(grams: float) -> str:
    """The shortest exact text: 380 → "380 g/kWh"."""
    return _formatted(GRAMS_PER_KWH, grams, ("g/kWh",), "g/kWh")


def format_requests_per_second(per_s: float) -> str:
    """The shortest exact text: 12.0 → "12 /s"."""
    return _formatted(REQUESTS_PER_SECOND, per_s, ("/s",), "/s")
