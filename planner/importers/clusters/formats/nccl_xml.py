"""NCCL topology files (`NCCL_TOPO_DUMP_FILE`, `NCCL_TOPO_FILE`): one node as NCCL sees it.

Elements: nccl `src/graph/xml.h`. Read with expat's events: a document type is refused, so that no
entity is ever expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from planner.importers.clusters.devices import BY_CAPABILITY
from planner.importers.clusters.facts import ClusterFacts, NodeFacts
from planner.importers.notes import Notes
from planner.importers.source import Source

LARGEST_CHARACTERS = 16 * 2**20
DEEPEST = 64
MOST_ELEMENTS = 100_000
MOST_DEVICES = 1024

_START = re.compile(
    r"\s*(<\?xml[^>]*>)?\s*(<!--(?:(?!-->).)*-->\s*)*<(system|graphs|!DOCTYPE)", re.DOTALL
)
_DISPLAY = ("0x0300", "0x0302")
_NETWORK = ("0x0200", "0x0207")
_PCIE_BYTES_PER_S = {"2.5": 0.25e9, "5": 0.5e9, "8": 0.985e9, "16": 1.969e9, "32": 3.938e9,
                     "64": 7.563e9}  # fmt: skip
"""Of one lane in one direction, by its GT/s."""


@dataclass(slots=True)
class Element:
    tag: str
    attributes: dict[str, str]
    line: int
    column: int
    children: list[Element] = field(default_factory=list)

    def within(self, tag: str) -> Iterator[Element]:
        """All elements of a kind below this one."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.within(tag)


def looks_like_xml(text: str) -> bool:
    return (
        re.match(
            r"\s*(<\?xml[^>]*>)?\s*(<!--(?:(?!-->).)*-->\s*)*<(system|graphs|!DOCTYPE)", text, re.S
        )
        is not None
    )


def parse_xml(source: Source) -> Element:
    """Raises: InputError for what is not XML, a document type, and limits no topology reaches."""
    if len(source.text) > LARGEST_CHARACTERS:
        raise source.error(f"is longer than {LARGEST_CHARACTERS // 2**20} Mi characters")
    parser = expat.ParserCreate()
    root = Element("", {}, 1, 1)
    stack = [root]
    count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        line, column = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        if len(stack) > DEEPEST or count > MOST_ELEMENTS:
            raise source.error("has more elements, or deeper ones, than any topology", line, column)
        element = Element(tag, attributes, line, column)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_tag: str) -> None:
        stack.pop()

    def refuse(*_arguments: object) -> None:
        raise source.error(
            "a document type, which no topology file has; it is not read",
            parser.CurrentLineNumber,
            parser.CurrentColumnNumber + 1,
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(source.text, True)
    except expat.ExpatError as error:
        problem = expat.errors.messages.get(error.code, "cannot be read")
        raise source.error(f"not valid XML: {problem}", error.lineno, error.offset + 1) from error
    return root


def read_xml(source: Source) -> ClusterFacts:
    """Raises: InputError."""
    root = parse_xml(source)
    system = next((child for child in root.children if child.tag == "system"), None)
    if system is None:
        raise source.error("is no topology: the outermost element is not <system>")
    notes = Notes()
    hosts = {cpu.attributes.get("host_hash", "") for cpu in system.within("cpu")} - {""}
    gpus = list(system.within("gpu"))
    count = len(gpus) or sum(
        pci.attributes.get("class", "").startswith(_DISPLAY) for pci in system.within("pci")
    )
    nodes = max(1, len(hosts))
    if not 1 <= count <= MOST_DEVICES * nodes:
        raise source.error("holds no device")
    if nodes > 1:
        notes.assumed.append(f"{nodes} hosts of equal nodes, by their hashes")
    if count % nodes:
        raise source.error(f"{count} devices on {nodes} hosts")
    per_node = count // nodes
    notes.read.append(f"{per_node} devices in a node")
    capability = _capability(source, gpus)
    links = _links(source, gpus, notes)
    bandwidth, basis = (None, "") if links else _slot(system)
    cards, card_bytes_per_s = _cards(source, system, nodes, notes)
    node = NodeFacts(
        likely_device=BY_CAPABILITY.get(capability or 0),
        because=f"sm {capability} does not say its memory",
        devices_per_node=per_node,
        whole=True,
        nvlinks=links,
        intra_node_bytes_per_s=bandwidth,
        basis=basis,
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


def _capability(source: Source, gpus: list[Element]) -> int | None:
    found = {_whole(source, gpu, "sm") for gpu in gpus} - {None}
    if len(found) > 1:
        shown = ", ".join(sorted(map(str, found)))
        raise source.error(f"devices of different kinds in a node: sm {shown}")
    return next(iter(found), None)


def _links(source: Source, gpus: list[Element], notes: Notes) -> int | None:
    """NVLinks of one device, all its partners together."""
    links = [
        sum(_whole(source, link, "count") or 1 for link in gpu.within("nvlink")) for gpu in gpus
    ]
    fewest = min(links, default=0)
    if not fewest:
        return None
    if max(links) > fewest:
        notes.assumed.append(f"{fewest} NVLinks per device; some have {max(links)}")
    notes.read.append(f"{fewest} NVLinks per device")
    return fewest


def _slot(system: Element) -> tuple[float | None, str]:
    """The slowest PCIe link of a device."""
    found = []
    for pci in system.within("pci"):
        speed = re.match(r"([0-9.]+) ?GT/s", pci.attributes.get("link_speed", ""))
        width = pci.attributes.get("link_width", "")
        holds = pci.attributes.get("class", "").startswith(_DISPLAY)
        if holds and speed and width.isdigit() and 1 <= int(width[:3]) <= 32:
            lane = _PCIE_BYTES_PER_S.get(f"{float(speed[1]):g}" if _is_number(speed[1]) else "")
            if lane:
                found.append((lane * int(width), f"PCIe {speed[1]} GT/s x{width}"))
    return min(found) if found else (None, "")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text) is not None


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
        cards = sum(
            pci.attributes.get("class", "").startswith(_NETWORK) for pci in system.within("pci")
        )
        return cards // nodes or None, None
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
