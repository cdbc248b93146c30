"""Which ranks form the groups of a parallel axis, and how they fall on nodes.

A group of (size, stride) is the ranks base + i * stride, i < size; the groups of one shape cover
the job (Megatron-LM core/parallel_state.py, RankGenerator).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def aligned_domains(size: int, stride: int, domain_devices: int) -> tuple[int, int] | None:
    """(domains that a group spans, members in each), where every group falls on domains of
    `domain_devices` in the same way; None where groups differ."""
    span = size * stride
    if span <= domain_devices:
        return (1, size) if domain_devices % span == 0 else None
    if stride >= domain_devices:
        return (size, 1) if stride % domain_devices == 0 else None
    if domain_devices % stride == 0 and span % domain_devices == 0:
        return span // domain_devices, domain_devices // stride
    return None


def groups(
    ranks: range, size: int, stride: int, *, alike: int, limit: int | None
) -> Iterator[range]:
    """The groups of one shape among `ranks`, until `limit` ranks have been seen. Of groups that
    start on `alike` neighbouring ranks, only one is returned."""
    span = size * stride
    seen = 0
    for block in range(ranks.start, ranks.stop - span + stride, span):
        for base in range(block, block + stride, alike):
            if base + (size - 1) * stride >= ranks.stop:
                return
            yield range(base, base + span, stride)
            seen += size
            if limit is not None and seen >= limit:
                return


def pairs(devices: int, stride: int, *, limit: int | None) -> Iterator[range]:
    """Every rank and the rank `stride` further on, until `limit` ranks have been seen."""
    count = devices - stride
    for rank in range(count if limit is None else min(count, limit)):
        yield range(rank, rank + stride + 1, stride)
