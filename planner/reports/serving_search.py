"""The report of a search for serving plans: the best plan, the others, the front, how sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.budget import Stopped
from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.serving.accuracy import chance_kept, shares_of
from planner.serving.limits import compared
from planner.serving.search.result import value_of
from planner.specs.serving import serving_defaults
from planner.wording.pools import pool_words
from planner.wording.units import count, percent, plural, three_digits, time_scale

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.plan.serving import ServingPlan, ServingPool
    from planner.serving.forecast import Offer
    from planner.serving.search.result import ServingSearch
    from planner.specs.model.spec import ModelSpec
    from planner.specs.serving_load import ServiceLevel

_VALUES = {
    "throughput": "output tokens per second",
    "devices": "devices",
    "cost": "for a million output tokens",
    "energy": "joules for an output token",
}
_FRONT_ROWS = 12
_NEARLY = 0.99
"""Chance above which no figure is given."""


def serving_search_report(
    search: ServingSearch,
    *,
    model: ModelSpec,
    cluster: str,
    currency: str | None,
    slo: ServiceLevel | None,
    assumptions: Sequence[str],
) -> RenderableType:
    """Plans, the best first; where none keeps the limits, what comes closest. `slo`: the limits of
    the load as they are stated."""
    parts: list[RenderableType] = [paragraph(_answer(search, currency), style="bold")]
    parts.append(
        paragraph(
            f"{model.name} on {cluster}: {plural(search.kinds, 'kind')} of replicas, "
            f"{count(search.candidates)} settings bounded, {count(search.priced)} simulated."
        )
    )
    if search.offers:
        best = search.offers[0]
        parts += [
            paragraph(ranges_text(best, mixture=model.moe is not None)),
            *map(paragraph, _chances(best, slo, mixture=model.moe is not None)),
            heading("The best plan"),
            bullets(pool_text(pool) for pool in best.plan.pools),
            heading("Plans"),
            _plans(search.offers),
        ]
    if search.nearest:
        parts += [heading("Closest"), _plans(search.nearest)]
    if search.relaxations:
        parts += [heading("What stands in the way"), bullets(search.relaxations)]
    if search.front:
        parts += [heading("Throughput of a device against interactivity"), _front(search.front)]
    if search.excluded:
        parts += [
            heading("Replicas that are left out"),
            bullets(f"{one.reason}: {plural(one.replicas, 'kind')}" for one in search.excluded),
        ]
    return Group(*parts, heading("Assumptions"), bullets(assumptions))


def serving_plan_report(offer: Offer, *, model: ModelSpec, cluster: str) -> RenderableType:
    """One plan and what it does."""
    found = offer.forecast
    said = (
        f"{three_digits(found.output_tokens_per_s)} output tokens per second with "
        f"{kinds_text(offer.plan)}."
    )
    parts: list[RenderableType] = [
        paragraph(said, style="bold"),
        paragraph(f"{model.name} on {cluster}, {offer.plan.engine}."),
        paragraph(ranges_text(offer, mixture=model.moe is not None)),
        heading("Pools"),
        bullets(pool_text(pool) for pool in offer.plan.pools),
        heading("Latency and throughput"),
        _plans((offer,)),
    ]
    if offer.missed:
        parts += [heading("Limits of the load that are missed"), bullets(offer.missed)]
    return Group(*parts)


def _answer(search: ServingSearch, currency: str | None) -> str:
    if not search.offers:
        if not search.kinds:
            return "Nothing fits: no replica has room for a request of the load."
        if search.stopped is Stopped.TIME_LIMIT:
            return "Time ran out before a plan that keeps the limits of the load was found."
        if search.stopped is Stopped.INTERRUPTED:
            return "Interrupted before a plan that keeps the limits of the load was found."
        if search.stopped is not Stopped.PROVEN:
            return "No plan that keeps the limits of the load was found, but none is ruled out."
        return "No plan keeps the limits of the load."
    best = search.offers[0]
    come = any(pool.requests_per_s for pool in best.plan.pools)
    value = value_of(search.objective, best)
    unit = _VALUES[search.objective]
    number = "" if value is None else three_digits(value)
    if search.objective == "devices":
        number, unit = plural(best.forecast.devices, "device").rsplit(" ", 1)
    if search.objective == "cost" and currency is not None:
        number = f"{number} {currency}"
    at = f", {three_digits(best.forecast.requests_per_s)} requests per second" if come else ""
    return f"{number} {unit}{at} with {kinds_text(best.plan)}; {_proof(search)}."


def _proof(search: ServingSearch) -> str:
    cut = {Stopped.TIME_LIMIT: "; time ran out", Stopped.INTERRUPTED: "; interrupted"}
    why = cut.get(search.stopped, "")
    if search.gap is None:
        return f"no bound is known{why}"
    if search.proven:
        return "proven best under the model"
    return f"within {percent(search.gap)} of the best{why}"


def kinds_text(plan: ServingPlan) -> str:
    """`2 prefill and 3 decode replicas on 20 devices`."""
    named = [f"{count(pool.replicas)} {pool.role}" for pool in plan.pools]
    joined = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    last = plan.pools[-1].replicas
    return f"{joined} replica{'s' if last > 1 else ''} on {plural(plan.devices, 'device')}"


def ranges_text(offer: Offer, *, mixture: bool) -> str:
    """Where nine of ten measurements lie."""
    found = offer.forecast.ranges(mixture=mixture)
    said = []
    for name, label in (("ttft_mean_s", "first token"), ("tpot_mean_s", "each further token")):
        if name in found:
            scale = time_scale(found[name][1])
            said.append(f"{label} {'–'.join(map(scale.number, found[name]))} {scale.unit}")
    ends = "–".join(map(three_digits, found["output_tokens_per_s_per_device"]))
    level = f"{serving_defaults().ranges.level:.0%} ranges of the means"
    return f"{level}: {', '.join(said)}, {ends} output tokens per second on each device."


def _chances(offer: Offer, slo: ServiceLevel | None, *, mixture: bool) -> Iterator[str]:
    """How sure it is that each limit is kept."""
    found, shares = offer.forecast, shares_of(mixture=mixture)
    said = []
    for name, seconds, limit_s in compared(slo, found.ttft, found.tpot):
        figure, statistic = name.split()
        chance = chance_kept(seconds, limit_s, getattr(shares, figure))
        said.append(f"{figure.upper()} {statistic} within {_ms(limit_s)}: {_chance(chance)}")
    if said:
        yield f"Chance that a limit is kept, by how far published runs are off: {', '.join(said)}."


def _chance(share: float) -> str:
    return "over 99%" if share > _NEARLY else f"{share:.0%}"


def pool_text(pool: ServingPool) -> str:
    """`2 aggregated replicas of 4 devices on …`."""
    degrees = [f"tensor {pool.tensor}"]
    if pool.pipeline > 1:
        degrees.append(f"pipeline {pool.pipeline}")
    if pool.attention_data > 1:
        degrees.append(f"attention data {pool.attention_data}")
    if pool.expert > 1:
        degrees.append(f"expert {pool.expert}")
    replicas = plural(pool.replicas, f"{pool.role} replica")
    held = f"{three_digits(pool.clients)} requests under way in each"
    if pool.requests_per_s is not None:
        held += f", {three_digits(pool.requests_per_s)} in a second"
    return (
        f"{replicas} of {plural(pool.replica_devices, 'device')}"
        f" on {pool.group} ({pool.device}): {', '.join(degrees)}; weights {pool.weights}, KV cache "
        f"{pool.kv_format}; {held}, at most "
        f"{count(pool.max_step_tokens)} prompt tokens in a step"
    )


def _plans(offers: Sequence[Offer]) -> Table:
    table = numbers_table(6)
    table.add_column("pools", overflow="fold", min_width=16)
    for header in ("devices", "tokens/s", "TTFT", "p99", "TPOT", "p99"):
        table.add_column(header, justify="right", no_wrap=True)
    for offer in offers:
        found, tpot = offer.forecast, offer.forecast.tpot
        table.add_row(
            Text(_short(offer.plan)),
            count(found.devices),
            three_digits(found.output_tokens_per_s),
            _ms(found.ttft.mean_s),
            _ms(found.ttft.p99_s),
            "" if tpot is None else _ms(tpot.mean_s),
            "" if tpot is None else _ms(tpot.p99_s),
        )
    return table


def _short(plan: ServingPlan) -> str:
    """`3x TP2 prefill, 2x TP8 decode`."""
    return ", ".join(
        pool_words(
            role=pool.role,
            replicas=pool.replicas,
            tensor=pool.tensor,
            attention_data=pool.attention_data,
            expert=pool.expert,
            pipeline=pool.pipeline,
        )
        for pool in plan.pools
    )


def _ms(seconds: float) -> str:
    scale = time_scale(seconds)
    return f"{scale.number(seconds)} {scale.unit}"


def _front(front: Sequence[Offer]) -> Table:
    """At most some rows, the ends among them."""
    table = numbers_table(3)
    for header in ("tokens/s of a user", "tokens/s of a device", "devices"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("pools", overflow="fold", min_width=16)
    last = len(front) - 1
    rows = min(_FRONT_ROWS, len(front))
    picks = sorted({round(at * last / max(1, rows - 1)) for at in range(rows)})
    for at in picks:
        found = front[at].forecast
        table.add_row(
            three_digits(found.tokens_per_s_per_user or 0.0),
            three_digits(found.output_tokens_per_s_per_device),
            count(found.devices),
            Text(_short(front[at].plan)),
        )
    return table
