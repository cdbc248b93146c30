"""Seconds of collective operations over a process group.

    n   members                    S   bytes of the full buffer (each function says which)
    D   domains                    B   bytes/s of a member inside its domain
    N   bytes/s out of a domain    w   seconds the links are busy at their full rate

Every algorithm costs launch + steps + transfer, and the library takes the cheapest (Thakur,
Rabenseifner and Gropp 2005; NCCL src/graph/tuning.cc). Links inside and between domains work at
the same time, so the slower one counts. Constants of the links stand in device files, constants of
the library in `libraries/`.
"""

from __future__ import annotations

from math import ceil, log2, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.hardware.links import ProcessGroup


def all_reduce_s(group: ProcessGroup, size_bytes: float) -> float:
    """Seconds to sum a buffer of `size_bytes` that every member holds; all get the sum."""
    if group.size == 1 or size_bytes <= 0:
        return 0.0
    best_s = _ring_all_reduce_s(group, size_bytes)
    if group.trees:
        best_s = min(best_s, _tree_all_reduce_s(group, size_bytes))
    if group.reduction_bytes_per_s > 0 and group.local >= group.fewest_switch_reducers:
        best_s = min(best_s, _switch_all_reduce_s(group, size_bytes))
    return group.launch_s + best_s


def all_gather_s(group: ProcessGroup, size_bytes: float) -> float:
    """Seconds until every member holds the whole buffer of `size_bytes`, n shards together."""
    if group.size == 1 or size_bytes <= 0:
        return 0.0
    return group.launch_s + _ring_s(group, size_bytes, rounds=1)


def reduce_scatter_s(group: ProcessGroup, size_bytes: float) -> float:
    """Seconds to sum buffers of `size_bytes`; each of n members keeps one shard of the sum."""
    return all_gather_s(group, size_bytes)


def all_to_all_s(
    group: ProcessGroup, size_bytes: float, *, network_efficiency: float | None = None
) -> float:
    """Seconds to exchange parts: the buffer of every member, `size_bytes`, holds one part for each
    of n. `network_efficiency`: share of N that it reaches; None: what the collective library does.
    """
    if group.size == 1 or size_bytes <= 0:
        return 0.0
    inside = (group.local - 1) / group.size
    busy_s = inside * size_bytes / (group.fast_bytes_per_s * group.all_to_all_efficiency)
    busy_s += _copy_s(group, size_bytes)
    steps_s = group.all_to_all_steps * group.fast_step_s
    if not group.inside:
        outside = 1 - group.local / group.size
        share = group.all_to_all_network if network_efficiency is None else network_efficiency
        busy_s = max(busy_s, outside * size_bytes / (share * group.member_network_bytes_per_s))
        steps_s += group.network_step_s
    return group.launch_s + steps_s + _transfer_s(group, busy_s)


def send_s(group: ProcessGroup, size_bytes: float) -> float:
    """Seconds of one message of `size_bytes` from one member to another."""
    if group.size == 1 or size_bytes <= 0:
        return 0.0
    if group.inside:
        busy_s = size_bytes / (group.fast_bytes_per_s * group.send_efficiency)
        return group.launch_s + group.fast_step_s + _transfer_s(group, busy_s)
    busy_s = size_bytes / group.member_network_bytes_per_s
    return group.launch_s + group.network_step_s + _transfer_s(group, busy_s)


def _ring_all_reduce_s(group: ProcessGroup, size_bytes: float) -> float:
    """Reduce-scatter, then all-gather: 2(n-1)/n S over every link (Patarasuk and Yuan 2009)."""
    return _ring_s(group, size_bytes, rounds=2)


def _ring_s(group: ProcessGroup, size_bytes: float, *, rounds: int) -> float:
    """`rounds` times around a ring that visits the members of each domain one after the other."""
    n = group.size
    around_bytes = rounds * (n - 1) / n * size_bytes
    busy_s = around_bytes / group.fast_bytes_per_s + _copy_s(group, size_bytes)
    if group.inside:
        return rounds * (n - 1) * group.fast_step_s + _transfer_s(group, busy_s)
    if group.local == 1:
        busy_s = 0.0
    crossing_s = around_bytes / group.network_bytes_per_s
    steps_s = rounds * ((n - group.domains) * group.fast_step_s + group.ring_network_s)
    return steps_s + _transfer_s(group, max(busy_s, crossing_s))


def _tree_all_reduce_s(group: ProcessGroup, size_bytes: float) -> float:
    """Sum up a tree and send the result down: S twice over the links inside a domain."""
    levels = ceil(log2(group.local))
    steps_s = 2 * levels * group.tree_level_steps * group.fast_step_s
    busy_s = 2 * size_bytes / group.fast_bytes_per_s if levels else 0.0
    if not group.inside:
        steps_s += _between_domains_steps_s(group)
        busy_s = max(busy_s, _between_domains_busy_s(group, size_bytes))
    return steps_s + _transfer_s(group, busy_s)


def _switch_all_reduce_s(group: ProcessGroup, size_bytes: float) -> float:
    """The switches add up what the members send, and return the sum: S up and S down at the same
    time (NVLink SHARP). Each member starts the reduction of its own part."""
    start_s = group.local * group.reduction_launch_s
    busy_s = size_bytes / group.reduction_bytes_per_s
    if group.inside:
        return start_s + busy_s
    busy_s = max(busy_s, _between_domains_busy_s(group, size_bytes))
    return start_s + _between_domains_steps_s(group) + _transfer_s(group, busy_s)


def _between_domains_steps_s(group: ProcessGroup) -> float:
    return 2 * ceil(log2(group.domains)) * group.network_step_s


def _between_domains_busy_s(group: ProcessGroup, size_bytes: float) -> float:
    """Two trees over the domains, each for half of the buffer (Sanders, Speck and Träff 2009): two
    domains exchange S, inner nodes of larger trees send 2 S."""
    crossings = 1 if group.domains == 2 else 2
    return crossings * size_bytes / group.network_bytes_per_s


def _copy_s(group: ProcessGroup, size_bytes: float) -> float:
    return group.local_copy * size_bytes / group.size / group.copy_bytes_per_s


def _transfer_s(group: ProcessGroup, busy_s: float) -> float:
    """Seconds of a transfer that keeps the links busy for `busy_s`, including the time to fill its
    pipeline.

    The transfer is cut into segments that cost `ramp` each; the best number of segments adds 2
    sqrt(busy * ramp) (Bertsekas and Tsitsiklis 1989, section 1.3). The low-latency protocol is
    faster for short messages.
    """
    ramp_s = group.ramp_s + group.network_step_s
    return min(busy_s + 2 * sqrt(busy_s * ramp_s), group.low_latency_cost * busy_s)
