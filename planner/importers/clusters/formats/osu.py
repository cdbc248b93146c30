"""OSU micro-benchmarks: osu_bw, osu_bibw and osu_mbw_mr between the processes of two nodes.

mvapich `osu-micro-benchmarks/c/mpi/pt2pt`: MB/s are 10^6 bytes, of one direction in osu_bw, of both
together in osu_bibw, of all pairs together in osu_mbw_mr.
"""

from __future__ import annotations

import re

from planner.importers.clusters.facts import ClusterFacts, NodeFacts
from planner.importers.notes import Notes
from planner.importers.source import Source
from planner.specs.unit_text import format_bytes_per_second

_HEAD = re.compile(
    r"^#\s*OSU MPI[-\w ]*?\s(Bi-Directional Bandwidth|Bandwidth|Multiple Bandwidth)", re.MULTILINE
)
_ROW = re.compile(
    r"^(\d{1,12})[ \t]+(\d{1,9}(?:\.\d{1,6})?)(?:[ \t]+\d[\d.]*)?[ \t]*$", re.MULTILINE
)
_PAIRS = re.compile(r"\[\s*pairs:\s*(\d{1,5})\s*\]")


def looks_like_osu(text: str) -> bool:
    return re.search(r"^#\s*OSU MPI", text, re.MULTILINE) is not None


def read_osu(source: Source) -> ClusterFacts:
    """The largest figure is the bandwidth of a card. Raises: InputError."""
    head = _HEAD.search(source.text)
    if head is None:
        raise source.error_naming(
            "is of a benchmark of OSU that measures no bandwidth (osu_bw, osu_bibw, osu_mbw_mr do)",
            "OSU MPI",
        )
    rows = [(int(size), float(rate)) for size, rate in _ROW.findall(source.text)]
    rates = [rate for _, rate in rows if rate > 0]
    if not rates:
        raise source.error_at("holds no sizes with their bandwidth", head.start())
    both = head[1].startswith("Bi-")
    pairs = _PAIRS.search(source.text)
    shared = int(pairs[1]) if pairs and head[1].startswith("Multiple") else 1
    card = max(rates) * 1e6 / (2 if both else 1)
    notes = Notes()
    notes.read.append(
        f"{head[1].lower()} of up to {max(rates):,.0f} MB/s"
        + (", both directions together" if both else "")
        + (f", {shared} pairs together" if shared > 1 else "")
    )
    notes.assumed.append(
        f"the processes were on two nodes, and {format_bytes_per_second(float(f'{card:.4g}'))} is "
        "what their network card carries in one direction"
    )
    notes.left_out.append("times of short messages: latencies are those of the device file")
    return ClusterFacts(
        path=source.path,
        kind="OSU micro-benchmark",
        sha256=source.sha256,
        notes=notes,
        nodes=(NodeFacts(card_bytes_per_s=card, cards=None),),
    )
