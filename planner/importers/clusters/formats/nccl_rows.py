"""The rows and the list of ranks that a test of nccl-tests prints, and what they must agree in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.importers.source import Source

_LARGEST_ROWS = 3
_ROUNDING_GB_PER_S = 0.011
"""Bandwidths are printed with two decimals."""
_TOLERANCE = 0.03
"""Times are printed with four digits: half a per cent of rounding, and some noise of the
average."""
_APART = 1.5
"""Two times of one size that differ by more come from different runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One process of a test; tests may run in several groups at once. `index` is the device's
    number on its host."""

    rank: int
    group: int
    host: str
    product: str
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One size. `line` is its line in the file; None in a report, which has no lines."""

    size_bytes: float
    time_us: float
    algorithm_gb_per_s: float
    bus_gb_per_s: float
    reduces: bool
    rooted: bool = False
    wrong: bool = False
    line: int | None = None

    @property
    def agrees(self) -> bool:
        """Whether its bandwidth equals its size divided by its time."""
        expected = self.size_bytes / self.time_us / 1e3
        off = abs(expected - self.algorithm_gb_per_s)
        return off <= _ROUNDING_GB_PER_S + _TOLERANCE * max(expected, self.algorithm_gb_per_s)

    @property
    def ratio(self) -> float:
        return self.bus_gb_per_s / self.algorithm_gb_per_s


def is_whole(devices: Sequence[Rank]) -> bool:
    """Whether a list of ranks has all ranks from 0 on; a log whose start was cut off does not."""
    ranks = {device.rank for device in devices}
    return bool(ranks) and max(ranks) + 1 == len(ranks)


def longest_rows(source: Source, rows: Sequence[Row]) -> list[Row]:
    """The rows of the largest sizes, one for each size; they agree with themselves and with each
    other."""
    sizes = sorted({row.size_bytes for row in rows})[-_LARGEST_ROWS:]
    longest = []
    for size in sizes:
        same = sorted((row for row in rows if row.size_bytes == size), key=lambda row: row.time_us)
        for row in same:
            if not row.agrees:
                raise source.error(
                    f"{row.size_bytes:.15g} bytes in {row.time_us:g} us are "
                    f"{row.size_bytes / row.time_us / 1e3:.4g} GB/s, and its algbw says "
                    f"{row.algorithm_gb_per_s:g}; were columns moved?",
                    row.line,
                )
        slow, fast = same[-1], same[0]
        if slow.time_us > _APART * fast.time_us:
            raise source.error(
                f"{size:.15g} bytes take {slow.time_us:g} us here and {fast.time_us:g} us "
                "elsewhere",
                slow.line,
                hint="keep the rows of the run that counts",
            )
        longest.append(same[len(same) // 2])
    first, last = min(longest, key=_ratio), max(longest, key=_ratio)
    spread = 2 * _ROUNDING_GB_PER_S / min(row.algorithm_gb_per_s for row in longest) + _TOLERANCE
    if last.ratio - first.ratio > spread:
        raise source.error(
            f"busbw / algbw is {last.ratio:.3f} here and {first.ratio:.3f} elsewhere: rows of "
            "different numbers of devices, or of different operations",
            last.line,
            hint="import one test at a time",
        )
    return longest


def _ratio(row: Row) -> float:
    return row.ratio
