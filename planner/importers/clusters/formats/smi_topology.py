"""`nvidia-smi topo -m`: how the devices and network cards of a node are joined.

Cells name the connection between two devices: NV# for that many NVLinks, PIX and PXB PCIe switches,
PHB a host bridge, NODE and SYS (SOC in old drivers) the processor. Old drivers print fewer columns
and the cards' own names; headers may carry control codes, which are gone by now.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from planner.importers.clusters.devices import BY_NVLINKS, ON_GRACE
from planner.importers.clusters.facts import ClusterFacts, NodeFacts
from planner.importers.notes import Notes
from planner.importers.source import Source

MOST_DEVICES = 1024

_GPU = re.compile(r"GPU\d{1,4}")
_CARD = re.compile(
    r"(?:NIC|mlx|hfi|ib|roce|rdmap|efa|bnxt|irdma|qedr|bond)[\w-]*\d*", re.IGNORECASE
)
_CELL = re.compile(r"X|SYS|SOC|NODE|PHB|PXB|PIX|NV\d{1,3}|N/A|OK|NS|CNS|PROT")
_NVLINKS = re.compile(r"NV(\d{1,3})")
_NEAR = ("PIX", "PXB")
_GRACE = re.compile(r"[ \t]0-71[ \t][\s\S]*[ \t]72-143[ \t]")
"""Affinities of two processors of 72 cores without siblings, as NVIDIA's Grace are."""


@dataclass(frozen=True, slots=True)
class _Table:
    line: int
    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    """For every device, the cells of all its columns."""

    @property
    def devices(self) -> int:
        return sum(_GPU.fullmatch(name) is not None for name in self.names)


def looks_like_topology(text: str) -> bool:
    return re.search(r"^\s*GPU0\s+X\s", text, re.MULTILINE) is not None


def read_topology(source: Source) -> ClusterFacts:
    """Each table becomes a kind of node. Raises: InputError at the row or cell that is wrong."""
    tables = _tables(source)
    if not tables:
        raise source.error("holds no table of nvidia-smi topo -m")
    notes = Notes()
    grace = _GRACE.search(source.text) is not None
    nodes = [_node(table, notes, grace=grace) for table in tables]
    if len(tables) > 1:
        notes.assumed.append(f"{len(tables)} tables are {len(tables)} kinds of nodes")
    if "UUID: MIG-" in source.text:
        notes.left_out.append("MIG slices of devices: whole devices are planned for")
    return ClusterFacts(
        path=source.path,
        kind="nvidia-smi topo -m",
        sha256=source.sha256,
        notes=notes,
        nodes=tuple(nodes),
    )


def _tables(source: Source) -> list[_Table]:
    lines = source.lines()
    tables = []
    for index, line in enumerate(lines):
        names = _header(line)
        if names:
            tables.append(_read_table(source, lines, index, names))
    return tables


def _header(line: str) -> tuple[str, ...]:
    """The columns of a header line, up to the affinities; empty for any other line."""
    words = line.split()
    if not words or words[0] != "GPU0" or (len(words) > 1 and words[1] == "X"):
        return ()
    names = []
    for word in words:
        if not (_GPU.fullmatch(word) or _CARD.fullmatch(word)):
            break
        names.append(word)
    return tuple(names)


