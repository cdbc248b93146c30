"""Limits of a load's latencies: which are missed, and by how much."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.serving.latency import Latency
    from planner.specs.serving_load import LatencyLimit, ServiceLevel

KEPT = 1 + 1e-6
"""A latency over its limit that still counts as kept: limits are met by halving."""
STATISTICS = {
    "mean": "mean_s",
    "p50": "median_s",
    "p90": "p90_s",
    "p95": "p95_s",
    "p99": "p99_s",
}
"""Statistics that a limit may name, and where a latency has them."""


def limit_of(limits: LatencyLimit | None, statistic: str) -> float:
    """Seconds; infinite where nothing is stated."""
    found = None if limits is None else getattr(limits, statistic)
    return inf if found is None else float(found)


def compared(
    slo: ServiceLevel | None, ttft: Latency | None, tpot: Latency | None
) -> Iterator[tuple[str, float, float]]:
    """Each stated limit as `ttft mean`, with the seconds that are reached and those allowed."""
    if slo is None:
        return
    for name, limits, latency in (("ttft", slo.ttft, ttft), ("tpot", slo.tpot, tpot)):
        if limits is None or latency is None:
            continue
        for statistic, attribute in STATISTICS.items():
            limit_s = limit_of(limits, statistic)
            if limit_s < inf:
                yield f"{name} {statistic}", getattr(latency, attribute), limit_s


def missed_limits(
    slo: ServiceLevel | None, ttft: Latency | None, tpot: Latency | None
) -> tuple[str, ...]:
    """`tpot mean: 12.3 ms, the limit is 10 ms`."""
    return tuple(
        f"{name}: {1e3 * seconds:.1f} ms, the limit is {1e3 * limit_s:g} ms"
        for name, seconds, limit_s in compared(slo, ttft, tpot)
        if seconds > KEPT * limit_s
    )


def most_missed(slo: ServiceLevel | None, ttft: Latency | None, tpot: Latency | None) -> float:
    """The largest latency over its limit; 0 without limits."""
    shares = [
        seconds / limit_s if limit_s else inf for _, seconds, limit_s in compared(slo, ttft, tpot)
    ]
    return max(shares, default=0.0)
