"""What replicas in several pools do with requests that come at times of their own.

Every pool is simulated by itself at the rate that comes to it. Requests reach the writers of a pool
as they reach its readers, one reading later, so that a queue of readers smooths nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.serving.forecast import Forecast
from planner.serving.latency import Latency
from planner.serving.open_estimate import estimate_open, intensity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.serving.deployment import PoolPart
    from planner.serving.estimate import ServingEstimate
    from planner.serving.load.arrivals import OpenLoad, Stream


def open_forecast_of(
    parts: Sequence[PoolPart],
    stream: Stream,
    *,
    price_per_hour: float | None = None,
    watts: float | None = None,
) -> tuple[Forecast, tuple[PoolPart, ...]]:
    """What the parts do at the rates that come to them, and the parts with the requests that each
    of their replicas then holds on average.

    Raises: RuleError("memory") where a replica has no room for a request; RuleError("rate") where
    requests come faster than they are answered.
    """
    total_per_s = sum(part.replicas * part.per_s for part in parts if part.role != "decode")
    ttfts: list[tuple[float, Latency]] = []
    tpots: list[tuple[float, Latency]] = []
    kept: list[PoolPart] = []
    for part in parts:
        load = stream.dealt(part.per_s, part.replicas, total_per_s)
        _check_rate(part, load)
        found = estimate_open(part.scenario, load, part.role)
        rate = part.replicas * part.per_s
        if part.role != "decode":
            ttfts.append((rate, found.ttft.later(part.transfer_s)))
        if part.role != "prefill" and found.tpot is not None:
            tpots.append((rate, found.tpot))
        kept.append(replace(part, clients=part.per_s * _taken_s(part, found, load)))
    devices = sum(part.replicas * part.scenario.degrees.devices for part in parts)
    moved_s = sum(part.replicas * part.per_s * part.transfer_s for part in parts)
    read_per_s = sum(part.replicas * part.per_s for part in parts if part.role == "prefill")
    mean_output = stream.dealt(total_per_s, 1, total_per_s).mean_output
    forecast = Forecast(
        ttft=Latency.together(ttfts),
        tpot=Latency.together(tpots) if tpots else None,
        output_tokens_per_s=total_per_s * mean_output,
        requests_per_s=total_per_s,
        clients=sum(part.replicas * part.clients for part in kept),
        devices=devices,
        transfer_s=moved_s / read_per_s if read_per_s else 0.0,
        price_per_hour=price_per_hour,
        watts=watts,
    )
    return forecast, tuple(kept)


def _check_rate(part: PoolPart, load: OpenLoad) -> None:
    come = intensity_of(part.scenario, load, part.role)
    if not come.keeps_up:
        raise RuleError("rate", f"{part.role} pool: {come}")


def _taken_s(part: PoolPart, found: ServingEstimate, load: OpenLoad) -> float:
    """Mean seconds of a request in a replica of the part (Little 1961)."""
    written_s = 0.0 if found.tpot is None else found.tpot.mean_s * (load.mean_output - 1)
    if part.role == "decode":
        return written_s
    read_s = found.ttft.mean_s + part.transfer_s
    return read_s if part.role == "prefill" else read_s + written_s
