"""What a serving plan does with a load: latencies, throughput, what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.serving.accuracy import ranges_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.plan.serving import ServingPlan
    from planner.serving.latency import Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Of all pools together. `clients`: requests under way. `bound_by`: `prefill` or `decode`,
    the pool that leaves no more throughput, where there are both. `price_per_hour` in the
    cluster's currency and `watts` are of all devices; None where the cluster does not state them.
    `transfer_s`: mean seconds in which the KV cache of a prompt reaches its decode replica."""

    ttft: Latency
    tpot: Latency | None
    output_tokens_per_s: float
    requests_per_s: float
    clients: float
    devices: int
    bound_by: str | None = None
    transfer_s: float = 0.0
    price_per_hour: float | None = None
    watts: float | None = None

    @property
    def output_tokens_per_s_per_device(self) -> float:
        """Of a device, over all pools."""
        return self.output_tokens_per_s / self.devices

    @property
    def tokens_per_s_per_user(self) -> float | None:
        """Interactivity: tokens of an answer that a user sees in a second, 1/TPOT."""
        return None if self.tpot is None else 1.0 / self.tpot.mean_s

    @property
    def price_per_million_tokens(self) -> float | None:
        """Of output tokens."""
        if self.price_per_hour is None:
            return None
        return self.price_per_hour / 3600 / self.output_tokens_per_s * 1e6

    @property
    def joules_per_token(self) -> float | None:
        """Of an output token."""
        return None if self.watts is None else self.watts / self.output_tokens_per_s

    def ranges(self, *, mixture: bool) -> Mapping[str, tuple[float, float]]:
        """Where nine of ten measurements lie around the means, of models with experts or without:
        seconds, and tokens per second of a device."""
        return ranges_of(
            ttft_s=self.ttft.mean_s,
            tpot_s=None if self.tpot is None else self.tpot.mean_s,
            tokens_per_s_per_device=self.output_tokens_per_s_per_device,
            mixture=mixture,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A serving plan and what it does. `missed`: limits of the load that it does not keep."""

    plan: ServingPlan
    forecast: Forecast
    missed: tuple[str, ...] = ()
