"""all_reduce_bench.py of stas00/ml-engineering and bigscience: seconds and Gbit/s of an all-reduce,
printed by every rank."""

from __future__ import annotations

import re
from statistics import median

from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective
from planner.importers.clusters.formats.nccl_nodes import facts_of
from planner.importers.notes import Notes
from planner.importers.source import Source

_DURATION = re.compile(r"^ *duration: +([0-9.]+) sec", re.MULTILINE)
_BUS = re.compile(r"^ *busbw: +([0-9.]+) +Gbps", re.MULTILINE)
_SIZE = re.compile(r"^ *(\d+) data size: +([0-9.]+) GB", re.MULTILINE)


def looks_like_bench(text: str) -> bool:
    return bool(_DURATION.search(text) and _BUS.search(text) and "algo throughput" in text)


def read_bench(source: Source, *, ranks: int | None = None) -> ClusterFacts:
    """Output of all_reduce_bench.py (stas00/ml-engineering and bigscience): seconds and Gbit/s of
    one all-reduce, printed by every one of its `ranks`. Raises: InputError."""
    notes = Notes()
    durations = [float(text) for text in _DURATION.findall(source.text) if _is_number(text)]
    buses = [float(text) for text in _BUS.findall(source.text) if _is_number(text)]
    sizes = {
        int(rank): float(text) for rank, text in _SIZE.findall(source.text) if _is_number(text)
    }
    if not durations or not buses or not sizes:
        raise source.error("holds no data size, duration and busbw of an all-reduce")
    time_s, bus_bytes_per_s = median(durations), median(buses) * 1e9 / 8
    number, size_bytes = ranks or len(sizes), median(sizes.values()) * 1e9
    if number <= max(sizes) or (ranks is None and number > max(sizes) + 1):
        raise source.error_naming(
            f"has {len(sizes)} ranks up to {max(sizes):.6g}: it was cut; --ranks N says how many "
            "took part",
            "data size:",
        )
    expected = 2 * (number - 1) / number * size_bytes / time_s if time_s > 0 else 0.0
    if not expected or not 0.9 < bus_bytes_per_s / expected < 1.1:
        raise source.error_naming(
            "its data size, duration and busbw do not belong together", "duration:"
        )
    notes.read.append(
        f"all-reduce over {number} devices: {size_bytes / 1e9:.4g} GB in {time_s:.4g} s "
        f"(median of {len(durations)}), bus bandwidth {bus_bytes_per_s / 1e9:.4g} GB/s"
    )
    collective = MeasuredCollective(
        operation="all_reduce", ranks=number, size_bytes=size_bytes, time_s=time_s
    )
    return facts_of(source, "all_reduce_bench output", notes, devices=[], collectives=[collective])


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text) is not None and float(text) > 0
