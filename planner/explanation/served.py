"""What would make a serving plan better: each part of the hardware, each decision on its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from planner.errors import PlannerError
from planner.explanation.hardware import (
    with_inner_bandwidth,
    with_memory,
    with_memory_bandwidth,
    with_peak,
)
from planner.specs.engine import HostTimes
from planner.training.search.robust import with_network_bandwidth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from planner.plan.serving import ServingPlan, ServingPool
    from planner.serving.forecast import Forecast, Offer
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.engine import EngineProfile

    Price = Callable[[ClusterSpec, EngineProfile, ServingPlan], Offer]
    """What a plan does on a cluster. Raises: PlannerError where it cannot run."""

BETTER = 1.1
HARDWARE = (
    ("bandwidth of device memory", with_memory_bandwidth),
    ("peak rate of the devices", with_peak),
    ("bandwidth inside nodes", with_inner_bandwidth),
    ("bandwidth between nodes", with_network_bandwidth),
    ("size of device memory", with_memory),
)
HOST = "the host"
OTHER_FORMATS = ("fp8", "bf16")
"""Formats that are tried in place of the plan's, for weights and KV cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedLever:
    """What changes, and by what share the means and the throughput of all devices change then;
    `tpot` is None where answers have one token. `missed`: limits of the load that are not kept."""

    name: str
    ttft: float
    tpot: float | None
    tokens_per_s: float
    missed: tuple[str, ...]


def served_hardware_levers(
    cluster: ClusterSpec, engine: EngineProfile, plan: ServingPlan, offer: Offer, price: Price
) -> tuple[ServedLever, ...]:
    """One for each part of the hardware, 10 % better; the largest gain first."""
    found = []
    for name, change in HARDWARE:
        better = price(change(cluster, BETTER), engine, plan)
        found.append(_lever(f"{name} +10%", offer, better))
    found.append(_lever(f"{HOST} 10% faster", offer, price(cluster, _with_host(engine), plan)))
    return _sorted(found)


def served_plan_levers(
    cluster: ClusterSpec,
    engine: EngineProfile,
    plan: ServingPlan,
    offer: Offer,
    price: Price,
    *,
    mixture: bool,
) -> tuple[ServedLever, ...]:
    """One for each decision that can change on its own, on the same devices and with the same
    requests under way; the largest gain first. `mixture`: the model has experts."""
    found = []
    for name, changed in _changes(plan, mixture=mixture):
        try:
            found.append(_lever(name, offer, price(cluster, engine, changed)))
        except PlannerError:
            continue
    return _sorted(found)


def hangs_on(levers: Sequence[ServedLever], figure: str) -> tuple[tuple[str, float], ...]:
    """Of a mean time the shares that go with parts of the hardware, the largest first: a part that
    10 % more speed shortens by x takes x/(1 − 1/1.1) of it. What they leave is of starts of kernels
    and of waiting. They are more than the whole where requests also wait less for each other."""
    times = 1 / (1 - 1 / BETTER)
    shares = [
        (one.name.removesuffix(" +10%").removesuffix(" 10% faster"), -getattr(one, figure) * times)
        for one in levers
        if getattr(one, figure) is not None
    ]
    return tuple(sorted((one for one in shares if one[1] > 0), key=lambda one: -one[1]))


def _with_host(engine: EngineProfile) -> EngineProfile:
    host = engine.host
    update = {}
    for name in HostTimes.model_fields:
        constant = getattr(host, name)
        if name != "late_steps":
            update[name] = constant.model_copy(update={"value": constant.value / BETTER})
    return engine.model_copy(update={"host": host.model_copy(update=update)})


def _changes(plan: ServingPlan, *, mixture: bool) -> Iterator[tuple[str, ServingPlan]]:
    for at, pool in enumerate(plan.pools):
        of = "" if len(plan.pools) == 1 else f" of the {pool.role} replicas"
        for name, changed in _reshaped(pool, mixture=mixture):
            yield f"{name}{of}", _with(plan, {at: changed})
        for tokens in (pool.max_step_tokens * 2, pool.max_step_tokens // 2):
            if tokens and pool.role != "decode":
                changed = replace(pool, max_step_tokens=tokens)
                yield f"prompt tokens of a step {tokens:,}{of}", _with(plan, {at: changed})
    for field in ("weights", "kv_format"):
        stated = {getattr(pool, field) for pool in plan.pools}
        for word in OTHER_FORMATS:
            if stated != {word}:
                update: Any = {field: word}
                everywhere = {at: replace(one, **update) for at, one in enumerate(plan.pools)}
                label = "weights" if field == "weights" else "KV cache"
                yield f"{label} {word}", _with(plan, everywhere)


def _reshaped(pool: ServingPool, *, mixture: bool) -> Iterator[tuple[str, ServingPool]]:
    """Other degrees on the same devices: twice or half of one, and tensor against attention ranks,
    which are of mixtures."""
    whole = pool.expert > 1
    shapes = [
        (pool.tensor * 2, pool.attention_data, pool.pipeline),
        (pool.tensor // 2, pool.attention_data, pool.pipeline),
        (pool.tensor, pool.attention_data, pool.pipeline * 2),
        (pool.tensor, pool.attention_data, pool.pipeline // 2),
    ]
    if mixture:
        shapes += [
            (pool.tensor // 2, pool.attention_data * 2, pool.pipeline),
            (pool.tensor * 2, pool.attention_data // 2, pool.pipeline),
        ]
    for tensor, ranks, stages in shapes:
        devices = tensor * ranks * stages
        if not devices or pool.devices % devices:
            continue
        replicas = pool.devices // devices
        per_s = pool.requests_per_s
        yield (
            _shape(pool, tensor, ranks, stages),
            replace(
                pool,
                tensor=tensor,
                attention_data=ranks,
                pipeline=stages,
                expert=tensor * ranks if whole else 1,
                replicas=replicas,
                clients=pool.clients * pool.replicas / replicas,
                requests_per_s=None if per_s is None else per_s * pool.replicas / replicas,
            ),
        )


def _shape(pool: ServingPool, tensor: int, ranks: int, stages: int) -> str:
    named = (("tensor", tensor), ("attention data", ranks), ("pipeline", stages))
    before = (pool.tensor, pool.attention_data, pool.pipeline)
    pairs = zip(named, before, strict=True)
    return ", ".join(f"{name} {value}" for (name, value), old in pairs if value != old)


def _with(plan: ServingPlan, changed: dict[int, ServingPool]) -> ServingPlan:
    return replace(plan, pools=tuple(changed.get(at, pool) for at, pool in enumerate(plan.pools)))


def _lever(name: str, before: Offer, after: Offer) -> ServedLever:
    old, new = before.forecast, after.forecast
    return ServedLever(
        name=name,
        ttft=new.ttft.mean_s / old.ttft.mean_s - 1,
        tpot=_tpot_change(old, new),
        tokens_per_s=new.output_tokens_per_s / old.output_tokens_per_s - 1,
        missed=after.missed,
    )


def _tpot_change(old: Forecast, new: Forecast) -> float | None:
    if old.tpot is None or new.tpot is None:
        return None
    return new.tpot.mean_s / old.tpot.mean_s - 1


def _sorted(levers: list[ServedLever]) -> tuple[ServedLever, ...]:
    known = (one for one in levers if isfinite(one.ttft) and isfinite(one.tokens_per_s))
    return tuple(sorted(known, key=lambda one: (-round(one.tokens_per_s, 9), one.tpot or 0.0)))
