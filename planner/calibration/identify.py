"""Which constants the runs can tell, and what they say: chosen one by one, refused by name.

With relative sensitivities J of the times (one row a run, one column a constant) and scatter s
of what no constant explains, fitted constants have standard errors s · √diag((JᵀJ)⁻¹), as in any
linear regression. A constant is identified when its own is small; sensitivities that hardly reach
the scatter, and columns that are nearly proportional, make it large.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.fit import Fit, errors, fit, mean_error
from planner.calibration.tunable import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from planner.calibration.responses import Responses

    Floats = NDArray[np.float64]

LARGEST_ERROR = 0.15
"""Relative standard error up to which a constant counts as identified."""
LEAST_SCATTER = 0.01
"""Scatter of measured times at best: repeated runs differ by about as much."""
SIGNIFICANT = 2.5
"""Standard errors by which a constant must change to be refitted."""
GAIN = 0.05
"""Share of the mean error that a further constant must remove."""
LARGER = 2.0
"""Of constants that explain the runs equally well the one that changes least is refitted, if the
others would have to change by this many times as much."""
RUNS_PER_CONSTANT = 2
SHOWN_CHANGE = 0.1
"""Relative change of a constant whose effect is told where it is too small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the runs say of one constant. `after` is its value where it is refitted, `error` the
    standard error of that; `reason` says why it is not, or what else there is to say."""

    name: str
    before: float
    status: str  # refitted | kept | not identified
    after: float | None = None
    error: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantSelection:
    """The constants that are refitted with their values, the scatter that remains, and a verdict
    on every constant."""

    fit: Fit
    scatter: float
    verdicts: tuple[Verdict, ...]

    @property
    def values(self) -> Mapping[str, float]:
        return self.fit.values


def select(responses: Responses, measured_s: Floats) -> ConstantSelection:
    """Constants are added while one of them explains more of the errors than chance would."""
    choice = _Choice(responses, measured_s)
    while choice.grow():
        pass
    return ConstantSelection(
        fit=choice.fit,
        scatter=choice.scatter,
        verdicts=tuple(map(choice.verdict, responses.values)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """The chosen constants with one more."""

    name: str
    fit: Fit
    scatter: float
    change: float
    """Relative change of the constant."""
    error: float
    """Relative standard error of the constant."""

    @property
    def tells(self) -> bool:
        return self.error <= LARGEST_ERROR and abs(self.change) >= SIGNIFICANT * self.error


class _Choice:
    """The constants chosen so far, and why others are not."""

    def __init__(self, responses: Responses, measured_s: Floats) -> None:
        self._responses = responses
        self._measured_s = measured_s
        self._runs = len(measured_s)
        self._most = max(1, self._runs // RUNS_PER_CONSTANT)
        self._refused: dict[str, str] = {}
        self._left_over: set[str] = set()
        self._take(fit(responses, measured_s, ()))

    def grow(self) -> bool:
        """Adds the constant that explains most, or refuses some that none can tell apart. False
        when nothing is left to do."""
        names = [name for name in self._responses.by_name if name not in self.fit.values]
        trials = [self._trial(name) for name in names if name not in self._refused]
        telling = [
            trial
            for trial in trials
            if trial.tells and trial.fit.error <= (1 - GAIN) * self.fit.error
        ]
        if not telling:
            return False
        if len(self.fit.values) == self._most:
            self._left_over = {trial.name for trial in telling}
            return False
        best = min(telling, key=lambda trial: trial.fit.error)
        alike = [trial for trial in telling if trial is best or self._alike(trial, best)]
        alike.sort(key=lambda trial: abs(trial.change))
        nearest, *others = alike
        rivals = [one for one in others if abs(one.change) < LARGER * abs(nearest.change)]
        if rivals:
            self._refuse([nearest, *rivals])
        else:
            self._take(nearest.fit)
        return True

    def _trial(self, name: str) -> _Trial:
        names = [*self.fit.values, name]
        found = fit(self._responses, self._measured_s, names)
        scatter = self._scatter(found)
        return _Trial(
            name=name,
            fit=found,
            scatter=scatter,
            change=self._change(name, found.values[name]),
            error=self._errors(names, scatter)[-1],
        )

    def _take(self, found: Fit) -> None:
        self.fit = found
        self.scatter = self._scatter(found)

    def _refuse(self, trials: Sequence[_Trial]) -> None:
        names = [trial.name for trial in trials]
        for name in names:
            others = " or ".join(other for other in names if other != name)
            self._refused[name] = f"{others} explains these runs as well as it does"

    def _alike(self, trial: _Trial, best: _Trial) -> bool:
        """Whether either constant explains the runs, and only one of them can be told: the mean
        errors with each differ by no more than a mean over that many runs does by chance."""
        together = self._errors([*self.fit.values, best.name, trial.name], best.scatter)
        close = trial.fit.error <= best.fit.error + best.scatter / sqrt(self._runs)
        return close and max(together[-2:]) > LARGEST_ERROR

    def _scatter(self, found: Fit) -> float:
        """Standard deviation of the errors, from their mean absolute value as of a normal
        distribution, with the freedom that the fitted constants took."""
        signed = errors(self._responses, self._measured_s, found.values)
        freedom = self._runs / max(1, self._runs - len(found.values))
        return max(LEAST_SCATTER, sqrt(pi / 2 * freedom) * mean_error(signed))

    def _scale(self, name: str) -> float:
        """What relative changes of a constant are relative to."""
        return self._responses.tunables[name].scale(self._responses.values[name])

    def _change(self, name: str, value: float) -> float:
        return (value - self._responses.values[name]) / self._scale(name)

    def _errors(self, names: Sequence[str], scatter: float) -> list[float]:
        """Relative standard errors of the constants when they are fitted together."""
        columns = np.stack([self._column(name) for name in names], axis=1)
        squares = columns.T @ columns
        if np.linalg.matrix_rank(squares, hermitian=True) < len(names):
            return [inf] * len(names)
        return [scatter * sqrt(one) for one in np.diag(np.linalg.inv(squares)).tolist()]

    def _column(self, name: str) -> Floats:
        """Sensitivities to a constant, as much as each counts."""
        return self._responses.by_name[name].relative * self._responses.weights

    def verdict(self, name: str) -> Verdict:
        before = self._responses.values[name]
        if name in self.fit.values:
            return self._refitted(name, before)
        reason = self._why_not(name)
        if reason is None:
            return Verdict(
                name=name, before=before, status="kept", reason=self._limit(name, before)
            )
        return Verdict(name=name, before=before, status="not identified", reason=reason)

    def _refitted(self, name: str, before: float) -> Verdict:
        names = list(self.fit.values)
        after = rounded(self.fit.values[name])
        return Verdict(
            name=name,
            before=before,
            status="refitted",
            after=after,
            error=self._errors(names, self.scatter)[names.index(name)] * self._scale(name),
            reason=self._limit(name, after),
        )

    def _why_not(self, name: str) -> str | None:
        """Why the runs cannot tell a constant; None when they can, and no other value of it
        explains them better."""
        if name not in self._responses.by_name:
            return "no run depends on it"
        if name in self._refused:
            return self._refused[name]
        if name in self._left_over:
            return f"{self._runs} runs are too few for another constant"
        if self._errors([name], self.scatter)[0] > LARGEST_ERROR:
            effect = SHOWN_CHANGE * sqrt(float((self._column(name) ** 2).mean()))
            return (
                f"a change by {SHOWN_CHANGE * self._scale(name):.2g} moves the predicted times by "
                f"{effect:.1%}, the runs scatter by {self.scatter:.1%}"
            )
        if self._errors([*self.fit.values, name], self.scatter)[-1] > LARGEST_ERROR:
            return f"these runs cannot tell it from {self._most_similar(name)}"
        return None

    def _most_similar(self, name: str) -> str:
        """The refitted constant whose sensitivities are most nearly proportional."""

        def cosine(other: str) -> float:
            mine, theirs = self._column(name), self._column(other)
            return float(abs(mine @ theirs) / np.sqrt((mine @ mine) * (theirs @ theirs)))

        return max(self.fit.values, key=cosine)

    def _limit(self, name: str, value: float) -> str | None:
        """Says that a constant can go no further."""
        tunable = self._responses.tunables[name]
        at_limit = value in (rounded(tunable.low), rounded(tunable.high))
        return "the limit of what it may be" if at_limit else None
