"""NCCL and RCCL topology files (`NCCL_TOPO_DUMP_FILE`, `NCCL_TOPO_FILE`): one node as they see it.

Elements: nccl `src/graph/xml.h`; RCCL adds `gcn`, the gfx target, and `xgmi`. Files that clouds
ship for their virtual machines list PCI devices only.
"""

from __future__ import annotations

import re

from planner.importers.clusters.devices import (
    device_of_capability,
    device_of_gfx,
    device_of_pci,
    is_listed,
)
from planner.importers.clusters.facts import ClusterFacts, NodeFacts
from planner.importers.clusters.formats.xml import Element, parse_xml
from planner.importers.notes import Notes
from planner.importers.source import Source

MOST_DEVICES = 1024

_DISPLAY = ("0x0300", "0x0302")
_PROCESSING = "0x1200"
"""The class of AMD's devices, and of accelerators that are not for training."""
_NETWORK = ("0x0207", "0x0200")
"""InfiniBand; Ethernet, of which one card is for logging in, counts only without it."""
_PCIE_BYTES_PER_S = {"2.5": 0.25e9, "5": 0.5e9, "8": 0.985e9, "16": 1.969e9, "32": 3.938e9,
                     "64": 7.563e9}  # fmt: skip
"""Of one lane in one direction, by its GT/s."""


def read_xml(source: Source) -> ClusterFacts:
    """Raises: InputError."""
    root = parse_xml(source)
    system = next((child for child in root.children if child.tag == "system"), None)
    if system is None:
        raise source.error("is not a topology: the outermost element is not <system>")
    notes = Notes()
    hosts = {cpu.attributes.get("host_hash", "") for cpu in system.within("cpu")} - {""}
    gpus = list(system.within("gpu"))
    count = len(gpus) or sum(map(_is_device, system.within("pci")))
    nodes = max(1, len(hosts))
    if not 1 <= count <= MOST_DEVICES * nodes:
        raise source.error("holds no device")
    if nodes > 1:
        notes.assumed.append(f"{nodes} hosts of equal nodes, by their hashes")
    if count % nodes:
        raise source.error(f"{count} devices on {nodes} hosts")
    per_node = count // nodes
    notes.read.append(f"{per_node} devices in a node")
    stated, likely, because = _device(source, system, gpus)
    links = _links(source, gpus, notes)
    bandwidth, basis = (None, "") if links else _slot(system)
    cards, card_bytes_per_s = _cards(source, system, nodes, notes)
    node = NodeFacts(
        device=stated,
        likely_device=likely,
        because=because,
        devices_per_node=per_node,
        whole=True,
        nvlinks=links,
        intra_node_bytes_per_s=bandwidth,
        basis=basis,
        over_pcie=bandwidth is not None,
        cards=cards,
        card_bytes_per_s=card_bytes_per_s,
    )
    return ClusterFacts(
        path=source.path,
        kind="NCCL topology",
        sha256=source.sha256,
        notes=notes,
        nodes=(node,),
    )


def _whole(source: Source, element: Element, name: str) -> int | None:
    text = element.attributes.get(name)
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise source.error(
            f"{element.tag} {name}={text[:40]!r} is not a whole number",
            element.line,
            element.column,
        )
    return int(text)


def _is_device(pci: Element) -> bool:
    """Whether a PCI device is one that trains: a display or 3D controller, or an accelerator with a
    known ID."""
    kind = pci.attributes.get("class", "")
    return kind.startswith(_DISPLAY) or (kind.startswith(_PROCESSING) and is_listed(*_pci_id(pci)))


def _pci_id(pci: Element) -> tuple[str, str]:
    return pci.attributes.get("vendor", ""), pci.attributes.get("device", "")


