"""How sure an estimate is: an interval from the residuals of measured runs like it.

Every cell of `residuals` speaks for an estimate, the louder the more it has in common with it: its
weight halves with every feature of the regime in which they differ, and saturates with its number
of runs, so that a publication with many runs is not the only voice. Mean and variance of the
residual follow from the weighted cells, the spread between cells included; an estimate that no
measured run resembles therefore gets the spread over everything that was measured.
"""

from __future__ import annotations

from dataclasses import fields
from math import exp, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from planner.estimate import estimate
from planner.validation.regimes import Regime, device_generation, regime_of
from planner.validation.residuals import STEP, Cell, Residuals, shipped_residuals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Estimate, Plan
    from planner.scenario import Scenario

LEVEL = 0.90
"""Share of measured runs that should lie inside."""
DEVIATIONS = 1.645
"""Standard deviations of a normal distribution on either side that hold `LEVEL`."""
ONE_SIDED = 1.2816
"""Standard deviations of a normal distribution below which `LEVEL` of it lies."""
DIFFERENT = 0.5
"""Weight of a cell for each feature in which it differs."""
HALF_COUNT = 5
"""Runs at which a cell has half of its largest weight."""
FEATURES = len(fields(Regime))


class Interval(NamedTuple):
    """The measured value lies between `low` and `high` times the predicted one, with probability
    `LEVEL` if residuals stay what they were. It always contains the prediction itself. `notes` say
    what it rests on and where the estimate goes beyond what was ever measured."""

    low: float
    high: float
    notes: tuple[str, ...]


def interval(
    scenario: Scenario,
    plan: Plan,
    *,
    cost: Estimate | None = None,
    residuals: Residuals | None = None,
) -> Interval:
    """For the step time. `cost`: the estimate, where it is known; `residuals`: others than the
    shipped ones."""
    known = residuals or shipped_residuals()
    regime = regime_of(scenario, plan, cost or estimate(scenario, plan))
    cells = [cell for cell in known.cells if cell.quantity == STEP]
    low, high = factors(cells, regime)
    alike = sum(cell.count for cell in cells if cell.regime == regime)
    total = sum(cell.count for cell in cells)
    basis = f"{LEVEL:.0%} interval from {total} measured runs, {alike} of them in this regime"
    return Interval(low, high, (basis, *extrapolations(scenario, plan, known)))


def memory_interval(
    scenario: Scenario,
    plan: Plan,
    *,
    kind: str = "device",
    cost: Estimate | None = None,
    residuals: Residuals | None = None,
) -> Interval:
    """For the peak of one memory kind: allocated, reserved or device."""
    known = residuals or shipped_residuals()
    regime = regime_of(scenario, plan, cost or estimate(scenario, plan))
    cells = [cell for cell in known.cells if cell.quantity != STEP]
    low, high = factors(cells, regime, kind)
    of_kind = sum(cell.count for cell in cells if cell.quantity == kind)
    total = sum(cell.count for cell in cells)
    basis = f"{LEVEL:.0%} interval from {total} measured peaks, {of_kind} of them of {kind} memory"
    return Interval(low, high, (basis, *extrapolations(scenario, plan, known)))


def tied(step_s: float, other_s: float, *, residuals: Residuals | None = None) -> bool:
    """Whether two plans of one job are too close to say which is faster: the order of their
    estimates is right with a probability below `LEVEL`, given how much residuals differ among plans
    of one job."""
    return abs(log(step_s / other_s)) < tie_margin(residuals or shipped_residuals())


def tie_margin(residuals: Residuals) -> float:
    """Logarithm of the ratio of two step times below which they are a tie. The difference of two
    residuals varies by √2 times as much as one."""
    return ONE_SIDED * sqrt(2) * residuals.within_groups


def factors(
    cells: Sequence[Cell], regime: Regime, quantity: str | None = None
) -> tuple[float, float]:
    """Low and high factor on a prediction in that regime; (0, infinity) without any cell.
    Cells about another quantity than `quantity`, when given, differ in one more feature."""
    weights = [_weight(cell, regime, quantity) for cell in cells]
    total = sum(weights)
    if not total:
        return 0.0, float("inf")
    pairs = list(zip(weights, cells, strict=True))
    centre = sum(weight * cell.mean for weight, cell in pairs) / total
    variance = sum(w * (cell.variance + (cell.mean - centre) ** 2) for w, cell in pairs) / total
    voices = total**2 / sum(weight**2 for weight in weights)
    reach = DEVIATIONS * sqrt(variance * (1 + 1 / voices))
    return min(exp(centre - reach), 1.0), max(exp(centre + reach), 1.0)


def _weight(cell: Cell, regime: Regime, quantity: str | None) -> float:
    differences = FEATURES - len(cell.regime.shared_with(regime))
    differences += quantity is not None and cell.quantity != quantity
    saturated = cell.count / (cell.count + HALF_COUNT)
    return saturated * float(DIFFERENT**differences)


def extrapolations(scenario: Scenario, plan: Plan, known: Residuals) -> tuple[str, ...]:
    """Where the estimate leaves what was measured."""
    job, coverage = scenario.job, known.coverage
    said = []
    for device in scenario.device_types:
        formats = coverage.formats.get(device.name)
        if formats is None:
            said.append(f"no measured run on {device.name}")
        elif job.precision not in formats:
            said.append(f"no measured run with {job.precision} on {device.name}")
        generation = device_generation(device.name)
        most = coverage.most_devices.get(generation)
        if most is not None and job.devices > most:
            said.append(f"no measured run on more than {most} devices of {generation} type")
    if plan.schedule not in coverage.schedules:
        said.append(f"no measured run with schedule {plan.schedule}")
    if job.software.name not in coverage.software:
        said.append(f"no measured run with software profile {job.software.name}")
    if job.seq_length > coverage.longest_sequence:
        said.append(f"no measured run with more than {coverage.longest_sequence} tokens a sequence")
    return tuple(dict.fromkeys(said))


def held_out_coverage(
    residuals: Residuals, validated: Sequence[tuple[str, Regime, float]]
) -> float:
    """Share of (publication, regime, residual) of step times that lie inside the interval made
    without their publication."""
    inside = 0
    for name, regime, residual in validated:
        cells = [
            cell for cell in residuals.cells if cell.quantity == STEP and cell.publication != name
        ]
        low, high = factors(cells, regime)
        inside += low <= exp(residual) <= high
    return inside / len(validated)
