"""How sure an estimate is: intervals from the residuals of measured runs like it.

Every cell of `residuals` is weighted by how much it has in common with the estimate: its weight
halves with every feature of the regime in which they differ, and saturates with its number of runs,
so that a publication with many runs does not outweigh the others. Mean and variance of the residual
follow from the weighted cells and include the spread between cells; an estimate that resembles no
measured run therefore gets the spread over everything that was measured. Constants were tuned on
the measured runs, so a few publications on a device family in a number format say little about
the next one, and those of jobs that wait for their hosts little about others: the interval is that
of a sample as small as the number of publications (Student's distribution). An estimate on a device
in a number format, or of a framework, that was never measured has the widest interval, and so has a
mixture of which a device holds more experts than any that was measured: launches and casts expert
by expert, which no run has shown at that number, are part of every such pass. What a step spends
waiting for its host, and on costs that are the same for every step, is as uncertain as these
constants are between sites, whatever the regime: that variance adds.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache, partial
from math import exp, sqrt
from typing import TYPE_CHECKING

from planner.plan import Confidence, Evidence, Interval
from planner.training.confidence.regimes import (
    Regime,
    device_family,
    experts_per_device,
    host_share,
    regime_of,
)
from planner.training.confidence.residuals import (
    STEP,
    Cell,
    Coverage,
    Residuals,
    experts_key,
    shipped_residuals,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Estimate, Plan
    from planner.training.scenario import Scenario

DEVICE = "device"
"""The memory kind whose peak decides whether a plan fits."""
LEVEL = 0.90
"""Share of measured runs that should lie inside."""
DEVIATIONS = 1.645
"""Standard deviations of a normal distribution on either side that hold `LEVEL`."""
FEWEST_FREE = 2
"""Degrees of freedom of the widest intervals."""
FREE_EACH = 4
"""Degrees of freedom that every further publication adds: most have several jobs."""
ONE_SIDED = 1.2816
"""Standard deviations of a normal distribution below which `LEVEL` of it lies."""
DIFFERENT = 0.5
"""Weight of a cell for each feature in which it differs."""
OTHER_KIND = 2
"""As many features as these is it worth that a cell is about another kind of memory."""
HALF_COUNT = 5
"""Runs at which a cell has half of its largest weight."""
HOST_SPREAD = 0.27
"""Standard deviation, in logarithms, of the time hosts need: of six families that the costs of
launches were fitted to, the median of the one left out is 0.98, 0.85, 0.85, 1.18, 1.3 or 0.6
(docs/model.md)."""
FIXED_SPREAD = 0.6
"""The same of what a step costs whatever it computes: 158, 81 and 36 to 46 ms on three kinds of
node with one profile (Megatron-LM's continuous integration), of which 80 ms are assumed."""
FEATURES = len(fields(Regime))
_WORK = ("family", "bits", "host_bound", "long")
"""Features that say what a job's time is spent on."""


def confidence_of(
    scenario: Scenario, plan: Plan, cost: Estimate, *, residuals: Residuals | None = None
) -> Confidence:
    """How sure the estimate `cost` of a plan is. `residuals` replaces the shipped ones."""
    regime = regime_of(scenario, plan, cost)
    known = residuals or shipped_residuals()
    unmeasured = (*unmeasured_kinds(scenario, known.coverage), *more_experts(scenario, plan, known))
    ranges = _shipped if residuals is None else partial(_ranges, known)
    own = round(constants_variance(scenario, cost), 4)
    step, memory, evidence = ranges(regime, measured=not unmeasured, own=own)
    return Confidence(
        level=LEVEL,
        step=step,
        memory=memory,
        notes=(_basis(evidence), *unmeasured, *extrapolations(scenario, plan, known)),
        evidence=evidence,
    )


@cache
def _shipped(regime: Regime, *, measured: bool, own: float) -> tuple[Interval, Interval, Evidence]:
    return _ranges(shipped_residuals(), regime, measured=measured, own=own)


def _ranges(
    known: Residuals, regime: Regime, *, measured: bool, own: float
) -> tuple[Interval, Interval, Evidence]:
    """Ranges of the step time and of the device's memory, and what they rest on. `measured`:
    whether there are runs on these devices in this number format. `own`: `constants_variance`."""
    return (
        factors(known.cells, regime, STEP, measured=measured, own=own),
        factors(known.cells, regime, DEVICE),
        _evidence(known.cells, regime),
    )


def factors(
    cells: Sequence[Cell],
    regime: Regime,
    quantity: str,
    *,
    measured: bool = True,
    own: float = 0.0,
) -> Interval:
    """Lower and upper factor on a quantity in a regime; 0 and infinity without any cell about it.
    The step time and memory have cells of their own, and cells about another memory kind differ in
    `OTHER_KIND` more features. `measured`: some cells are of this device in this format. `own`:
    variance that the estimate has of itself (`constants_variance`).
    """
    about = [cell for cell in cells if (cell.quantity == STEP) == (quantity == STEP)]
    weights = [_weight(cell, regime, quantity) for cell in about]
    total = sum(weights)
    if not total:
        return Interval(low=0.0, high=float("inf"))
    pairs = list(zip(weights, about, strict=True))
    centre = sum(weight * cell.mean for weight, cell in pairs) / total
    variance = sum(w * (cell.variance + (cell.mean - centre) ** 2) for w, cell in pairs) / total
    voices = total**2 / sum(weight**2 for weight in weights)
    reach = DEVIATIONS * sqrt(variance * (1 + 1 / voices) + own)
    if quantity == STEP:
        alike = {c.publication for c in about if _same_work(c.regime, regime)}
        reach *= _small_sample(FREE_EACH * (len(alike) - 1) if measured else FEWEST_FREE)
    return Interval(low=min(exp(centre - reach), 1.0), high=max(exp(centre + reach), 1.0))


def constants_variance(scenario: Scenario, cost: Estimate) -> float:
    """Variance, in logarithms, that a step time has from the constants of its host and of its fixed
    costs: each is as uncertain as they are, times its share of the step."""
    fixed_share = min(scenario.job.software.step_overhead.value / cost.step_s, 1.0)
    return (HOST_SPREAD * host_share(cost)) ** 2 + (FIXED_SPREAD * fixed_share) ** 2


def _same_work(one: Regime, other: Regime) -> bool:
    """Whether two regimes are of one device family in one width of numbers, wait for the host
    alike, and are bound by attention alike: hosts of one family of devices differ, too, and so do
    attention kernels."""
    return all(getattr(one, name) == getattr(other, name) for name in _WORK)


def _small_sample(free: int) -> float:
    """Quantile of Student's distribution over the normal one, with `free` degrees of freedom
    (Abramowitz and Stegun 1964, 26.7.5, two terms)."""
    z, n = DEVIATIONS, max(free, FEWEST_FREE)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return (z + first / n + second / n**2) / z


def _weight(cell: Cell, regime: Regime, quantity: str) -> float:
    differences = FEATURES - len(cell.regime.shared_with(regime))
    differences += OTHER_KIND * (cell.quantity != quantity)
    saturated = cell.count / (cell.count + HALF_COUNT)
    return saturated * float(DIFFERENT**differences)


def tied(step_s: float, other_s: float, *, residuals: Residuals | None = None) -> bool:
    """Whether two plans of one job are too close to say which is faster."""
    slower, faster = max(step_s, other_s), min(step_s, other_s)
    return slower < faster * (1 + tie_margin(residuals))


def tie_margin(residuals: Residuals | None = None) -> float:
    """Largest difference between two steps, as a share, that counts as a tie: the order of the two
    estimates is right with a probability below `LEVEL`, given how much residuals differ among plans
    of one job. The difference of two residuals varies by √2 times as much as one."""
    known = residuals or shipped_residuals()
    return exp(ONE_SIDED * sqrt(2) * known.within_groups) - 1


def between_plans(residuals: Residuals | None = None) -> Interval:
    """Around the ratio of two steps of one job: `LEVEL` of measured pairs lie inside. Errors that
    both plans share cancel, so that it is narrower than the intervals of the two steps."""
    known = residuals or shipped_residuals()
    reach = exp(DEVIATIONS * sqrt(2) * known.within_groups)
    return Interval(low=1 / reach, high=reach)


def _evidence(cells: Sequence[Cell], regime: Regime) -> Evidence:
    steps = [cell for cell in cells if cell.quantity == STEP]
    peaks = [cell for cell in cells if cell.quantity != STEP]
    return Evidence(
        steps=_runs(steps),
        steps_alike=_runs([cell for cell in steps if cell.regime == regime]),
        peaks=_runs(peaks),
        device_peaks=_runs([cell for cell in peaks if cell.quantity == DEVICE]),
    )


def _basis(found: Evidence) -> str:
    """What the intervals rest on."""
    alike = found.steps_alike
    like_this = f"{alike} of them of this kind of job" if alike else "none of this kind of job"
    return (
        f"the ranges rest on {found.steps} measured step times ({like_this}) and "
        f"{found.peaks} measured memory peaks ({found.device_peaks} of them of the whole device)"
    )


def _runs(cells: Sequence[Cell]) -> int:
    return sum(cell.count for cell in cells)


def unmeasured_kinds(scenario: Scenario, coverage: Coverage) -> tuple[str, ...]:
    """Devices of the job for which no measured run has its number format, or for which there is no
    run at all, and a framework without any."""
    said = []
    framework = scenario.job.software.framework
    if framework not in coverage.frameworks:
        said.append(f"no measured run with framework {framework}: wide ranges")
    for device in scenario.device_types:
        formats = coverage.formats.get(device.name)
        if formats is None:
            said.append(f"no measured run on {device.name}: wide ranges")
        elif scenario.job.precision not in formats:
            said.append(
                f"no measured run with {scenario.job.precision} on {device.name}: wide ranges"
            )
    return tuple(said)


def more_experts(scenario: Scenario, plan: Plan, known: Residuals) -> tuple[str, ...]:
    """Device families of which no measured run had as many experts on a device, in numbers of that
    width. Devices without any run in the format are `unmeasured_kinds`' to name."""
    held, coverage = experts_per_device(scenario.model, plan), known.coverage
    said = []
    for device in scenario.device_types:
        precision = scenario.job.precision
        kind = experts_key(device_family(device), precision)
        most = coverage.most_experts.get(kind, 0)
        if held <= most or precision not in coverage.formats.get(device.name, ()):
            continue
        said.append(
            f"no measured run with more than {most} experts a device ({kind}): wide ranges"
            if most
            else f"no measured mixture of experts ({kind}): wide ranges"
        )
    return tuple(dict.fromkeys(said))


def extrapolations(scenario: Scenario, plan: Plan, known: Residuals) -> tuple[str, ...]:
    """Other respects in which the estimate leaves what was measured."""
    job, coverage = scenario.job, known.coverage
    said = []
    for device in scenario.device_types:
        family = device_family(device)
        most = coverage.most_devices.get(family)
        if most is not None and job.devices > most:
            said.append(f"no measured run on more than {most:,} devices of {family} type")
    if plan.schedule not in coverage.schedules:
        said.append(f"no measured run with schedule {plan.schedule}")
    if job.software.name not in coverage.software:
        said.append(f"no measured run with software profile {job.software.name}")
    if job.seq_length > coverage.longest_sequence:
        said.append(f"no measured run with more than {coverage.longest_sequence} tokens a sequence")
    return tuple(dict.fromkeys(said))
