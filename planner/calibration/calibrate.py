"""Calibration as one call: the constants that a user's runs determine, judged on runs that were
left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from planner.calibration.constants import DEVICE
from planner.calibration.identify import LEAST_SCATTER, ConstantSelection, Verdict, select
from planner.calibration.responses import price, respond
from planner.calibration.tunable import Named
from planner.validation.statistics import mean, quantile
from planner.wording.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.calibration.responses import Responses
    from planner.calibration.tunable import Constants, Observed
    from planner.specs.device import DeviceSpec

    Floats = NDArray[np.float64]

H = TypeVar("H", bound=Named)

FEWEST_RUNS = 3
"""Fewest runs of a calibration, and of each trial that leaves out a part of them, unless it leaves
out single runs."""
BETTER = 0.95
"""A calibration counts as a gain if the mean error on runs that were left out is at most this
multiple of the mean error before."""
ROUNDS = 3
EXACT = 1e-3
"""Relative difference between interpolated and exact times that needs no correction."""

LONGEST_SOURCE = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Generic[H]):
    """`before_s`, `after_s` and `held_out_s` are predicted times of the observations: with the
    constants of `holder` as they were, as they are fitted to all of them, and as they are fitted
    without the run's own source, model or group (`folds_by`). `refusal` says why `calibrated` is
    None."""

    holder: H
    constants: Constants[H]
    observations: tuple[Observed[H], ...]
    verdicts: tuple[Verdict, ...]
    scatter: float
    before_s: tuple[float, ...]
    after_s: tuple[float, ...]
    held_out_s: tuple[float, ...]
    folds_by: str
    folds: int
    calibrated: H | None
    refusal: str | None

    @property
    def runs(self) -> int:
        """Runs that were measured, some of them in several ways."""
        return len({one.run for one in self.observations})

    def errors(self, predicted_s: Sequence[float]) -> list[float]:
        """Predicted / measured − 1 of every time."""
        return [
            predicted / one.measured_s - 1
            for predicted, one in zip(predicted_s, self.observations, strict=True)
        ]

    def mean_error(self, predicted_s: Sequence[float]) -> float:
        """Mean absolute error, each as much as it counts."""
        weighted = zip(self.errors(predicted_s), self.observations, strict=True)
        return mean([abs(error) * one.weight for error, one in weighted])


def calibrate(
    observations: Sequence[Observed[DeviceSpec]], device: DeviceSpec
) -> Calibration[DeviceSpec]:
    """Refit the constants of a device that the observations determine, all of which are on it."""
    return refit(observations, device, DEVICE)


def refit(
    observations: Sequence[Observed[H]], holder: H, constants: Constants[H]
) -> Calibration[H]:
    """Refit the constants that the observations determine, all of which depend on the holder."""
    measured_s = np.array([one.measured_s for one in observations])
    responses = respond(observations, holder, constants)
    before_s = responses.base_s
    trial = _Trial(observations, holder, constants, measured_s)
    selection, after_s, responses = trial.fitted(responses)
    folds_by, folds = folds_of(observations, constants.folds)
    held_out_s = before_s
    if selection.values and _runs(observations) >= FEWEST_RUNS:
        held_out_s = trial.held_out(responses, folds)
    found = Calibration(
        holder=holder,
        constants=constants,
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
    calibrated = constants.changed(holder, selection.values, _source(found))
    return replace(found, calibrated=calibrated)


class _Trial(Generic[H]):
    """Fits to some measured times."""

    def __init__(
        self,
        observations: Sequence[Observed[H]],
        holder: H,
        constants: Constants[H],
        measured_s: Floats,
    ) -> None:
        self._observations, self._holder = observations, holder
        self._constants, self._measured_s = constants, measured_s

    def fitted(self, responses: Responses) -> tuple[ConstantSelection, Floats, Responses]:
        """The selection with exact times at its values, and responses that agree with them."""
        for _ in range(ROUNDS):
            selection = select(responses, self._measured_s)
            fitted = self._constants.under_trial(self._holder, selection.values)
            exact_s = price(self._observations, fitted, self._constants)
            apart = np.abs(responses.seconds(selection.values) / exact_s - 1).max()
            responses = responses.corrected(selection.values, exact_s)
            if apart < EXACT:
                break
        return selection, exact_s, responses

    def held_out(self, responses: Responses, folds: Sequence[Sequence[int]]) -> Floats:
        """Times predicted for each part by what all the others say, choice of constants
        included."""
        count = len(self._observations)
        predicted_s = np.zeros(count)
        for part in folds:
            rest = [position for position in range(count) if position not in part]
            selection = select(responses.take(rest), self._measured_s[rest])
            fitted = self._constants.under_trial(self._holder, selection.values)
            left_out = [self._observations[at] for at in part]
            predicted_s[part] = price(left_out, fitted, self._constants)
        return predicted_s


def folds_of(
    observations: Sequence[Observed[H]], kinds: Sequence[str]
) -> tuple[str, list[list[int]]]:
    """The kind of part that is left out at a time, and the positions of each part."""
    runs = _runs(observations)
    for name in kinds:
        parts = _parts(observations, name)
        kept = runs - max(_runs([observations[at] for at in part]) for part in parts)
        if 1 < len(parts) < runs and kept >= FEWEST_RUNS:
            return name, parts
    return "run", _parts(observations, "run")


def _parts(observations: Sequence[Observed[H]], kind: str) -> list[list[int]]:
    """Positions of those that have the kind in common; those that have none are alone."""
    parts: dict[str, list[int]] = {}
    for position, one in enumerate(observations):
        parts.setdefault(getattr(one, kind) or one.run, []).append(position)
    return list(parts.values())


def _runs(observations: Sequence[Observed[H]]) -> int:
    return len({one.run for one in observations})


def _refusal(found: Calibration[H]) -> str | None:
    """Why nothing is refitted; None when it is worth it."""
    runs, figure = found.runs, found.constants.figure
    if runs < FEWEST_RUNS:
        there = f"{runs} is" if runs == 1 else f"{runs} are"
        return f"{FEWEST_RUNS} runs with a {figure} are needed; {there} on {found.holder.name}"
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


def _nothing_refitted(found: Calibration[H]) -> str:
    signed = sorted(found.errors(found.before_s))
    typical = quantile(signed, 0.5)
    file, figure = found.constants.file, found.constants.figure
    if not any(verdict.status == "kept" for verdict in found.verdicts):
        return f"the runs cannot tell any constant of the {file}"
    if abs(typical) > mean([abs(error - typical) for error in signed]) + LEAST_SCATTER:
        direction = "long" if typical > 0 else "short"
        return (
            f"the {figure} is predicted {abs(typical):.1%} too {direction}, which no constant "
            "within its limits explains"
        )
    return f"the runs agree with the {file} up to a scatter of {found.scatter:.1%}"


def _source(found: Calibration[H]) -> str:
    """Where refitted constants come from, for the file."""
    before, held_out = map(found.mean_error, (found.before_s, found.held_out_s))
    files = ", ".join(dict.fromkeys(printable(one.source) for one in found.observations))
    if len(files) > LONGEST_SOURCE:
        files = f"{files[:LONGEST_SOURCE]}…"
    return (
        f"planner calibrate, fit to {found.runs} {found.constants.runs} of {files}; mean "
        f"error of the {found.constants.figure} {before:.1%} before, {held_out:.1%} on runs left "
        "out of the fit"
    )
