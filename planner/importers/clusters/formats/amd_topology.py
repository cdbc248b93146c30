"""`rocm-smi --showtopo` and `amd-smi topology`: how the devices of a node are joined.

Their table of link types has XGMI or PCIE for every pair; SELF or 0 for a device itself.
"""

from __future__ import annotations

import re

from planner.importers.clusters.devices import device_named, device_of_gfx
from planner.importers.clusters.facts import ClusterFacts, NodeFacts
from planner.importers.notes import Notes
from planner.importers.source import Source

MOST_DEVICES = 64

_TITLE = re.compile(r"^.*(?:Link Type between two GPUs|LINK TYPE TABLE).*$", re.MULTILINE)
_KIND = re.compile(r"XGMI|PCIE|SELF|0|N/A|UNKNOWN", re.IGNORECASE)
_PRODUCT = re.compile(r"(?:Card [Ss]eries|MARKET_NAME|Card model|PRODUCT_NAME)\W+(.*)")
_GFX = re.compile(r"\b(gfx[0-9a-f]{3,5})\b")


def looks_like_topology(text: str) -> bool:
    return _TITLE.search(text) is not None


def read_topology(source: Source) -> ClusterFacts:
    """Raises: InputError at the row that is wrong."""
    title = _TITLE.search(source.text)
    if title is None:
        raise source.error("holds no table of link types (rocm-smi --showtopo, amd-smi topology)")
    first = source.text.count("\n", 0, title.end()) + 1
    rows = _rows(source, first)
    kinds = {cell.upper() for row in rows for cell in row} - {"SELF", "0", "N/A", "UNKNOWN"}
    notes = Notes()
    joined = " and ".join(sorted(kinds)) or "nothing"
    notes.read.append(f"{len(rows)} devices in a node, joined by {joined}")
    product, target = _PRODUCT.search(source.text), _GFX.search(source.text)
    device = device_named(product[1]) if product else None
    return ClusterFacts(
        path=source.path,
        kind="AMD topology",
        sha256=source.sha256,
        notes=notes,
        nodes=(
            NodeFacts(
                device=device,
                likely_device=device_of_gfx(target[1]) if target and device is None else None,
                because=f"{target[1]} does not say more" if target else "",
                devices_per_node=len(rows),
                whole=True,
            ),
        ),
    )


def _rows(source: Source, first: int) -> list[list[str]]:
    """The cells of the table below its title, without the names of rows."""
    rows: list[list[str]] = []
    columns = 0
    for number, line in enumerate(source.lines()[first:], start=first + 1):
        words = line.split()
        if not words:
            if rows:
                break
            continue
        cells = words[1:]
        if not columns:
            columns = len(words)
            continue
        if not all(_KIND.fullmatch(cell) for cell in cells):
            break
        if len(cells) != columns:
            raise source.error(f"{len(cells)} cells for {columns} columns", number)
        rows.append(cells)
    if not 1 <= len(rows) <= MOST_DEVICES or len(rows) != columns:
        raise source.error(
            f"{len(rows)} rows of link types for {columns} columns; was the output cut?", first
        )
    return rows
