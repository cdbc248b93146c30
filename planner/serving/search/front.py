"""Throughput of a device against interactivity: plans of which none is better in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.serving.forecast import Offer
    from planner.serving.search.pricing import PricedReplicas


def front_of(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """The most interactive first. Answers of one token have no interactivity and no front."""
    points = [
        (one.forecast.tokens_per_s_per_user, one.forecast.output_tokens_per_s_per_device, one)
        for one in offers
        if one.forecast.tokens_per_s_per_user is not None
    ]
    points.sort(key=lambda point: (-(point[0] or 0.0), -point[1]))
    kept: list[Offer] = []
    best = 0.0
    for _, rate, one in points:
        if rate > best:
            kept.append(one)
            best = rate
    return tuple(kept)


def leading(found: Sequence[PricedReplicas]) -> list[PricedReplicas]:
    """Equal replicas that no others beat in both throughput of a device and TPOT."""
    points = [
        (one.estimate.tpot.mean_s, -one.per_s / one.devices, one.kind.index, one)
        for one in found
        if one.estimate.tpot is not None
    ]
    points.sort(key=lambda point: point[:3])
    kept: list[PricedReplicas] = []
    best = 0.0
    for _, rate, _, one in points:
        if -rate > best:
            kept.append(one)
            best = -rate
    return kept


def beaten(rate: float, tpot_s: float, priced: Iterable[PricedReplicas]) -> bool:
    """Whether others have at least `rate` requests per second of a device and at most `tpot_s`."""
    return any(
        one.estimate.tpot is not None
        and one.per_s / one.devices >= rate
        and one.estimate.tpot.mean_s <= tpot_s
        for one in priced
    )
