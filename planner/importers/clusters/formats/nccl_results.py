"""What the results of nccl-tests mean: the operation, how many devices took part, which nodes.

What size and bandwidth mean: NVIDIA/nccl-tests `doc/PERFORMANCE.md`. Rows that contradict
themselves or each other, and ranks that contradict the rows, are refused: no cluster has a
bandwidth that follows from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from planner.importers.clusters.devices import device_named, is_exact
from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective, NodeFacts, Operation
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

_NCCL_HOST = re.compile(
    r"^(?:\S+: +)?([A-Za-z0-9][\w.-]*):\d+:\d+ \[(\d+)\] NCCL INFO", re.MULTILINE
)
_NCCL_CARDS = re.compile(r"NCCL INFO NET/IB : Using ((?:\[\d+\]\S+ *)+)")
_ALL_TO_ALL = re.compile(r"all_?-?to_?-?all|a2a", re.IGNORECASE)
_LARGEST_ROWS = 3
_ROUNDING_GB_PER_S = 0.011
"""Bandwidths are printed with two decimals."""
_TOLERANCE = 0.03
"""Times are printed with four digits: half a per cent of rounding, and some noise of the
average.
"""
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
    longest = _longest(source, rows)
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


def _longest(source: Source, rows: Sequence[Row]) -> list[Row]:
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


def is_whole(devices: Sequence[Rank]) -> bool:
    """Whether a list of ranks has all ranks from 0 on; a log whose start was cut off does not."""
    ranks = {device.rank for device in devices}
    return bool(ranks) and max(ranks) + 1 == len(ranks)


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

    Raises: InputError where they contradict each other, and where nothing says it.
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


def facts_of(
    source: Source,
    kind: str,
    notes: Notes,
    *,
    devices: Sequence[Rank],
    collectives: Sequence[MeasuredCollective],
) -> ClusterFacts:
    """Nodes as the list of ranks shows them, or else as NCCL's own log lines do.

    Raises: InputError for a run over devices of different kinds.
    """
    node, hosts = _from_ranks(source, notes, devices) if devices else _from_log(source, notes)
    notes.left_out.append("times of short messages: latencies are those of the device file")
    return ClusterFacts(
        path=source.path,
        kind=kind,
        sha256=source.sha256,
        notes=notes,
        nodes=() if node is None else (node,),
        measured_on=hosts,
        collectives=tuple(collectives),
    )


def _from_ranks(
    source: Source, notes: Notes, devices: Sequence[Rank]
) -> tuple[NodeFacts | None, tuple[str, ...]]:
    in_order = sorted(devices, key=lambda device: device.rank)
    hosts = tuple(dict.fromkeys(device.host for device in in_order))
    counts = Counter(host for host, _ in {(device.host, device.rank) for device in devices})
    products = list(dict.fromkeys(device.product for device in in_order if device.product))
    if len(products) > 1:
        raise source.error_naming(
            f"ran on different devices: {', '.join(products[:4])}", *reversed(products)
        )
    shown = f": {products[0][:80]}" if products else ""
    device = device_named(products[0]) if products else None
    if device and not is_exact(products[0]):
        notes.assumed.append(f"device {device} ({products[0][:80]} does not say its memory)")
    if products and device is None:
        notes.left_out.append(f"{products[0][:80]}: no device file is shipped for it")
    per_node = max(counts.values())
    if not is_whole(devices):
        notes.read.append(f"the last {len(devices)} of a list of ranks{shown}")
        numbers = [device.index for device in devices if device.index is not None]
        seen = per_node if numbers and max(numbers) + 1 == per_node else None
        return NodeFacts(device=device, devices_per_node=seen), ()
    notes.read.append(f"{len(devices)} devices on {len(hosts)} hosts{shown}")
    return NodeFacts(device=device, devices_per_node=per_node), hosts


def _from_log(source: Source, notes: Notes) -> tuple[NodeFacts | None, tuple[str, ...]]:
    """Hosts and network cards from lines of NCCL_DEBUG=INFO, if there are any."""
    found = set(_NCCL_HOST.findall(source.text))
    if not found:
        return None, ()
    counts = Counter(host for host, _ in found)
    per_node = max(counts.values())
    cards = _NCCL_CARDS.search(source.text)
    number = cards[1].count("[") if cards else None
    shown = f" and {number} network cards" if number else ""
    notes.read.append(f"{len(counts)} hosts with {per_node} devices{shown}, from NCCL's log")
    return NodeFacts(devices_per_node=per_node, cards=number), tuple(sorted(counts))
