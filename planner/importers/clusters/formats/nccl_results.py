"""What the results of nccl-tests mean: the operation, and how many devices took part.

What size and bandwidth mean: NVIDIA/nccl-tests `doc/PERFORMANCE.md`. Rows that contradict
themselves or each other, and ranks that contradict the rows, are refused: no cluster has a
bandwidth that follows from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median

from planner.importers.clusters.facts import MeasuredCollective, Operation
from planner.importers.clusters.formats.nccl_rows import Rank, Row, is_whole, longest_rows
from planner.importers.notes import Notes
from planner.importers.source import Source

OPERATIONS: dict[str, Operation] = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
    "all_to_all": "all_to_all",
    "sendrecv": "send",
}
UNMODELLED = ("broadcast", "reduce", "gather", "scatter", "hypercube")
"""Operations of nccl-tests that training does not use; no bandwidth is read from them."""

_ALL_TO_ALL = re.compile(r"all_?-?to_?-?all|a2a", re.IGNORECASE)


def collective_of(
    source: Source,
    notes: Notes,
    rows: Sequence[Row],
    program: str | None,
    devices: Sequence[Rank],
    *,
    ranks: int | None = None,
) -> MeasuredCollective | None:
    """The longest message of a test. Where neither `program` (all_reduce, …), nor a list of ranks,
    nor the user's `ranks` states operation and ranks, they follow from the ratio of its two
    bandwidths. None for a test that ran in several groups at once, and for operations that training
    does not use.

    Raises: InputError for contradictions.
    """
    if program in UNMODELLED or (program is None and any(row.rooted for row in rows)):
        notes.left_out.append(f"a test of {program or 'an operation with a root'}")
        return None
    operation = None if program is None else OPERATIONS[program]
    longest = longest_rows(source, rows)
    last = longest[-1]
    groups = {device.group for device in devices}
    if len(groups) > 1:
        notes.left_out.append(
            f"a test in {len(groups)} groups at once (bus bandwidth {last.bus_gb_per_s:.4g} GB/s)"
        )
        return None
    ratio = median(row.ratio for row in longest)
    if operation is None:
        operation = _operation_of(ratio, reduces=last.reduces)
        if operation == "all_gather" and _ALL_TO_ALL.search(source.name):
            operation = "all_to_all"
        alike = {
            "all_gather": "; an all-to-all would look the same",
            "all_to_all": ", and the file's name",
        }
        notes.assumed.append(
            f"the operation is {operation.replace('_', '-')} (busbw / algbw"
            f"{alike.get(operation, '')})"
        )
    number = _ranks(source, notes, devices, ranks, ratio, operation, last)
    wrong = sum(row.wrong for row in rows)
    if wrong:
        results = "result has" if wrong == 1 else "results have"
        notes.assumed.append(f"times hold although {wrong} {results} wrong elements")
    notes.read.append(
        f"{operation.replace('_', '-')} over {number} devices: "
        f"{last.size_bytes / 2**20:.6g} MiB in {last.time_us / 1e3:.4g} ms, "
        f"bus bandwidth {last.bus_gb_per_s:.4g} GB/s"
    )
    return MeasuredCollective(
        operation=operation,
        ranks=number,
        size_bytes=last.size_bytes,
        time_s=last.time_us / 1e6,
        ranks_per_node=_ranks_per_node(devices) if is_whole(devices) else None,
    )


def _ranks(
    source: Source,
    notes: Notes,
    devices: Sequence[Rank],
    stated: int | None,
    ratio: float,
    operation: Operation,
    last: Row,
) -> int:
    """How many devices took part: as the user states, as listed, or as the two bandwidths imply.

    Raises: InputError where these contradict each other, and where none of them says it.
    """
    implied = _ranks_of(ratio, operation)
    listed = len({device.rank for device in devices})
    least = max((device.rank for device in devices), default=0) + 1
    said = f"busbw / algbw = {ratio:.3f} means {implied}"
    tells = implied is not None and operation != "send"
    if stated is not None:
        if tells and not _near(stated, implied):
            raise source.error(f"--ranks {stated}, but {said}", last.line)
        if stated < least:
            raise source.error(f"--ranks {stated}, but it lists rank {least - 1}", last.line)
        return stated
    if is_whole(devices):
        if tells and not _near(listed, implied):
            raise source.error(
                f"lists {listed} devices, but {said}",
                last.line,
                hint="--ranks says how many took part",
            )
        return listed
    if devices and (implied is None or operation == "send" or implied < 0.97 * least):
        raise source.error(
            f"lists {listed} devices up to rank {least - 1}: its list of ranks was cut",
            last.line,
            hint="--ranks N says how many took part",
        )
    if implied is None:
        raise source.error(
            "does not say over how many devices it ran, and its bandwidths do not tell",
            last.line,
            hint="give --ranks N",
        )
    number = max(implied, least)
    cut = f"; its list of ranks was cut to {listed}" if devices else ""
    notes.assumed.append(f"{number} devices (busbw / algbw = {ratio:.3f}{cut})")
    return number


def _near(ranks: int, implied: int | None) -> bool:
    """Whether a ratio that implies `implied` ranks is that of `ranks`, within the printed
    digits.
    """
    return implied is not None and abs(implied - ranks) <= 0.1 * ranks


def _ranks_per_node(devices: Sequence[Rank]) -> int | None:
    """None where hosts took part with different numbers, or no list of ranks says it."""
    counts = set(Counter(device.host for device in devices).values())
    return counts.pop() if len(counts) == 1 else None


def _operation_of(ratio: float, *, reduces: bool) -> Operation:
    if ratio > 1.0005:
        return "all_reduce"
    if reduces:
        return "reduce_scatter" if ratio < 0.9995 else "all_reduce"
    return "all_gather" if ratio < 0.9995 else "send"


def _ranks_of(ratio: float, operation: Operation) -> int | None:
    """n, from the ratio 2(n-1)/n of an all-reduce or (n-1)/n of the others. None for sends, and
    where the ratio is too close to its limit."""
    if operation == "send":
        return 2
    share = ratio / 2 if operation == "all_reduce" else ratio
    rest = 1 - share
    if not 0.0015 <= rest <= 0.51:
        return None
    return round(1 / rest)
