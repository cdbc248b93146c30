"""The JSON document of `planner validate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from planner.validation.compare import MEMORY_KINDS, STAGE_QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.validation.compare import Comparison, RunResult
    from planner.validation.summary import Summary
    from planner.validation.validate import SourceResult, Validation


def to_document(validation: Validation) -> dict[str, Any]:
    """Seconds and bytes; an error is predicted / measured − 1; what was not measured is null."""
    return {
        "runs": [
            _run(result, source) for source in validation.sources for result in source.results
        ],
        "errors": [{"id": error.id, "message": error.message} for error in validation.errors],
        "summary": summary_document(validation.summary) | {"families": asdict(validation.families)},
        "sources": [
            {
                "name": source.name,
                "source": source.source,
                "errors": len(source.errors),
                "summary": summary_document(source.summary),
            }
            for source in validation.sources
        ],
    }


def summary_document(summary: Summary) -> dict[str, Any]:
    return {
        "step_s": {
            **asdict(summary.step),
            "constant_mfu_error": summary.constant_mfu_error,
            "skill": summary.skill,
        },
        "memory": {kind: asdict(summary.memory[kind]) for kind in MEMORY_KINDS},
        "min_rank_allocated": asdict(summary.min_rank_allocated),
        "stages": {name: asdict(summary.stages[name]) for name in STAGE_QUANTITIES},
        "fits": asdict(summary.fits),
        "regret": asdict(summary.regret),
        "rank_correlation": asdict(summary.ranks),
    }


def _run(result: RunResult, source: SourceResult) -> dict[str, Any]:
    return {
        "id": result.id,
        "source": source.name,
        "group": result.group,
        "step_s": _seconds(result.step),
        "memory": {kind: _bytes(result.memory[kind]) for kind in MEMORY_KINDS},
        "fits": {"predicted": result.fits_predicted, "measured": result.fits_measured},
        "min_rank_allocated": _bytes(result.min_rank_allocated),
        "stages": {
            name: None if name not in result.stages else _by_stage(result.stages[name])
            for name in STAGE_QUANTITIES
        },
        "assumptions": list(result.assumptions),
    }


def _seconds(one: Comparison | None) -> dict[str, float] | None:
    if one is None:
        return None
    return {"predicted": one.predicted, "measured": one.measured, "error": one.error}


def _bytes(one: Comparison | None) -> dict[str, float] | None:
    if one is None:
        return None
    return {
        "predicted": round(one.predicted),
        "measured": round(one.measured),
        "error": one.error,
    }


def _by_stage(stages: Sequence[Comparison]) -> dict[str, list[float]]:
    return {
        "predicted": [one.predicted for one in stages],
        "measured": [one.measured for one in stages],
        "error": [one.error for one in stages],
    }
