"""Numbers as people read them. Inside the package everything is SI; units appear only here."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30
SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeScale:
    """One unit and one number of decimals for all entries of a column."""

    unit: str
    per_second: float
    decimals: int

    def number(self, duration_s: float) -> str:
        return f"{duration_s * self.per_second:,.{self.decimals}f}"

    def text(self, duration_s: float) -> str:
        return f"{self.number(duration_s)} {self.unit}"


def time_scale(largest_s: float) -> TimeScale:
    """The scale in which `largest_s` has four significant digits."""
    unit, per_second = "us", 1e6
    if largest_s >= 1:
        unit, per_second = "s", 1.0
    elif largest_s >= 1e-3:
        unit, per_second = "ms", 1e3
    digits = len(str(int(largest_s * per_second)))
    return TimeScale(unit=unit, per_second=per_second, decimals=max(0, SIGNIFICANT_DIGITS - digits))


def seconds(duration_s: float) -> str:
    """31.42 s, 812.5 ms."""
    return time_scale(abs(duration_s)).text(duration_s)


def duration(duration_s: float) -> str:
    """What takes long, in the largest unit that it has two of: 13.1 min, 3.09 h, 61.2 days."""
    return durations(duration_s)[0]


def durations(first_s: float, *others_s: float) -> list[str]:
    """The first with its unit, the others as numbers of the same unit."""
    for unit, length_s in _LONG:
        if first_s >= 2 * length_s:
            numbers = [three_digits(one_s / length_s) for one_s in (first_s, *others_s)]
            return [f"{numbers[0]} {unit}", *numbers[1:]]
    scale = time_scale(first_s)
    return [scale.text(first_s), *map(scale.number, others_s)]


_LONG = (("days", 86400.0), ("h", 3600.0), ("min", 60.0))


def large(number: float) -> str:
    """A count with a letter for its thousands: 15T, 386B, 24.1M, 4,000."""
    for letter, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{three_digits(number / size)}{letter}"
    return count(number)


def three_digits(number: float) -> str:
    """12,300, 361, 1.91, 0.27: three digits, or all before the point."""
    decimals = max(0, 3 - len(str(int(number))))
    text = f"{number:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def gib(size_bytes: int) -> str:
    """GiB with one decimal; the text around it states the unit, once."""
    return f"{size_bytes / GIB:,.1f}"


def stored(size_bytes: int) -> str:
    """What storage holds, in decimal units: 5.67 TB, 112 GB, 0.4 GB."""
    scale, unit = (1e12, "TB") if size_bytes >= 1e12 else (1e9, "GB")
    return f"{size_bytes / scale:,.3g} {unit}"


def capacity(size_bytes: int) -> str:
    """Like `gib`, but 80 GiB is 80 and not 80.0."""
    return gib(size_bytes).removesuffix(".0")


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def at_most(share: float) -> str:
    """A bound above 0 to a hundredth of a per cent: never 0.00%, which would say that it is met."""
    return f"{max(share, SMALLEST_BOUND):.2%}"


SMALLEST_BOUND = 1e-4


def count(number: float) -> str:
    """A whole number with thousands separators."""
    return f"{number:,.0f}"


def plural(number: int, noun: str, ending: str = "s") -> str:
    """`1 node`, `64 nodes`."""
    return f"{count(number)} {noun}{'' if number == 1 else ending}"
