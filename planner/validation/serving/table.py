"""Tables of measured serving runs: comma-separated values with named columns."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.files.spelling import did_you_mean
from planner.specs.files.text_file import decode, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = (
    *("id", "model", "device", "devices", "mode", "framework", "weight_format"),
    *("input_length", "output_length", "load_kind", "load"),
)
"""Columns that every table has."""
MEASURED = (
    *("ttft_mean_ms", "ttft_median_ms", "ttft_p99_ms"),
    *("tpot_mean_ms", "tpot_median_ms", "tpot_p99_ms"),
    "output_tokens_per_s_per_device",
)
"""Columns of figures to compare; at least one of them is there."""


class RowError(Exception):
    """A row that cannot be compared, and why."""


@dataclass(frozen=True, slots=True)
class ServingRow:
    """One row: cells by column, empty where the table has none."""

    cells: dict[str, str] = field(repr=False)
    name: str
    """Its id; with its line where that does not tell it from others."""

    def text(self, column: str) -> str:
        return self.cells.get(column, "").strip()

    def number(self, column: str) -> float | None:
        """None for an empty cell. Raises: RowError."""
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise RowError(f"{column} is {text[:40]!r}, not a number") from None
        if not 0 <= value < float("inf"):
            raise RowError(f"{column} is {text[:40]!r}, not a number of 0 or more")
        return value

    def count(self, column: str) -> int | None:
        """A whole number of at least 1; None for an empty cell. Zero, which some tables write for
        an axis that is not used, is 1. Raises: RowError."""
        value = self.number(column)
        if value is None:
            return None
        if value != int(value):
            raise RowError(f"{column} is {value:g}, not a whole number")
        return max(1, int(value))

    def required(self, column: str) -> int:
        """Raises: RowError."""
        value = self.count(column)
        if value is None:
            raise RowError(f"{column} is not stated")
        if not self.number(column):
            raise RowError(f"{column} is 0")
        return value


def read_table(path: Path) -> list[ServingRow]:
    """The rows of a file. Raises: InputError when it is not a table with the needed columns."""
    text = decode(read_bytes(path), path)
    reader = csv.reader(io.StringIO(text))
    try:
        header = next(reader, [])
        rows = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise InputError(f"not a table: {error}", path=str(path), line=reader.line_num) from None
    _check_header(header, path)
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"{len(cells)} cells, the header has {len(header)}", path=str(path), line=line
            )
    ids = Counter(_id(header, cells) for _, cells in rows)
    return [
        ServingRow(dict(zip(header, cells, strict=True)), _name(_id(header, cells), line, ids))
        for line, cells in rows
    ]


def _id(header: list[str], cells: list[str]) -> str:
    return cells[header.index("id")].strip()


def _name(written: str, line: int, ids: Counter[str]) -> str:
    if not written:
        return f"line {line}"
    return written if ids[written] == 1 else f"{written} (line {line})"


def _check_header(header: list[str], path: Path) -> None:
    missing = [column for column in NEEDED if column not in header]
    if missing:
        raise InputError(
            f"not a table of serving runs: no column {missing[0]}",
            path=str(path),
            line=1,
            hint=did_you_mean(missing[0], header) or f"columns needed: {', '.join(NEEDED)}",
        )
    if not any(column in header for column in MEASURED):
        raise InputError(
            "no column of measured figures",
            path=str(path),
            line=1,
            hint=f"at least one of {', '.join(MEASURED)}",
        )
