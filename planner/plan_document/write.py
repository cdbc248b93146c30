"""Plan values to the plan document."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.plan_document.schema import SCHEMA_ID
from planner.plan_document.write_estimate import estimate_fields
from planner.plan_document.write_plan import plan_fields
from planner.plan_document.write_search import search_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import RankedPlan
    from planner.plan_document.inputs import RecordedFile, RecordedInputs, RecordedJob
    from planner.training.search.result import SearchResult


def to_document(
    inputs: RecordedInputs,
    plans: Sequence[RankedPlan],
    *,
    search: SearchResult | None = None,
    why: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of `plans`, in the contract's key order. Without `search` the document is that
    of an estimate and has no "search". `why`: sentences about the plan of rank 1. Times are
    seconds, sizes are integer bytes."""
    document: dict[str, Any] = {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "inputs": {
            "cluster": _stated(inputs.cluster),
            "model": _stated(inputs.model),
            "job": _stated(inputs.job),
            "assumptions": list(inputs.assumptions),
        },
    }
    if search is not None:
        document["search"] = search_fields(search)
    document["plans"] = [
        {
            "rank": ranked.rank,
            **_tie(ranked),
            **_worst(ranked),
            **plan_fields(ranked.plan),
            **_proofs(ranked),
            **({"why": list(why)} if why and ranked.rank == 1 else {}),
            "estimate": estimate_fields(ranked.estimate),
        }
        for ranked in plans
    ]
    return document


def _stated(record: RecordedFile | RecordedJob) -> dict[str, Any]:
    """The fields of a record, without optional ones that say nothing."""
    silent = {
        field.name
        for field in fields(record)
        if field.default is None and getattr(record, field.name) is None
    }
    return {name: value for name, value in asdict(record).items() if name not in silent}


def _proofs(ranked: RankedPlan) -> dict[str, Any]:
    """Nothing for a plan that was not searched for."""
    return {"proofs": [asdict(proof) for proof in ranked.proofs]} if ranked.proofs else {}


def _worst(ranked: RankedPlan) -> dict[str, float]:
    """Nothing for a plan that was ranked by its estimate."""
    worst_s = ranked.worst_step_s
    return {} if worst_s is None else {"worst_step_s": worst_s}


def _tie(ranked: RankedPlan) -> dict[str, bool]:
    """Nothing for a plan that was not compared with others."""
    tied = ranked.tied_with_best
    return {} if tied is None else {"tied_with_best": tied}
