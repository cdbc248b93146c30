"""Serving plans to their document."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.plan.serving import ServingPool
from planner.plan_document.serving.kind import SERVING_SCHEMA_ID
from planner.serving.limits import STATISTICS
from planner.serving.search.result import value_of
from planner.specs.serving import serving_defaults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan_document.inputs import RecordedFile
    from planner.plan_document.serving.inputs import ServingInputs
    from planner.serving.forecast import Offer
    from planner.serving.latency import Latency
    from planner.serving.placement import ExpertRouting
    from planner.serving.search.result import ServingSearch


def to_serving_document(
    inputs: ServingInputs,
    offers: Sequence[Offer],
    *,
    mixture: bool,
    search: ServingSearch | None = None,
    routing: ExpertRouting | None = None,
) -> dict[str, Any]:
    """The document of plans, the best first; without `search` that of an estimate. `mixture`: the
    model has experts; `routing`: of its tokens, where it was counted. Times are seconds."""
    document: dict[str, Any] = {
        "schema": SERVING_SCHEMA_ID,
        "planner_version": __version__,
        "job": "serving",
        "inputs": {
            "cluster": _file(inputs.cluster),
            "model": _file(inputs.model),
            "engine": _file(inputs.engine),
            "load": inputs.load.recorded,
            "assumptions": list(inputs.assumptions),
        },
    }
    if search is not None:
        document["search"] = _search(search, mixture)
    document["plans"] = [
        {"rank": rank, **offer_fields(offer, mixture)} for rank, offer in enumerate(offers, 1)
    ]
    if search is not None:
        document["front"] = [offer_fields(offer, mixture) for offer in search.front]
    if routing is not None and routing.free:
        every = (*offers, *(() if search is None else search.front))
        degrees = sorted({pool.expert for offer in every for pool in offer.plan.pools})
        document["expert_placement"] = [_placed(routing, one) for one in degrees if one > 1]
    return document


def _placed(routing: ExpertRouting, expert: int) -> dict[str, Any]:
    placed = routing.on(expert)
    return {
        "expert": expert,
        "fullest": placed.fullest,
        "in_order": placed.in_order,
        "gap": placed.gap,
        "layers": [list(layer) for layer in placed.order],
    }


def offer_fields(offer: Offer, mixture: bool) -> dict[str, Any]:
    """A plan's pools and what they do."""
    return {
        "pools": [_pool(pool) for pool in offer.plan.pools],
        "estimate": _estimate(offer, mixture),
    }


def _file(record: RecordedFile) -> dict[str, Any]:
    known = asdict(record)
    return {name: value for name, value in known.items() if name != "path" or value is not None}


def _pool(pool: ServingPool) -> dict[str, Any]:
    known = {field.name: getattr(pool, field.name) for field in fields(ServingPool)}
    if pool.requests_per_s is None:
        del known["requests_per_s"]
    return {**known, "hosts": list(pool.hosts)}


def _estimate(offer: Offer, mixture: bool) -> dict[str, Any]:
    found = offer.forecast
    return {
        "ttft": latency_fields(found.ttft),
        "tpot": None if found.tpot is None else latency_fields(found.tpot),
        "output_tokens_per_s": found.output_tokens_per_s,
        "output_tokens_per_s_per_device": found.output_tokens_per_s_per_device,
        "tokens_per_s_per_user": found.tokens_per_s_per_user,
        "requests_per_s": found.requests_per_s,
        "clients": found.clients,
        "devices": found.devices,
        "bound_by": found.bound_by,
        "transfer_s": found.transfer_s,
        "price_per_million_tokens": found.price_per_million_tokens,
        "joules_per_token": found.joules_per_token,
        "ranges": {
            "level": serving_defaults().ranges.level,
            **{name: list(ends) for name, ends in found.ranges(mixture=mixture).items()},
        },
        "missed": list(offer.missed),
    }


def latency_fields(found: Latency) -> dict[str, float]:
    """Seconds by statistic."""
    return {
        f"{statistic}_s": getattr(found, attribute) for statistic, attribute in STATISTICS.items()
    }


def _search(search: ServingSearch, mixture: bool) -> dict[str, Any]:
    record = search.solver
    return {
        "objective": search.objective,
        "value": value_of(search.objective, search.offers[0]) if search.offers else None,
        "bound": search.bound,
        "proven": search.proven,
        "gap": search.gap,
        "kinds": search.kinds,
        "candidates": search.candidates,
        "priced": search.priced,
        "stopped": search.stopped.value,
        "excluded": [asdict(one) for one in search.excluded],
        "nearest": [offer_fields(offer, mixture) for offer in search.nearest],
        "relaxations": list(search.relaxations),
        "programs": 0 if record is None else record.programs,
        "solvers": [] if record is None else [one.name for one in record.engines if one.answered],
    }
