"""Serving plans side by side: what differs in their pools, and what they do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.comparison.decisions import Decided
from planner.plan.serving import ServingPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan.serving import ServingPlan
    from planner.serving.forecast import Forecast, Offer

SCHEMA_ID = "planner/serving-comparison/1"
_NOT_DECIDED = ("role", "clients", "requests_per_s", "kv_tokens", "hosts")
"""Fields of a pool that follow from others, and its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSide:
    """One plan of a comparison, and what it does on a cluster."""

    name: str
    cluster: str
    model: str
    offer: Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFigure:
    """One figure of every plan; None where a plan has none. Times are seconds."""

    name: str
    values: tuple[float | None, ...]

    def change(self, of: int) -> float | None:
        """How much larger that of plan `of` is than that of the first, as a share."""
        first, other = self.values[0], self.values[of]
        return None if not first or other is None else other / first - 1


def figures_of(sides: Sequence[ServedSide]) -> tuple[ServedFigure, ...]:
    """What all plans do, latencies and throughput first."""
    each = [_figures(side.offer.forecast) for side in sides]
    return tuple(
        ServedFigure(name=name, values=tuple(one[name] for one in each)) for name in each[0]
    )


def _figures(found: Forecast) -> dict[str, float | None]:
    tpot = found.tpot
    return {
        "output_tokens_per_s": found.output_tokens_per_s,
        "output_tokens_per_s_per_device": found.output_tokens_per_s_per_device,
        "requests_per_s": found.requests_per_s,
        "ttft_mean_s": found.ttft.mean_s,
        "ttft_p99_s": found.ttft.p99_s,
        "tpot_mean_s": None if tpot is None else tpot.mean_s,
        "tpot_p99_s": None if tpot is None else tpot.p99_s,
        "devices": float(found.devices),
        "price_per_million_tokens": found.price_per_million_tokens,
        "joules_per_token": found.joules_per_token,
    }


def pool_differences(sides: Sequence[ServedSide]) -> tuple[Decided, ...]:
    """What is not the same in all plans: cluster, model and engine, then pool by pool, as
    `decode.tensor`; empty where a plan has no such pool."""
    found = [
        Decided(name=name, values=tuple(str(getattr(side, name)) for side in sides))
        for name in ("cluster", "model")
    ]
    found.append(Decided(name="engine", values=tuple(side.offer.plan.engine for side in sides)))
    pools = [_named(side.offer.plan) for side in sides]
    for name in dict.fromkeys(name for one in pools for name in one):
        for field in fields(ServingPool):
            if field.name not in _NOT_DECIDED:
                values = tuple(
                    "" if name not in one else str(getattr(one[name], field.name)) for one in pools
                )
                found.append(Decided(name=f"{name}.{field.name}", values=values))
    return tuple(one for one in found if len(set(one.values)) > 1)


def _named(plan: ServingPlan) -> dict[str, ServingPool]:
    """Pools by role, with a number from the second of a role on."""
    seen: Counter[str] = Counter()
    named = {}
    for pool in plan.pools:
        seen[pool.role] += 1
        number = seen[pool.role]
        named[pool.role if number == 1 else f"{pool.role}-{number}"] = pool
    return named


def to_serving_comparison(sides: Sequence[ServedSide]) -> dict[str, Any]:
    """The JSON document; lists of values are in the order of `plans`."""
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "plans": [
            {
                "name": side.name,
                "cluster": side.cluster,
                "model": side.model,
                "engine": side.offer.plan.engine,
                "missed": list(side.offer.missed),
            }
            for side in sides
        ],
        "differences": {one.name: list(one.values) for one in pool_differences(sides)},
        "figures": {one.name: list(one.values) for one in figures_of(sides)},
    }
