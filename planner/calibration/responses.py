"""How predicted step times respond to constants; priced once, so that a fit can try many values.

A step is a sum of times that each hang on one constant, nearly linear in the constant's reciprocal.
Every constant is therefore varied alone at a few values, the change of the step time interpolated
between them, and the changes of several constants added. What the sum leaves out is corrected for
at the fitted values (`corrected`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.constants import BY_NAME, with_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from planner.calibration.constants import Tunable
    from planner.calibration.observations import Observation
    from planner.specs.device import DeviceSpec

    Floats = NDArray[np.float64]

PROBE = 0.1
"""Relative change of a constant by which sensitivities are measured."""
STEPS = (0.6, 1.25)
"""Further values that are priced, relative to the constant, in addition to its limits."""
SMALLEST_SHARE = 1e-7
"""Relative change of a step time below which a run does not depend on a constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Change of every run's step seconds, by column, at some positions of one constant, by row.
    `relative` is the run's relative change of step time per relative change of the constant
    (`Tunable.scale`)."""

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
    no run."""

    base_s: Floats
    values: Mapping[str, float]
    by_name: Mapping[str, Response]

    def change_s(self, name: str, value: float) -> Floats:
        """What giving a constant this value adds to the step times."""
        return self.by_name[name].at(BY_NAME[name].position(value))

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
            by_name={name: response.take(rows) for name, response in self.by_name.items()},
        )

    def corrected(self, values: Mapping[str, float], exact_s: Floats) -> Responses:
        """Shifted so that the step times at these values are the exact ones."""
        return replace(self, base_s=self.base_s + exact_s - self.seconds(values))


def price(observations: Sequence[Observation], device: DeviceSpec) -> Floats:
    """Predicted step seconds on a device."""
    return np.array([one.predicted_s(device) for one in observations])


def respond(
    observations: Sequence[Observation], device: DeviceSpec, tunables: Sequence[Tunable]
) -> Responses:
    """The responses of all runs to all constants that any of them depends on."""
    base_s = price(observations, device)
    found = {tunable.name: _response(observations, device, tunable, base_s) for tunable in tunables}
    return Responses(
        base_s=base_s,
        values={tunable.name: tunable.of(device) for tunable in tunables},
        by_name={name: response for name, response in found.items() if response is not None},
    )


def _response(
    observations: Sequence[Observation], device: DeviceSpec, tunable: Tunable, base_s: Floats
) -> Response | None:
    """None when no run depends on the constant."""
    own = tunable.of(device)
    scale = tunable.scale(own)
    probe = own - PROBE * scale if own - PROBE * scale >= tunable.low else own + PROBE * scale

    def changed(value: float, rows: Sequence[int]) -> Floats:
        change_s = np.zeros(len(base_s))
        with_value = with_values(device, {tunable.name: value})
        change_s[rows] = price([observations[row] for row in rows], with_value) - base_s[rows]
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
