"""The JSON document of `planner calibrate` for serving runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from planner.calibration.document import verdicts_and_errors
from planner.validation.serving.figures import RATE, TPOT, TTFT
from planner.validation.statistics import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.calibration.calibrate import Calibration
    from planner.calibration.serving.constants import EngineOnDevice
    from planner.calibration.serving.observations import ServedObservation
    from planner.specs.runs.spec import RunError

FIGURES = (TPOT, TTFT, RATE)


def figures_of(found: Calibration[EngineOnDevice]) -> Iterator[tuple[str, list[int]]]:
    """Each figure that was fitted, and the positions of what was measured of it."""
    observed = cast("Sequence[ServedObservation]", found.observations)
    for figure in FIGURES:
        at = [position for position, one in enumerate(observed) if one.figure == figure]
        if at:
            yield figure, at


def to_document(
    found: Calibration[EngineOnDevice],
    *,
    written: str | None,
    left_out: Sequence[RunError] = (),
) -> dict[str, Any]:
    """Seconds; throughput as device seconds of a token. An error is predicted / measured − 1.
    `written`: the engine file, null when calibration is refused."""
    parts = (("before", found.before_s), ("after", found.after_s), ("held_out", found.held_out_s))
    signed = {name: found.errors(predicted_s) for name, predicted_s in parts}
    return {
        "job": "serving",
        "engine": found.holder.engine.name,
        "device": found.holder.device,
        **verdicts_and_errors(found, written),
        "errors_by_figure": {
            figure: {
                name: asdict(summarize(errors[position] for position in at))
                for name, errors in signed.items()
            }
            for figure, at in figures_of(found)
        },
        "runs": [
            {
                "id": one.id,
                "source": one.source,
                "seconds": {
                    "measured": one.measured_s,
                    **{name: predicted_s[index] for name, predicted_s in parts},
                },
            }
            for index, one in enumerate(found.observations)
        ],
        "left_out": [{"id": error.id, "message": error.message} for error in left_out],
    }
