"""nccl-tests: standard output, and what its results mean.

Columns: NVIDIA/nccl-tests `src/util.cu`; what size and bandwidth mean: `doc/PERFORMANCE.md`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
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
"""Operations of nccl-tests that training does not use, and no bandwidth is read from."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_ROW = re.compile(
    rf"(?:^|[ \t\n:>|])(?P<size>[0-9]+)[ \t]+(?P<count>[0-9]+)[ \t]+(?P<type>[a-z][a-z0-9_]+)[ \t]+"
    rf"(?:(?P<redop>[a-z]+)[ \t]+)?(?:(?P<root>-?[0-9]+)[ \t]+)?"
    rf"(?P<time>{_NUMBER})[ \t]+(?P<alg>{_NUMBER})[ \t]+(?P<bus>{_NUMBER})"
    rf"[ \t]+(?P<wrong>N/A|{_NUMBER})"
)
_HEAD = re.compile(
    r"#[ \t]+(?:size[ \t]+count|Rank[ \t]+0[ \t]|nThread|nccl-tests version)"
    r"|# Collective test starting"
)
_RANK = re.compile(
    r"#[ \t]+Rank[ \t]+(\d{1,7})[ \t]+(?:Group[ \t]+(\d{1,7})[ \t]+)?Pid[ \t]+\d+[ \t]+on[ \t]+"
    r"(\S+)[ \t]+device[ \t]+\d{1,4}[ \t]+\[[^\]\n]*\][ \t]*(.*)"
)
PROGRAM = re.compile(rf"\b({'|'.join((*OPERATIONS, *UNMODELLED))})_perf\b")
_NCCL_HOST = re.compile(
    r"^(?:\S+: +)?([A-Za-z0-9][\w.-]*):\d+:\d+ \[(\d+)\] NCCL INFO", re.MULTILINE
)
_NCCL_CARDS = re.compile(r"NCCL INFO NET/IB : Using ((?:\[\d+\]\S+ *)+)")
_ALL_TO_ALL = re.compile(r"all_?-?to_?-?all|a2a", re.IGNORECASE)
_LARGEST_ROWS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One process of a test; tests may run in several groups at once."""

    rank: int
    group: int
    host: str
    product: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    size_bytes: float
    time_us: float
    algorithm_gb_per_s: float
    bus_gb_per_s: float
    reduces: bool
    rooted: bool = False
    wrong: bool = False


def read_text(source: Source) -> ClusterFacts:
    """Standard output of one or several tests. Raises: InputError when it holds no results."""
    notes = Notes()
    tests = [_test(source, notes, part) for part in _parts(source.lines())]
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


def _parts(lines: list[str]) -> Iterator[str]:
    """The outputs of several tests: a new one starts where its head follows results."""
    part: list[str] = []
    measured = False
    for line in lines:
        if measured and _HEAD.search(line):
            yield "\n".join(part)
            part, measured = [], False
        part.append(line)
        measured = measured or _ROW.search(line) is not None
    yield "\n".join(part)


def _test(
    source: Source, notes: Notes, part: str
) -> tuple[MeasuredCollective | None, list[Rank]] | None:
    rows = _rows(part)
    if not rows:
        return None
    program = PROGRAM.search(part)
    devices = [
        Rank(rank=int(rank), group=int(group or 0), host=host, product=product.strip())
        for rank, group, host, product in _RANK.findall(part)
    ]
    name = program[1] if program else None
    return collective_of(source, notes, rows, name, devices), devices


def _rows(text: str) -> list[Row]:
    rows = []
    for match in _ROW.finditer(text):
        redop = match["redop"] or "none"
        row = Row(
            size_bytes=float(match["size"]),
            time_us=float(match["time"]),
            algorithm_gb_per_s=float(match["alg"]),
            bus_gb_per_s=float(match["bus"]),
            reduces=redop != "none",
            rooted=int(match["root"] or -1) >= 0,
            wrong=_is_wrong(match["wrong"]),
        )
        if row.size_bytes > 0 and row.time_us > 0 and row.algorithm_gb_per_s > 0:
            rows.append(row)
    return rows


def _is_wrong(text: str) -> bool:
    """Newer versions count wrong elements, older ones print the largest error, as 2e-07."""
    return text.isdigit() and int(text) > 0


def collective_of(
    source: Source,
    notes: Notes,
    rows: Sequence[Row],
    program: str | None,
    devices: Sequence[Rank],
) -> MeasuredCollective | None:
    """The longest message of a test; operation and ranks from the ratio of its two bandwidths where
    no `program` (all_reduce, …) and no list of ranks says them. None for a test that ran in several
    groups at once, and for operations that training does not use."""
    if program in UNMODELLED or (program is None and any(row.rooted for row in rows)):
        notes.left_out.append(f"a test of {program or 'an operation with a root'}")
        return None
    operation = None if program is None else OPERATIONS[program]
    longest = sorted(rows, key=lambda row: row.size_bytes)[-_LARGEST_ROWS:]
    last = longest[-1]
    groups = {device.group for device in devices}
    if len(groups) > 1:
        notes.left_out.append(
            f"a test in {len(groups)} groups at once (bus bandwidth {last.bus_gb_per_s:.4g} GB/s)"
        )
        return None
    ratio = median(row.bus_gb_per_s / row.algorithm_gb_per_s for row in longest)
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
    implied = _ranks_of(ratio, operation)
    ranks = len({device.rank for device in devices}) or implied
    if ranks is None:
        raise source.error(
            "does not say over how many devices it ran, and its bandwidths do not tell"
        )
    if not devices:
        notes.assumed.append(f"{ranks} devices (busbw / algbw = {ratio:.3f})")
    elif operation != "send" and implied is not None and abs(implied - ranks) > 0.1 * ranks:
        notes.assumed.append(
            f"{ranks} devices as listed, though busbw / algbw = {ratio:.3f} would mean {implied}"
        )
    wrong = sum(row.wrong for row in rows)
    if wrong:
        results = "result has" if wrong == 1 else "results have"
        notes.assumed.append(f"times hold although {wrong} {results} wrong elements")
    notes.read.append(
        f"{operation.replace('_', '-')} over {ranks} devices: "
        f"{last.size_bytes / 2**20:.6g} MiB in {last.time_us / 1e3:.4g} ms, "
        f"bus bandwidth {last.bus_gb_per_s:.4g} GB/s"
    )
    return MeasuredCollective(
        operation=operation,
        ranks=ranks,
        size_bytes=last.size_bytes,
        time_s=last.time_us / 1e6,
        ranks_per_node=_ranks_per_node(devices),
    )


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
    """n from 2(n-1)/n of an all-reduce or (n-1)/n of the others; None for sends, and where the
    ratio is too close to its limit to tell."""
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
    per_node = max(counts.values())
    shown = f": {products[0][:80]}" if products else ""
    notes.read.append(f"{len(devices)} devices on {len(hosts)} hosts{shown}")
    device = device_named(products[0]) if products else None
    if device and not is_exact(products[0]):
        notes.assumed.append(f"device {device} ({products[0][:80]} does not say its memory)")
    if products and device is None:
        notes.left_out.append(f"{products[0][:80]}: no device file is shipped for it")
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


def looks_like_text(text: str) -> bool:
    """Whether a text holds the header or the end of a test."""
    return (
        re.search(r"#[ \t]+size[ \t]+count[ \t]+type", text) is not None
        or "# Avg bus bandwidth" in text
        or "# nThread" in text
    )