def _device(
    source: Source, system: Element, gpus: list[Element]
) -> tuple[str | None, str | None, str]:
    """The device that the PCI IDs state, or the device that compute capability or gfx target
    suggest, and why.

    Raises: InputError for devices of different kinds in one node.
    """
    parts = [pci for pci in system.within("pci") if _holds_device(pci)]
    stated = {device_of_pci(*_pci_id(pci)) for pci in parts if is_listed(*_pci_id(pci))}
    if len(stated) > 1:
        shown = ", ".join(sorted(str(one) for one in stated))
        raise source.error(f"devices of different kinds in a node: {shown}")
    if stated:
        part = next(pci for pci in parts if is_listed(*_pci_id(pci)))
        unknown = f"no device file is shipped for PCI ID {':'.join(_pci_id(part))}"
        return next(iter(stated)), None, unknown
    targets = {gpu.attributes["gcn"] for gpu in gpus if "gcn" in gpu.attributes}
    if len(targets) > 1:
        raise source.error(f"devices of different kinds in a node: {', '.join(sorted(targets))}")
    if targets:
        target = targets.pop()
        return None, device_of_gfx(target), f"gcn {target[:20]} does not say more"
    capability = _capability(source, gpus)
    likely = device_of_capability(capability) if capability else None
    return None, likely, f"sm {capability} does not say its memory"


def _holds_device(pci: Element) -> bool:
    """Whether a PCI device is a device itself; the bridges above it are not."""
    return _is_device(pci) or any(child.tag == "gpu" for child in pci.children)


def _capability(source: Source, gpus: list[Element]) -> int | None:
    found = {_whole(source, gpu, "sm") for gpu in gpus} - {None}
    if len(found) > 1:
        shown = ", ".join(sorted(map(str, found)))
        raise source.error(f"devices of different kinds in a node: sm {shown}")
    return next(iter(found), None)


def _links(source: Source, gpus: list[Element], notes: Notes) -> int | None:
    """NVLinks or xGMI links of one device, all its partners together."""
    kind = "xGMI link" if any(True for gpu in gpus for _ in gpu.within("xgmi")) else "NVLink"
    links = [
        sum(
            _whole(source, link, "count") or 1
            for tag in ("nvlink", "xgmi")
            for link in gpu.within(tag)
        )
        for gpu in gpus
    ]
    fewest = min(links, default=0)
    if not fewest:
        return None
    if max(links) > fewest:
        notes.assumed.append(f"{fewest} {kind}s per device; some have {max(links)}")
    notes.read.append(f"{fewest} {kind}{'s' if fewest > 1 else ''} per device")
    return fewest


def _slot(system: Element) -> tuple[float | None, str]:
    """The slowest PCIe link of a device."""
    found = []
    for pci in system.within("pci"):
        speed = re.match(r"([0-9.]+) ?GT/s", pci.attributes.get("link_speed", ""))
        width = pci.attributes.get("link_width", "")
        holds = _holds_device(pci)
        if holds and speed and width.isdigit() and 1 <= int(width[:3]) <= 32:
            lane = _PCIE_BYTES_PER_S.get(f"{float(speed[1]):g}" if _is_number(speed[1]) else "")
            if lane:
                found.append((lane * int(width), f"PCIe {speed[1]} GT/s x{width}"))
    return min(found) if found else (None, "")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text) is not None


def _listed_cards(system: Element, nodes: int, notes: Notes) -> int | None:
    """Network cards of a node among PCI devices, which do not say how fast the network is."""
    kinds = [pci.attributes.get("class", "") for pci in system.within("pci")]
    for network in _NETWORK:
        cards = sum(kind.startswith(network) for kind in kinds) // nodes
        if cards:
            word = "card" if cards == 1 else "cards"
            notes.read.append(f"{cards} network {word} in a node, without their speed")
            return cards
    return None


def _cards(
    source: Source, system: Element, nodes: int, notes: Notes
) -> tuple[int | None, float | None]:
    """Network cards of a node and the bandwidth of one: those of the highest speed count."""
    speeds: dict[tuple[str, str], int] = {}
    for net in system.within("net"):
        name = net.attributes.get("name", net.attributes.get("dev", ""))
        identity = (net.attributes.get("guid", ""), f"{name}/{net.attributes.get('port', '')}")
        speeds[identity] = _whole(source, net, "speed") or 0
    if not speeds:
        return _listed_cards(system, nodes, notes), None
    fastest = max(speeds.values())
    count = max(1, sum(speed == fastest for speed in speeds.values()) // nodes)
    slower = len(speeds) - sum(speed == fastest for speed in speeds.values())
    if slower:
        notes.left_out.append(f"{slower} network cards slower than {fastest} Mbit/s")
    if not 1 <= fastest <= 10_000_000:
        return count, None
    word = "card" if count == 1 else "cards"
    notes.read.append(f"{count} network {word} of {fastest / 1000:g} Gbit/s in a node")
    return count, fastest * 1e6 / 8
