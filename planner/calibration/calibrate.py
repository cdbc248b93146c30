"""Calibration as one call: the constants that a user's runs determine, judged on runs that were
left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.constants import TUNABLES, with_values
from planner.calibration.identify import LEAST_SCATTER, ConstantSelection, Verdict, select
from planner.calibration.responses import price, respond
from planner.validation.statistics import mean, quantile
from planner.wording.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from planner.calibration.observations import Observation
    from planner.calibration.responses import Responses
    from planner.specs.device import DeviceSpec

    Floats = NDArray[np.float64]

FEWEST_RUNS = 3
"""Fewest runs of a calibration, and of each trial that leaves out a part of them, unless it leaves
out single runs."""
BETTER = 0.95
"""A calibration counts as a gain if the mean error on runs that were left out is at most this
multiple of the mean error before."""
ROUNDS = 3
EXACT = 1e-3
"""Relative difference between interpolated and exact step times that needs no correction."""

LONGEST_SOURCE = 1500

Key = tuple[str, "Callable[[Observation], str]"]
FOLDS: tuple[Key, ...] = (
    ("source", lambda one: one.source),
    ("model", lambda one: one.model),
    ("group", lambda one: one.group or one.id),
)
"""Parts that are left out one at a time: the first kind of these that always leaves enough runs, or
else single runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """`before_s`, `after_s` and `held_out_s` are predicted steps of the observations: with the
    device as it was, as it is fitted to all of them, and as it is fitted without the run's own
    source, model or group (`folds_by`). `refusal` says why `calibrated` is None."""

    device: DeviceSpec
    observations: tuple[Observation, ...]
    verdicts: tuple[Verdict, ...]
    scatter: float
    before_s: tuple[float, ...]
    after_s: tuple[float, ...]
    held_out_s: tuple[float, ...]
    folds_by: str
    folds: int
    calibrated: DeviceSpec | None
    refusal: str | None

    def errors(self, predicted_s: Sequence[float]) -> list[float]:
        """Predicted / measured − 1 of every run."""
        return [
            predicted / one.measured_s - 1
            for predicted, one in zip(predicted_s, self.observations, strict=True)
        ]

    def mean_error(self, predicted_s: Sequence[float]) -> float:
        """Mean absolute error over the runs."""
        return mean([abs(error) for error in self.errors(predicted_s)])


def calibrate(observations: Sequence[Observation], device: DeviceSpec) -> Calibration:
    """Refit the constants that the observations determine, all of which are on the device."""
    measured_s = np.array([one.measured_s for one in observations])
    responses = respond(observations, device, TUNABLES)
    before_s = responses.base_s
    selection, after_s, responses = _fitted(observations, device, responses, measured_s)
    folds_by, folds = folds_of(observations)
    held_out_s = before_s
    if selection.values and len(observations) >= FEWEST_RUNS:
        held_out_s = _held_out(observations, device, responses, measured_s, folds)
    found = Calibration(
        device=device,
        observations=tuple(observations),
        verdicts=selection.verdicts,
        scatter=selection.scatter,
        before_s=tuple(before_s.tolist()),
        after_s=tuple(after_s.tolist()),
        held_out_s=tuple(held_out_s.tolist()),
        folds_by=folds_by,
        folds=len(folds),
        calibrated=None,
        refusal=None,
    )
    refusal = _refusal(found)
    if refusal is not None:
        return replace(found, refusal=refusal)
    return replace(found, calibrated=with_values(device, selection.values, _source(found)))


def _fitted(
    observations: Sequence[Observation],
    device: DeviceSpec,
    responses: Responses,
    measured_s: Floats,
) -> tuple[ConstantSelection, Floats, Responses]:
    """The selection with exact step times at its values, and responses that agree with them."""
    for _ in range(ROUNDS):
        selection = select(responses, measured_s)
        exact_s = price(observations, with_values(device, selection.values))
        apart = np.abs(responses.seconds(selection.values) / exact_s - 1).max()
        responses = responses.corrected(selection.values, exact_s)
        if apart < EXACT:
            break
    return selection, exact_s, responses


def folds_of(observations: Sequence[Observation]) -> tuple[str, list[list[int]]]:
    """The kind of part that is left out at a time, and the positions of each part."""
    runs = len(observations)
    for name, key in FOLDS:
        parts: dict[str, list[int]] = {}
        for position, one in enumerate(observations):
            parts.setdefault(key(one), []).append(position)
        kept = runs - max(map(len, parts.values()))
        if 1 < len(parts) < runs and kept >= FEWEST_RUNS:
            return name, list(parts.values())
    return "run", [[position] for position in range(runs)]


def _held_out(
    observations: Sequence[Observation],
    device: DeviceSpec,
    responses: Responses,
    measured_s: Floats,
    folds: Sequence[Sequence[int]],
) -> Floats:
    """Step times predicted for each part by what all the others say, choice of constants
    included."""
    predicted_s = np.zeros(len(observations))
    for part in folds:
        rest = [position for position in range(len(observations)) if position not in part]
        selection = select(responses.take(rest), measured_s[rest])
        fitted = with_values(device, selection.values)
        predicted_s[part] = price([observations[position] for position in part], fitted)
    return predicted_s


def _refusal(found: Calibration) -> str | None:
    """Why nothing is refitted; None when it is worth it."""
    runs = len(found.observations)
    if runs < FEWEST_RUNS:
        there = f"{runs} is" if runs == 1 else f"{runs} are"
        return f"{FEWEST_RUNS} runs with a step time are needed; {there} on {found.device.name}"
    if not any(verdict.status == "refitted" for verdict in found.verdicts):
        return _nothing_refitted(found)
    before, held_out = map(found.mean_error, (found.before_s, found.held_out_s))
    if held_out > BETTER * before:
        return (
            f"the refitted constants do not hold elsewhere: leaving out one {found.folds_by} of "
            f"{found.folds} at a time, the mean error there is {held_out:.1%} with them and "
            f"{before:.1%} without"
        )
    return None


def _nothing_refitted(found: Calibration) -> str:
    signed = sorted(found.errors(found.before_s))
    typical = quantile(signed, 0.5)
    if not any(verdict.status == "kept" for verdict in found.verdicts):
        return "the runs cannot tell any constant of the device file"
    if abs(typical) > mean([abs(error - typical) for error in signed]) + LEAST_SCATTER:
        direction = "slow" if typical > 0 else "fast"
        return (
            f"steps are predicted {abs(typical):.1%} too {direction}, which no constant within its "
            "limits explains"
        )
    return f"the runs agree with the device file up to a scatter of {found.scatter:.1%}"


def _source(found: Calibration) -> str:
    """Where refitted constants come from, for the device file."""
    before, held_out = map(found.mean_error, (found.before_s, found.held_out_s))
    files = ", ".join(dict.fromkeys(printable(one.source) for one in found.observations))
    if len(files) > LONGEST_SOURCE:
        files = f"{files[:LONGEST_SOURCE]}…"
    return (
        f"planner calibrate, fit to {len(found.observations)} training runs of {files}; mean "
        f"step-time error {before:.1%} before, {held_out:.1%} on runs left out of the fit"
    )
