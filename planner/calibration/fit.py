"""Constants fitted to measured times: bounded coordinate search for the least robust error."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from planner.calibration.responses import Responses

    Floats = NDArray[np.float64]

ROUNDED = (0.05, 0.01, 0.002)
"""Relative error below which the absolute value is rounded off, so that coordinates can be searched
one at a time: first much, then less and less, each search from where the last one ended."""
SWEEPS = 60
SETTLED = 1e-7
"""Decrease of the mean error below which a sweep ends the search."""
GOLDEN = (sqrt(5) - 1) / 2
NARROWINGS = 32
"""Golden sections of a constant's range: to a few parts in ten million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Values of some constants, and the mean absolute error with them."""

    values: Mapping[str, float]
    error: float


def errors(responses: Responses, measured_s: Floats, values: Mapping[str, float]) -> Floats:
    """Predicted / measured − 1 of every time, as much as it counts."""
    relative: Floats = (responses.seconds(values) / measured_s - 1) * responses.weights
    return relative


def mean_error(signed: Floats) -> float:
    return float(np.abs(signed).mean())


def fit(responses: Responses, measured_s: Floats, names: Sequence[str]) -> Fit:
    """The values of the named constants with the least mean absolute error.

    The error is convex in what the time is linear in, and smooth for its rounding, so that
    minimising one coordinate after the other ends at the minimum; a search along the way of each
    sweep shortens narrow valleys.
    """
    values = {name: responses.values[name] for name in names}
    for rounded in ROUNDED[-1:] if len(names) < 2 else ROUNDED:
        values = _Target(responses, measured_s, rounded).least(values)
    return Fit(values=values, error=mean_error(errors(responses, measured_s, values)))


class _Target:
    """What the search minimises."""

    def __init__(self, responses: Responses, measured_s: Floats, rounded: float) -> None:
        self._responses = responses
        self._measured_s = measured_s
        self._rounded = rounded

    def least(self, start: Mapping[str, float]) -> dict[str, float]:
        """The minimum, searched from these values."""
        values = dict(start)
        best = self(values)
        for _ in range(SWEEPS if values else 0):
            before, last = best, dict(values)
            for name in last:
                values[name], best = self.along(values, name, best)
            if len(values) < 2:
                break
            values, best = self.onward(last, values, best)
            if before - best < SETTLED:
                break
        return values

    def __call__(self, values: Mapping[str, float]) -> float:
        return self._mean(self._responses.seconds(values))

    def _mean(self, step_s: Floats) -> float:
        signed = (step_s / self._measured_s - 1) * self._responses.weights
        return float(np.sqrt(signed**2 + self._rounded**2).mean())

    def along(self, values: Mapping[str, float], name: str, best: float) -> tuple[float, float]:
        """The best value of one constant, and the target there."""
        tunable = self._responses.tunables[name]
        others = {other: value for other, value in values.items() if other != name}
        rest_s = self._responses.seconds(others)
        found, least = _golden(
            lambda value: self._mean(rest_s + self._responses.change_s(name, value)),
            tunable.low,
            tunable.high,
        )
        return (found, least) if least < best else (values[name], best)

    def onward(
        self, start: Mapping[str, float], values: dict[str, float], best: float
    ) -> tuple[dict[str, float], float]:
        """Further in the direction of the last sweep, within the limits."""

        def moved(times: float) -> dict[str, float]:
            return {name: within(name, times) for name in values}

        def within(name: str, times: float) -> float:
            tunable = self._responses.tunables[name]
            value = values[name] + times * (values[name] - start[name])
            return min(max(value, tunable.low), tunable.high)

        times, least = _golden(lambda times: self(moved(times)), 0.0, 10.0)
        return (moved(times), least) if least < best else (values, best)


def _golden(function: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """Where a function with one valley is least, and how small it is."""
    lower, upper = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_lower, at_upper = function(lower), function(upper)
    ends = [(function(low), low), (function(high), high)]
    for _ in range(NARROWINGS):
        if at_lower <= at_upper:
            high, upper, at_upper = upper, lower, at_lower
            lower = high - GOLDEN * (high - low)
            at_lower = function(lower)
        else:
            low, lower, at_lower = lower, upper, at_upper
            upper = low + GOLDEN * (high - low)
            at_upper = function(upper)
    least, found = min((at_lower, lower), (at_upper, upper), *ends)
    return found, least
