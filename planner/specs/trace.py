"""Traces of serving requests: when each came, and how long its prompt and its answer were.

Three published formats are read, told apart by their first line:

    Mooncake   JSON lines with timestamp (ms), input_length, output_length, hash_ids of blocks of
               512 tokens (kvcache-ai/Mooncake, FAST25-release/README.md)
    Azure      a table of TIMESTAMP, ContextTokens, GeneratedTokens
               (Azure/AzurePublicDataset, AzureLLMInferenceDataset2023.md)
    BurstGPT   a table of Timestamp (s), Model, Request tokens, Response tokens, …
               (HPMLL/BurstGPT, README.md)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, NoReturn

from planner.errors import InputError
from planner.specs.files.text_file import decode, read_bytes
from planner.specs.ranges import LONGEST_SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MOST_REQUESTS = 10_000
"""Requests of a trace that are read: its first ones. Each is simulated."""
BLOCK_TOKENS = 512
"""Of one hash id in a Mooncake trace."""
_DIGITS = 10
_LARGEST_BYTES = 2**28
_MOST_IDS = LONGEST_SEQUENCE // BLOCK_TOKENS
_AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_BURSTGPT = ("Timestamp", "Request tokens", "Response tokens")
_FORMATS = (
    f"JSON lines of Mooncake, or a table with columns {', '.join(_AZURE)} or {', '.join(_BURSTGPT)}"
)


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """One request: seconds after the first one, tokens, and what names the blocks of its
    prompt."""

    at_s: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Requests in the order they came. `empty`: lines without tokens of a prompt or an answer,
    which are left out; `cut`: the file has more requests than were read."""

    format: str
    requests: tuple[TracedRequest, ...]
    empty: int
    cut: bool

    @property
    def has_blocks(self) -> bool:
        """Whether requests name the blocks of their prompts."""
        return any(one.blocks for one in self.requests)

    @property
    def seconds(self) -> float:
        """From the first request to the last."""
        return self.requests[-1].at_s

    @property
    def rate_per_s(self) -> float:
        """Mean; infinite where all came at once."""
        gaps = len(self.requests) - 1
        return gaps / self.seconds if self.seconds else float("inf")


class _Line:
    """One line of a file, which can fail at a column."""

    def __init__(self, path: Path, number: int, text: str) -> None:
        self.path, self.number, self.text = path, number, text

    def fail(self, message: str, column: int = 1, *, hint: str | None = None) -> NoReturn:
        """Raises: InputError."""
        raise InputError(message, path=self.path, line=self.number, column=column, hint=hint)


def read_trace(path: Path) -> Trace:
    """The requests of a file. Raises: InputError."""
    rows = read_bytes(path, largest=_LARGEST_BYTES).split(b"\n", MOST_REQUESTS + 1)
    text = decode(b"\n".join(rows[: MOST_REQUESTS + 1]), path)
    lines = [_Line(path, at, one.rstrip("\r")) for at, one in enumerate(text.split("\n"), 1)]
    if not lines[0].text.strip():
        lines[0].fail("a trace begins with its first request or with names of columns")
    reader: Callable[[_Line], TracedRequest]
    if lines[0].text.lstrip().startswith("{"):
        name, reader, body = "Mooncake", _mooncake, lines[:MOST_REQUESTS]
    else:
        reader = table = _table(lines[0])
        name, body = table.format, lines[1:]
    found = [(line, reader(line)) for line in body if line.text.strip()]
    kept = _in_order(found)
    if not kept:
        lines[-1].fail("the trace has no request with tokens of a prompt and of an answer")
    first_s = kept[0].at_s
    return Trace(
        format=name,
        requests=tuple(
            TracedRequest(one.at_s - first_s, one.input_tokens, one.output_tokens, one.blocks)
            for one in kept
        ),
        empty=len(found) - len(kept),
        cut=len(rows) > len(body) + (name != "Mooncake") and bool(rows[-1].strip()),
    )


