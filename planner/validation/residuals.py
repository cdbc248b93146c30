"""Residuals of a validation, gathered by publication and regime, and how many of them the
intervals made from the other publications hold."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import combinations
from math import exp, log
from typing import TYPE_CHECKING

from planner.training.confidence.interval import (
    constants_variance,
    factors,
    more_experts,
    unmeasured_kinds,
)
from planner.training.confidence.regimes import device_family, experts_per_device, regime_of
from planner.training.confidence.residuals import (
    STEP,
    Cell,
    Coverage,
    Residuals,
    experts_key,
)
from planner.validation.statistics import likeliest_spread, mean
from planner.validation.summary import timed_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from planner.plan import Interval
    from planner.training.confidence.regimes import Regime
    from planner.validation.compare import RunResult
    from planner.validation.validate import SourceResult, Validation


FARTHEST = 0.2
"""Residuals of step times beyond it count as it in the spread of their cell (Winsor's mean and
variance, Tukey 1962): what held up one run in twenty says little of how far the usual one lies."""


def publication(source: str | None) -> str:
    """Who published a file's figures: what stands before the first semicolon."""
    return (source or "").partition(";")[0]


def residuals_of(validation: Validation) -> Residuals:
    """Cells and coverage of a validation, in a stable order."""
    gathered: dict[tuple[str, str, Regime], list[float]] = {}
    for name, regime, quantity, residual in outcomes(validation):
        kept = min(max(residual, -FARTHEST), FARTHEST) if quantity == STEP else residual
        gathered.setdefault((quantity, name, regime), []).append(kept)
    cells = [
        Cell(
            quantity=quantity,
            publication=name,
            regime=regime,
            count=len(values),
            mean=mean(values),
            variance=mean([(value - mean(values)) ** 2 for value in values]),
        )
        for (quantity, name, regime), values in gathered.items()
    ]
    cells.sort(key=lambda cell: (cell.quantity, cell.publication, *_text(cell.regime)))
    return Residuals(
        cells=tuple(cells),
        coverage=coverage_of(validation.results),
        within_groups=_within_groups(validation),
    )


def outcomes(validation: Validation) -> Iterator[tuple[str, Regime, str, float]]:
    """Publication, regime, quantity and residual of everything measured."""
    for source in validation.sources:
        for name, regime, quantity, residual, _ in _outcomes_of(source):
            yield name, regime, quantity, residual


def _outcomes_of(source: SourceResult) -> Iterator[tuple[str, Regime, str, float, RunResult]]:
    name = publication(source.source)
    for result in source.results:
        regime = regime_of(result.scenario, result.plan, result.estimate)
        for quantity, one in {STEP: result.step, **result.memory}.items():
            if one is not None:
                yield name, regime, quantity, log(one.measured / one.predicted), result


def held_out(validation: Validation, quantity: str) -> dict[str, tuple[int, int]]:
    """By file, how many measured values of a quantity lie inside the interval made without their
    publication, and how many there are."""
    everything = residuals_of(validation)
    without = {
        name: replace(
            everything,
            cells=tuple(cell for cell in everything.cells if cell.publication != name),
            coverage=coverage_of(
                result
                for source in validation.sources
                if publication(source.source) != name
                for result in source.results
            ),
        )
        for name in {publication(source.source) for source in validation.sources}
    }
    intervals: dict[tuple[str, Regime, bool, float], Interval] = {}
    found = {}
    for source in validation.sources:
        inside = total = 0
        for name, regime, kind, residual, result in _outcomes_of(source):
            if kind != quantity:
                continue
            known, scenario = without[name], result.scenario
            measured = not (
                unmeasured_kinds(scenario, known.coverage)
                or more_experts(scenario, result.plan, known)
            )
            own = constants_variance(scenario, result.estimate)
            key = name, regime, measured, own
            if key not in intervals:
                intervals[key] = factors(known.cells, regime, quantity, measured=measured, own=own)
            interval = intervals[key]
            inside += interval.low <= exp(residual) <= interval.high
            total += 1
        found[source.name] = (inside, total)
    return found


def held_out_coverage(validation: Validation, quantity: str) -> tuple[int, int]:
    """The same of all files together."""
    inside, total = zip(*held_out(validation, quantity).values(), strict=True)
    return sum(inside), sum(total)


def _within_groups(validation: Validation) -> float:
    """The spread of residuals among plans of one job that makes the orders of all pairs of them
    likeliest."""
    pairs = []
    for source in validation.sources:
        for group in timed_groups(source.results):
            for one, other in combinations(group, 2):
                predicted = log(one.predicted / other.predicted)
                measured = log(one.measured / other.measured)
                if measured:
                    pairs.append((abs(predicted), predicted * measured > 0))
    return likeliest_spread(pairs)


def _text(regime: Regime) -> tuple[str, ...]:
    return tuple(str(value) for value in asdict(regime).values())


def coverage_of(results: Iterable[RunResult]) -> Coverage:
    formats: dict[str, set[str]] = {}
    most: dict[str, int] = {}
    experts: dict[str, int] = {}
    schedules, software, frameworks, longest = set(), set(), set(), 0
    for result in results:
        job = result.scenario.job
        for device in result.scenario.device_types:
            formats.setdefault(device.name, set()).add(job.precision)
            family = device_family(device)
            most[family] = max(most.get(family, 0), job.devices)
            held = experts_per_device(result.scenario.model, result.plan)
            if held:
                key = experts_key(family, job.precision)
                experts[key] = max(experts.get(key, 0), held)
        schedules.add(result.plan.schedule)
        software.add(job.software.name)
        frameworks.add(job.software.framework)
        longest = max(longest, job.seq_length)
    return Coverage(
        formats={name: tuple(sorted(found)) for name, found in sorted(formats.items())},
        most_devices=dict(sorted(most.items())),
        most_experts=dict(sorted(experts.items())),
        schedules=tuple(sorted(schedules)),
        software=tuple(sorted(software)),
        frameworks=tuple(sorted(frameworks)),
        longest_sequence=longest,
    )
