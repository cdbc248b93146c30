"""The JSON document of `planner calibrate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from planner.validation.statistics import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.calibration.calibrate import Calibration
    from planner.calibration.observations import Observation
    from planner.specs.device import DeviceSpec
    from planner.specs.runs.spec import RunError


def to_document(
    found: Calibration[DeviceSpec], *, written: str | None, left_out: Sequence[RunError] = ()
) -> dict[str, Any]:
    """Seconds and bytes; an error is predicted / measured − 1. `written`: the device file, null
    when calibration is refused."""
    return {
        "device": found.holder.name,
        **verdicts_and_errors(found, written),
        "runs": [
            {
                "id": one.id,
                "source": one.source,
                "step_s": {
                    "measured": one.measured_s,
                    "before": found.before_s[index],
                    "after": found.after_s[index],
                    "held_out": found.held_out_s[index],
                },
                "memory": {
                    kind: {
                        "predicted": round(peak.predicted),
                        "measured": round(peak.measured),
                        "error": peak.error,
                    }
                    for kind, peak in one.memory.items()
                },
            }
            for index, one in enumerate(cast("Sequence[Observation]", found.observations))
        ],
        "left_out": [{"id": error.id, "message": error.message} for error in left_out],
    }


def verdicts_and_errors(found: Calibration[Any], written: str | None) -> dict[str, Any]:
    """What every calibration says: its constants, and its errors."""
    errors = {
        "before": found.errors(found.before_s),
        "after": found.errors(found.after_s),
        "held_out": found.errors(found.held_out_s),
    }
    return {
        "refusal": found.refusal,
        "written": written,
        "constants": [asdict(verdict) for verdict in found.verdicts],
        "scatter": found.scatter,
        "errors": {name: asdict(summarize(signed)) for name, signed in errors.items()},
        "left_out_at_a_time": {"by": found.folds_by, "parts": found.folds},
    }