def _in_order(found: Sequence[tuple[_Line, TracedRequest]]) -> list[TracedRequest]:
    """Those with tokens. Raises: InputError for one that came before the line above."""
    before_s = float("-inf")
    for line, one in found:
        if one.at_s < before_s:
            line.fail("comes before the request above it; a trace is in order of time")
        before_s = one.at_s
    return [one for _, one in found if one.input_tokens and one.output_tokens]


def _mooncake(line: _Line) -> TracedRequest:
    try:
        given = json.loads(line.text)
    except (ValueError, RecursionError) as error:
        column = error.colno if isinstance(error, json.JSONDecodeError) else 1
        line.fail("not a JSON object in one line", column)
    if not isinstance(given, dict):
        line.fail("not a JSON object in one line")

    def field(name: str, most: float) -> float:
        at = max(0, line.text.find(f'"{name}"')) + 1
        if name not in given:
            line.fail(
                f"{name} is missing",
                hint="a request has timestamp (ms), input_length, output_length",
            )
        value = given[name]
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (name == "timestamp" and isinstance(value, float))):
            line.fail(f"{name} is a number, found {json.dumps(value)[:40]}", at)
        if not 0 <= value <= most:
            line.fail(f"{name} is from 0 to {most:,.0f}, found {value}", at)
        return float(value)

    ids = given.get("hash_ids", [])
    if (
        not isinstance(ids, list)
        or len(ids) > _MOST_IDS
        or any(type(one) is not int for one in ids)
    ):
        at = line.text.find('"hash_ids"') + 1
        line.fail("hash_ids is a list of whole numbers, one for each block of the prompt", at)
    return TracedRequest(
        at_s=field("timestamp", 1e15) / 1e3,
        input_tokens=int(field("input_length", LONGEST_SEQUENCE)),
        output_tokens=int(field("output_length", LONGEST_SEQUENCE)),
        blocks=tuple(ids),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table: its columns of time, prompt and answer (`names`), and where they stand of all."""

    format: str
    names: tuple[str, str, str]
    places: tuple[int, ...]
    width: int
    clock: Callable[[str], float | None]

    def __call__(self, line: _Line) -> TracedRequest:
        """One request. Raises: InputError."""
        cells = line.text.split(",")
        if len(cells) != self.width:
            line.fail(f"{len(cells)} cells, the header has {self.width}")
        columns = [sum(len(one) + 1 for one in cells[:place]) + 1 for place in self.places]
        when, *counts = (cells[place].strip() for place in self.places)
        at_s = self.clock(when)
        if at_s is None:
            kind = "a date and time" if self.clock is _date_s else "a number of seconds"
            line.fail(f"{self.names[0]} is {kind}, found {when[:40]!r}", columns[0])
        for name, text, column in zip(self.names[1:], counts, columns[1:], strict=True):
            if not (text.isascii() and text.isdigit()):
                line.fail(f"{name} is a whole number, found {text[:40]!r}", column)
            if len(text) > _DIGITS or int(text) > LONGEST_SEQUENCE:
                line.fail(f"{name} is at most {LONGEST_SEQUENCE:,}, found {text[:40]}", column)
        prompt, answer = map(int, counts)
        return TracedRequest(at_s, prompt, answer)


def _table(header: _Line) -> _Table:
    """How the lines of a table are read. Raises: InputError."""
    columns = [one.strip() for one in header.text.split(",")]
    for name, names, clock in (("Azure", _AZURE, _date_s), ("BurstGPT", _BURSTGPT, _number_s)):
        if names[0] in columns:
            missing = [one for one in names if one not in columns]
            if missing:
                header.fail(f"no column {missing[0]}", hint=f"columns needed: {', '.join(names)}")
            return _Table(
                format=name,
                names=names,
                places=tuple(columns.index(one) for one in names),
                width=len(columns),
                clock=clock,
            )
    return header.fail(f"not a trace that is known: {_FORMATS}")


def _date_s(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _number_s(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if isfinite(found) and found >= 0 else None
