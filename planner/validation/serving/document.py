"""The JSON document of `planner validate` for serving runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.validation.serving.compare import ServingResult, ServingValidation
    from planner.validation.statistics import ErrorSummary


def to_document(validation: ServingValidation) -> dict[str, Any]:
    """Seconds, and tokens per second; an error is predicted / measured - 1. Quantities that a run
    did not measure are left out of it."""
    return {
        "job": "serving",
        "runs": [_run(one, source.name) for source in validation.sources for one in source.results],
        "errors": [{"id": error.id, "message": error.message} for error in validation.errors],
        "left_out_as_measured": [
            {"id": doubt.id, "message": doubt.message} for doubt in validation.doubts
        ],
        "summary_with_left_out": _summary(validation.summary_with_doubtful),
        "summary": _summary(validation.summary)
        | {
            "choices": {mode: asdict(one) for mode, one in validation.choices.items()},
            "cells": [
                {
                    "model": cell.model,
                    "device": cell.device,
                    "engine": cell.engine,
                    "mode": cell.mode,
                    **_summary(cell.summary),
                }
                for cell in validation.cells
            ],
        },
    }


def _summary(summary: Mapping[str, ErrorSummary]) -> dict[str, Any]:
    return {name: asdict(errors) for name, errors in summary.items()}


def _run(result: ServingResult, source: str) -> dict[str, Any]:
    return {
        "id": result.id,
        "source": source,
        "model": result.model,
        "device": result.device,
        "engine": result.engine,
        "mode": result.mode,
        "devices": result.devices,
        "concurrency": result.concurrency,
    } | {
        name: {"predicted": one.predicted, "measured": one.measured, "error": one.error}
        for name, one in result.compared.items()
    }
