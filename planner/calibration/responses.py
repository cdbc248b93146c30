"""How predicted times respond to constants; priced once, so that a fit can try many values.

A time is a sum of times that each hang on one constant, nearly linear in the constant's reciprocal.
Every constant is therefore varied alone at a few values, the change of the time interpolated
between them, and the changes of several constants added. What the sum leaves out is corrected for
at the fitted values (`corrected`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from planner.calibration.tunable import Constants, Observed, Tunable

    Floats = NDArray[np.float64]

H = TypeVar("H")

PROBE = 0.1
"""Relative change of a constant by which sensitivities are measured."""
STEPS = (0.6, 1.25)
"""Further values that are priced, relative to the constant, in addition to its limits."""
SMALLEST_SHARE = 1e-7
"""Relative change of a time below which a run does not depend on a constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Change of every measured time, by column, at some positions of one constant, by row, seconds.
    `relative` is its relative change per relative change of the constant (`Tunable.scale`)."""

    positions: Floats
    change_s: Floats
    relative: Floats

    def at(self, position: float) -> Floats:
        index = int(np.searchsorted(self.positions, position)) - 1
        index = min(max(index, 0), len(self.positions) - 2)
        start, end = self.positions[index : index + 2]
        weight = (position - start) / (end - start)
        changed: Floats = (1 - weight) * self.change_s[index] + weight * self.change_s[index + 1]
        return changed

    def take(self, rows: Sequence[int]) -> Response:
        return replace(self, change_s=self.change_s[:, rows], relative=self.relative[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """`base_s`: predicted with the constants' own `values`; a constant without a response changes
    no run. `weights`: how much a relative error of each time counts."""

    base_s: Floats
    weights: Floats
    tunables: Mapping[str, Tunable]
    values: Mapping[str, float]
    by_name: Mapping[str, Response]

    def change_s(self, name: str, value: float) -> Floats:
        """What giving a constant this value adds to the times."""
        return self.by_name[name].at(self.tunables[name].position(value))

    def seconds(self, values: Mapping[str, float]) -> Floats:
        total = self.base_s
        for name, value in values.items():
            total = total + self.change_s(name, value)
        return total

    def take(self, rows: Sequence[int]) -> Responses:
        """Of some of the runs."""
        return replace(
            self,
            base_s=self.base_s[rows],
            weights=self.weights[rows],
            by_name={name: response.take(rows) for name, response in self.by_name.items()},
        )

    def corrected(self, values: Mapping[str, float], exact_s: Floats) -> Responses:
        """Shifted so that the times at these values are the exact ones."""
        return replace(self, base_s=self.base_s + exact_s - self.seconds(values))


def price(observations: Sequence[Observed[H]], holder: H, constants: Constants[H]) -> Floats:
    """Predicted seconds."""
    found = np.array([one.predicted_s(holder) for one in observations])
    if constants.forget is not None:
        constants.forget()
    return found


def respond(observations: Sequence[Observed[H]], holder: H, constants: Constants[H]) -> Responses:
    """The responses of all times to all constants that any of them depends on."""
    base_s = price(observations, holder, constants)
    found = {
        name: _response(observations, holder, constants, name, base_s)
        for name in constants.tunables
    }
    return Responses(
        base_s=base_s,
        weights=np.array([one.weight for one in observations]),
        tunables=constants.tunables,
        values={name: constants.value(holder, name) for name in constants.tunables},
        by_name={name: response for name, response in found.items() if response is not None},
    )


def _response(
    observations: Sequence[Observed[H]],
    holder: H,
    constants: Constants[H],
    name: str,
    base_s: Floats,
) -> Response | None:
    """None when no time depends on the constant."""
    tunable, own = constants.tunables[name], constants.value(holder, name)
    scale = tunable.scale(own)
    probe = own - PROBE * scale if own - PROBE * scale >= tunable.low else own + PROBE * scale

    def changed(value: float, rows: Sequence[int]) -> Floats:
        change_s = np.zeros(len(base_s))
        with_value = constants.under_trial(holder, {name: value})
        priced_s = price([observations[row] for row in rows], with_value, constants)
        change_s[rows] = priced_s - base_s[rows]
        return change_s

    at_probe = changed(probe, range(len(observations)))
    rows = np.flatnonzero(abs(at_probe) > SMALLEST_SHARE * base_s).tolist()
    if not rows:
        return None
    tried = {own: np.zeros(len(base_s)), probe: at_probe}
    for value in (tunable.low, tunable.high, *(step * scale for step in STEPS)):
        if tunable.low <= value <= tunable.high and value not in tried:
            tried[value] = changed(value, rows)
    ordered = sorted(tried, key=tunable.position)
    return Response(
        positions=np.array([tunable.position(value) for value in ordered]),
        change_s=np.stack([tried[value] for value in ordered]),
        relative=at_probe / base_s / ((probe - own) / scale),
    )
