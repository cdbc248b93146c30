"""The nodes that results of nccl-tests show: by the list of ranks, or by NCCL's own log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from planner.importers.clusters.devices import device_named, is_exact
from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective, NodeFacts
from planner.importers.clusters.formats.nccl_rows import Rank, is_whole
from planner.importers.notes import Notes
from planner.importers.source import Source

_NCCL_HOST = re.compile(
    r"^(?:\S+: +)?([A-Za-z0-9][\w.-]*):\d+:\d+ \[(\d+)\] NCCL INFO", re.MULTILINE
)
_NCCL_CARDS = re.compile(r"NCCL INFO NET/IB : Using ((?:\[\d+\]\S+ *)+)")


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
