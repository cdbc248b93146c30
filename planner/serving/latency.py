"""A latency over all requests of a load: its mean and its percentiles."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds over all requests of a load."""

    mean_s: float
    median_s: float
    p90_s: float
    p95_s: float
    p99_s: float

    @staticmethod
    def by_quantile(mean_s: float, quantile_s: Callable[[float], float]) -> Latency:
        """Of a mean, and the seconds that a share of the requests do not exceed."""
        return Latency(
            mean_s=mean_s,
            median_s=quantile_s(0.5),
            p90_s=quantile_s(0.9),
            p95_s=quantile_s(0.95),
            p99_s=quantile_s(0.99),
        )

    @staticmethod
    def same(seconds: float) -> Latency:
        """The same for all requests."""
        return Latency.by_quantile(seconds, lambda _: seconds)

    @staticmethod
    def largest(mean_s: float, flows: Sequence[Latency]) -> Latency:
        """Of several flows: the largest of each percentile, as no more requests than stated are
        above it."""
        names = [field.name for field in fields(Latency) if field.name != "mean_s"]
        most = {name: max(getattr(one, name) for one in flows) for name in names}
        return Latency(mean_s=mean_s, **most)

    @staticmethod
    def together(found: Sequence[tuple[float, Latency]]) -> Latency:
        """Of several flows with their requests per second: the mean by these rates, of percentiles
        the largest."""
        total = sum(per_s for per_s, _ in found)
        mean_s = sum(per_s * one.mean_s for per_s, one in found) / total
        return Latency.largest(mean_s, [one for _, one in found])

    @staticmethod
    def of(seconds: Sequence[float], weights: Sequence[float]) -> Latency:
        """Of the seconds of requests, each of which counts as many times as its weight."""
        total = sum(weights)
        mean_s = sum(s * w for s, w in zip(seconds, weights, strict=True)) / total
        ordered = sorted(zip(seconds, weights, strict=True))
        return Latency.by_quantile(mean_s, lambda share: _quantile(ordered, share * total))

    @property
    def figures(self) -> tuple[float, ...]:
        """The mean and the percentiles, ascending."""
        return self.mean_s, self.median_s, self.p90_s, self.p95_s, self.p99_s

    def later(self, seconds: float) -> Latency:
        """Of the same requests, each so many seconds later."""
        every = {field.name: getattr(self, field.name) + seconds for field in fields(self)}
        return Latency(**every)


def _quantile(ordered: Sequence[tuple[float, float]], weight: float) -> float:
    passed = 0.0
    for seconds, one in ordered:
        passed += one
        if passed >= weight:
            return seconds
    return ordered[-1][0]
