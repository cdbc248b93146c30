"""Megatron-LM's GPU sniff test (`megatron/training/gpu_sniff_test.py`), alone or in a training
log."""

from __future__ import annotations

import re

from planner.importers.clusters.devices import device_named, is_exact
from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective, NodeFacts, Operation
from planner.importers.notes import Notes, listed
from planner.importers.source import Source

_FIGURES = r"median=(?P<median>[0-9.]+), mean=[0-9.]+, min=(?P<min>[0-9.]+), max=(?P<max>[0-9.]+)"
_GEMM = re.compile(
    rf"GEMM throughput \((?P<shape>\d+x\d+x\d+), (?P<type>\w+)[^)]*\) \[TFLOP/s/GPU\]: {_FIGURES}"
)
_GROUP = re.compile(
    rf"(?P<name>All-reduce|Reduce-scatter|All-to-all) busbw \((?P<group>[^,]+), "
    rf"size=(?P<size>\d{{1,7}}), (?P<megabytes>\d{{1,6}}) MB\) \[GB/s\]: {_FIGURES}"
)
_SEND = re.compile(
    rf"Send/recv busbw \((?P<group>[^,]+), (?P<megabytes>\d{{1,6}}) MB, e\.g\., rank "
    rf"(?P<one>\d{{1,7}}) <-> rank (?P<other>\d{{1,7}})\) \[GB/s\]: {_FIGURES}"
)
_OUTLIER = re.compile(r"OUTLIER rank (\d{1,7})(?: \(([^)]+)\))?: [0-9.]+ \(([+-][0-9.]+%)\)")
_HEAD = re.compile(r"world_size=(\d{1,7}), ep_size=(\d{1,7}), tp_size=(\d{1,7})")
_DEVICE = re.compile(r"CUDA device: (.+)")
_SIZES = {268: 256 * 2**20, 1: 2**20}
"""Bytes of a message, by the megabytes printed (`MSG_SIZES`)."""

_OPERATIONS: dict[str, Operation] = {
    "All-reduce": "all_reduce",
    "Reduce-scatter": "reduce_scatter",
    "All-to-all": "all_to_all",
}


def looks_like_sniff_test(text: str) -> bool:
    return _GEMM.search(text) is not None or _GROUP.search(text) is not None


def read_sniff_test(source: Source) -> ClusterFacts:
    """Raises: InputError for figures that are impossible."""
    text, notes = source.text, Notes()
    collectives = [
        one for match in _GROUP.finditer(text) if (one := _collective(match)) is not None
    ]
    longest = [one for one in collectives if one.size_bytes > 2**20]
    for one in longest:
        notes.read.append(
            f"{one.operation.replace('_', '-')} over {one.ranks} devices: "
            f"{one.size_bytes / 2**20:.4g} MiB in {one.time_s * 1e3:.4g} ms"
        )
    for match in _GEMM.finditer(text):
        notes.left_out.append(
            f"GEMM {match['shape']} {match['type']}: {match['median']} TFLOP/s "
            f"({match['min']} to {match['max']}); device speed is the device file's (planner "
            "calibrate)"
        )
    if _SEND.search(text):
        notes.left_out.append("send and receive between pairs")
    outliers = [
        f"rank {rank}{f' on {host}' if host else ''} {off}"
        for rank, host, off in _OUTLIER.findall(text)
    ]
    if outliers:
        notes.left_out.append(f"devices that differ from the others: {listed(outliers)}")
    if len(longest) < len(collectives):
        notes.left_out.append("times of 1 MB messages: latencies are those of the device file")
    if not collectives and not _GEMM.search(text):
        raise source.error("holds no figures of the sniff test")
    return ClusterFacts(
        path=source.path,
        kind="GPU sniff test",
        sha256=source.sha256,
        notes=notes,
        nodes=_nodes(text, notes),
        collectives=tuple(longest),
    )


def _nodes(text: str, notes: Notes) -> tuple[NodeFacts, ...]:
    """The device, and the devices of a node where the run says it used whole nodes."""
    head, product = _HEAD.search(text), _DEVICE.search(text)
    name = product[1].strip()[:100] if product else ""
    device = device_named(name)
    per_node = None
    if head is not None and head[2] == head[3] and int(head[1]) % int(head[2] or 1) == 0:
        per_node = int(head[2]) if 1 <= int(head[2]) <= 1024 else None
        if per_node:
            notes.assumed.append(f"{per_node} devices per node (ep_size and tp_size of the run)")
    if name:
        notes.read.append(f"devices: {name}")
    if device and not is_exact(name):
        notes.assumed.append(f"device {device} ({name} does not say its memory)")
    if name and device is None:
        notes.left_out.append(f"{name}: no device file is shipped for it")
    if device is None and per_node is None:
        return ()
    return (NodeFacts(device=device, devices_per_node=per_node),)


def _collective(match: re.Match[str]) -> MeasuredCollective | None:
    """Seconds from the median bus bandwidth: 2(n-1)/n or (n-1)/n of the buffer at that rate."""
    ranks, bus = int(match["size"]), _number(match["median"])
    if ranks < 2 or bus is None:
        return None
    megabytes = int(match["megabytes"])
    size_bytes = float(_SIZES.get(megabytes, megabytes * 10**6))
    operation = _OPERATIONS[match["name"]]
    around = (2 if operation == "all_reduce" else 1) * (ranks - 1) / ranks * size_bytes
    return MeasuredCollective(
        operation=operation, ranks=ranks, size_bytes=size_bytes, time_s=around / (bus * 1e9)
    )


def _number(text: str) -> float | None:
    """A positive figure, or None."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) is None:
        return None
    return float(text) or None
