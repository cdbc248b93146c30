"""nccl-tests and rccl-tests: standard output, of any version.

Columns: NVIDIA/nccl-tests `src/util.cu`. Before 2.11 there was no column `root`, and a row can be
read both with a root and without one; whether size, time and bandwidth agree decides between the
two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective
from planner.importers.clusters.formats.nccl_nodes import facts_of
from planner.importers.clusters.formats.nccl_results import OPERATIONS, UNMODELLED, collective_of
from planner.importers.clusters.formats.nccl_rows import Rank, Row
from planner.importers.notes import Notes
from planner.importers.source import Source

_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?"
_ROW = re.compile(
    r"(?:^|[ \t:>|])(?P<size>[0-9]{1,20})[ \t]+[0-9]{1,20}[ \t]+[a-z][a-z0-9_]{1,20}[ \t]+"
    r"(?:(?P<redop>[a-z]{1,20})[ \t]+)?"
    rf"(?P<numbers>-?{_NUMBER}(?:[ \t]+(?:N/A|-?{_NUMBER})){{3,9}})"
)
_HEAD = re.compile(
    r"(?:#|^|[:>|])[ \t]*"
    r"(?:size[ \t]+count[ \t]+type|Rank[ \t]+0[ \t]|nThread[ \t]|nccl-tests version)"
    r"|# Collective test starting"
)
_RANK = re.compile(
    r"\bRank[ \t]+(\d{1,7})[ \t]+(?:Group[ \t]+(\d{1,7})[ \t]+)?Pid[ \t]+\d+[ \t]+on[ \t]+"
    r"(\S+)[ \t]+device[ \t]+(\d{1,4})[ \t]+\[[^\]\n]*\][ \t]*(.*)"
)
PROGRAM = re.compile(rf"\b({'|'.join((*OPERATIONS, *UNMODELLED))})_perf\b")
_WITH_ROOT = re.compile(r"\bsize[ \t]+count[ \t]+type[ \t]+(?:redop[ \t]+)?root\b")


@dataclass(frozen=True, slots=True)
class _Line:
    """A row as printed: the words after the reduction; the first of them may be a root."""

    line: int
    size: float
    redop: str
    words: tuple[str, ...]

    def row(self, *, with_root: bool) -> Row | None:
        """None where there are too few words, or time or bandwidth is 0."""
        words = self.words[1:] if with_root else self.words
        if len(words) < 3 or "N/A" in words[:3]:
            return None
        time, algorithm, bus = map(float, words[:3])
        if not (self.size > 0 and time > 0 and algorithm > 0):
            return None
        return Row(
            size_bytes=self.size,
            time_us=time,
            algorithm_gb_per_s=algorithm,
            bus_gb_per_s=bus,
            reduces=self.redop != "none",
            rooted=with_root and not self.words[0].startswith("-"),
            wrong=len(words) > 3 and _is_wrong(words[3]),
            line=self.line,
        )


def read_text(source: Source, *, ranks: int | None = None) -> ClusterFacts:
    """Standard output of one or several tests, each over `ranks` devices if the user states that.
    Raises: InputError when it holds no results."""
    notes = Notes()
    tests = [_test(source, notes, part, ranks) for part in _parts(source.lines())]
    found = [test for test in tests if test is not None]
    if not found:
        raise source.error(
            "holds no results of nccl-tests (size, count, type, …, time, algbw, busbw)"
        )
    devices = {rank: rank for _, listed in found for rank in listed}
    collectives = [collective for collective, _ in found if collective is not None]
    return facts_of(
        source, "nccl-tests output", notes, devices=list(devices), collectives=collectives
    )


def _parts(lines: list[str]) -> Iterator[list[tuple[int, str]]]:
    """The numbered lines of several tests: a new one starts where its head follows results."""
    part: list[tuple[int, str]] = []
    measured = False
    for number, line in enumerate(lines, start=1):
        if measured and _HEAD.search(line):
            yield part
            part, measured = [], False
        part.append((number, line))
        measured = measured or _ROW.search(line) is not None
    yield part


def _test(
    source: Source, notes: Notes, part: Sequence[tuple[int, str]], ranks: int | None
) -> tuple[MeasuredCollective | None, list[Rank]] | None:
    text = "\n".join(line for _, line in part)
    rows = _rows(part, has_root=_WITH_ROOT.search(text) is not None)
    if not rows:
        return None
    program = PROGRAM.search(text)
    devices = [
        Rank(
            rank=int(rank),
            group=int(group or 0),
            host=host,
            product=product.strip(),
            index=int(index),
        )
        for rank, group, host, index, product in _RANK.findall(text)
    ]
    _refuse_alone(source, part[0][0], devices)
    name = program[1] if program else None
    return collective_of(source, notes, rows, name, devices, ranks=ranks), devices


def _refuse_alone(source: Source, line: int, devices: Sequence[Rank]) -> None:
    """Processes that each believe to be rank 0 test nothing but themselves."""
    several = len({(one.group, one.host, one.index) for one in devices}) > 1
    if several and {one.rank for one in devices} == {0} and len({o.group for o in devices}) == 1:
        raise source.error(
            f"lists rank 0 {len(devices)} times: every process tested by itself",
            line,
            hint="build nccl-tests with MPI=1, so that its processes find each other",
        )


def _rows(part: Sequence[tuple[int, str]], *, has_root: bool) -> list[Row]:
    """All rows, read with a column for the root or without it: as the header says, or in the way in
    which more rows are consistent."""
    found = [
        _Line(number, float(m["size"]), m["redop"] or "none", tuple(m["numbers"].split()))
        for number, line in part
        for m in _ROW.finditer(line)
    ]
    ways = [
        [row for one in found if (row := one.row(with_root=with_root)) is not None]
        for with_root in (True, False)
    ]
    if has_root:
        return ways[0]
    return max(ways, key=lambda rows: sum(row.agrees for row in rows))


def _is_wrong(text: str) -> bool:
    """Newer versions count wrong elements; older ones print the largest error, as 2e-07."""
    return text.isdigit() and int(text) > 0


def looks_like_text(text: str) -> bool:
    """Whether a text holds the header or the end of a test."""
    return (
        re.search(r"\bsize[ \t]+count[ \t]+type[ \t]", text) is not None
        or "# Avg bus bandwidth" in text
        or "# nThread" in text
    )