def _read_table(source: Source, lines: list[str], index: int, names: tuple[str, ...]) -> _Table:
    gpus = [name for name in names if _GPU.fullmatch(name)]
    if len(gpus) > MOST_DEVICES or len(set(names)) < len(names):
        raise source.error("the header repeats a column or has too many", index + 1)
    rows: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines[index + 1 :], start=index + 2):
        words = line.split()
        if not words:
            if rows:
                break
            continue
        if words[0] not in names:
            break
        cells = tuple(words[1 : len(names) + 1])
        if len(cells) < len(names):
            raise source.error(f"{words[0]}: {len(cells)} cells for {len(names)} columns", number)
        for cell in cells:
            if not _CELL.fullmatch(cell):
                column = line.find(cell) + 1
                raise source.error(f"{words[0]}: {cell[:20]!r} is not a connection", number, column)
        if words[0] in rows:
            raise source.error(f"{words[0]} has two rows", number)
        rows[words[0]] = cells
    missing = [name for name in gpus if name not in rows]
    if missing:
        raise source.error(f"no row for {missing[0]}; was the output cut?", index + 1)
    for place, name in enumerate(gpus):
        own = rows[name][names.index(name)]
        if own != "X":
            raise source.error(f"{name} to itself is {own}, not X (row {place + 1})", index + 1)
    return _Table(index + 1, names, tuple(rows[name] for name in gpus))


def _node(table: _Table, notes: Notes, *, grace: bool) -> NodeFacts:
    count = table.devices
    where = f"line {table.line}"
    links = _links(table)
    shown = f"{links} NVLinks each" if links else "no NVLink that joins them all"
    notes.read.append(f"{where}: {count} devices, {shown}")
    cards = _near_cards(table)
    if cards:
        notes.assumed.append(
            f"{where}: {cards} network cards, those behind a PCIe switch with a device; the table "
            "does not say their speed"
        )
    _note_others(table, links, where, notes)
    likely, others = BY_NVLINKS.get(links), ""
    if links == 18 and grace:
        likely, others = ON_GRACE, " and processors of 72 cores (GB300 has as many)"
    elif links == 18:
        others = " (H200, B200 and GB200 have as many)"
    return NodeFacts(
        likely_device=likely,
        because=f"it has {links} NVLinks{others}",
        devices_per_node=count,
        whole=True,
        nvlinks=links or None,
        cards=cards or None,
    )


def _links(table: _Table) -> int:
    """NVLinks of one device: to a switch where every pair shows as many as a device has in total;
    otherwise the sum over its neighbours. 0 where NVLink does not join all devices."""
    gpus = [index for index, name in enumerate(table.names) if _GPU.fullmatch(name)]
    counts = [
        [_count(row[column]) for column in gpus if table.names[column] != table.names[gpus[place]]]
        for place, row in enumerate(table.cells)
    ]
    if len(counts) < 2 or not _joined(table, gpus):
        return 0
    flat = {count for row in counts for count in row}
    if len(flat) == 1:
        each = flat.pop()
        together = each * (len(counts) - 1)
        return together if together in BY_NVLINKS and each not in BY_NVLINKS else each
    return min(sum(row) for row in counts)


def _count(cell: str) -> int:
    match = _NVLINKS.fullmatch(cell)
    return int(match[1]) if match else 0


def _joined(table: _Table, gpus: list[int]) -> bool:
    """Whether every device reaches every other over NVLink, if need be through other devices."""
    reached, open_ = {0}, [0]
    while open_:
        row = table.cells[open_.pop()]
        for place, column in enumerate(gpus):
            if place not in reached and _count(row[column]):
                reached.add(place)
                open_.append(place)
    return len(reached) == len(gpus)


def _near_cards(table: _Table) -> int:
    cards = [index for index, name in enumerate(table.names) if not _GPU.fullmatch(name)]
    return sum(any(row[column] in _NEAR for row in table.cells) for column in cards)


def _note_others(table: _Table, links: int, where: str, notes: Notes) -> None:
    cells = [cell for row in table.cells for cell in row[: table.devices]]
    if not links:
        shown = sorted({cell for cell in cells if cell != "X"})
        notes.left_out.append(
            f"{where}: devices are not all joined by NVLink ({', '.join(shown) or 'one device'}), "
            "so it does not say how fast they reach each other"
        )
    elif any(_count(cell) == 0 and cell != "X" for cell in cells):
        notes.left_out.append(
            f"{where}: pairs without an NVLink of their own; all pairs are planned alike"
        )
