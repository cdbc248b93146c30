"""What plans are ranked by, and the limits that they keep."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InputError
from planner.serving.limits import limit_of, most_missed

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats
    from planner.serving.latency import Latency
    from planner.serving.search.bounds import Bounds
    from planner.serving.search.result import Objective
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.serving_load import ServiceLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`prices` per hour and `watts` of one device, by group; None where the cluster does not state
    them. `tightness`: what the stated limits are divided by."""

    objective: Objective
    slo: ServiceLevel | None
    prices: tuple[float, ...] | None
    watts: tuple[float, ...] | None
    tightness: float = 1.0

    def cost(self, group: int) -> float:
        """What one device of a group counts in the objective: its price or its power, else 1."""
        known = self.prices if self.objective == "cost" else self.watts
        return known[group] if self.by_ratio and known is not None else 1.0

    def score(self, rate: Floats, devices: Floats, cost: Floats) -> Floats:
        """Larger is better, for requests per second of so many devices that cost so much. Where
        devices count, throughput decides between equal numbers."""
        if self.objective == "throughput":
            return rate
        if self.objective == "devices":
            found: Floats = -devices + rate / (1.0 + rate)
            return found
        return np.asarray(rate / cost)

    def may_keep(self, bounds: Bounds, *, uniform: bool) -> Bools:
        """[L]: whether bounds of the mean latencies are within the limits of the mean, and of p99
        where lengths are `uniform`, so that it cannot be below the mean."""
        kept = np.ones(bounds.rate.shape, dtype=np.bool_)
        if self.slo is None:
            return kept
        for limits, seconds in ((self.slo.ttft, bounds.ttft_s), (self.slo.tpot, bounds.tpot_s)):
            most_s = limit_of(limits, "mean")
            if uniform:
                most_s = min(most_s, limit_of(limits, "p99"))
            kept &= seconds * self.tightness <= most_s
        return kept

    def tpot_limit_s(self, *, uniform: bool) -> float:
        """The longest mean time of a further token that may keep the limits; infinite without."""
        limits = None if self.slo is None else self.slo.tpot
        most_s = limit_of(limits, "mean")
        if uniform:
            most_s = min(most_s, limit_of(limits, "p99"))
        return most_s / self.tightness

    @property
    def by_ratio(self) -> bool:
        """Whether plans are ranked by requests over what they cost."""
        return self.objective in ("cost", "energy")

    def value(self, score: float, output_tokens: float) -> float:
        """Of the objective: output tokens per second, devices, price of a million output tokens, or
        joules of one."""
        if self.objective == "throughput":
            return score * output_tokens
        if self.objective == "devices":
            return float(-floor(score))
        each = 1.0 / (score * output_tokens)
        return each / 3600 * 1e6 if self.objective == "cost" else each

    def excess(self, ttft: Latency | None, tpot: Latency | None) -> float:
        """The largest latency over its limit, of those that are given; at most 1 where all limits
        are kept."""
        return self.tightness * most_missed(self.slo, ttft, tpot)


def goal_of(objective: Objective, slo: ServiceLevel | None, cluster: ClusterSpec) -> Goal:
    """Raises: InputError where the cluster does not state what the objective needs."""
    groups = cluster.node_groups
    prices = [group.price_per_device_hour for group in groups]
    factor = 1.0 if cluster.electricity is None else cluster.electricity.factor
    powers = [None if group.device.power is None else group.device.power.value for group in groups]
    if objective == "cost" and None in prices:
        raise InputError(
            "--objective cost needs what devices cost",
            hint="state prices: {devices: {NAME: 2.95 $/h}} in the cluster file",
        )
    if objective == "energy" and None in powers:
        raise InputError(
            "--objective energy needs the power of devices",
            hint="state power in the device file",
        )
    return Goal(
        objective=objective,
        slo=slo,
        prices=None if None in prices else tuple(one or 0.0 for one in prices),
        watts=None if None in powers else tuple(factor * (one or 0.0) for one in powers),
    )
