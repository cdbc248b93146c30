"""Residuals of the shipped runs by regime: what confidence intervals rest on.

A residual is ln(measured / predicted). Runs of one publication in one regime make a cell; what is
kept of them is their number, mean and variance, so that an estimate need not validate anything.
`python -m benchmarks.accuracy` writes the file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from math import log
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

from planner.validation.regimes import Regime, device_generation, regime_of
from planner.validation.statistics import mean, quantile
from planner.validation.summary import RANKED_GROUP, timed_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from planner.validation.compare import RunResult
    from planner.validation.validate import Validation

DECIMALS = 4
FILE = Path(__file__).with_name("residuals.json")
STEP = "step"
"""The quantity of cells that are about the step time; the others name a memory kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    quantity: str
    publication: str
    regime: Regime
    count: int
    mean: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What was measured at all: by device its number formats, by generation the most devices of
    one run; over all runs the schedules, software profiles and the longest sequence."""

    formats: Mapping[str, tuple[str, ...]]
    most_devices: Mapping[str, int]
    schedules: tuple[str, ...]
    software: tuple[str, ...]
    longest_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """`within_groups`: standard deviation of the step time's residuals among plans of one job, the
    median over the groups. What all plans of a job share is not in it."""

    cells: tuple[Cell, ...]
    coverage: Coverage
    within_groups: float


def publication(source: str | None) -> str:
    """Who published a file's figures: what stands before the first semicolon."""
    return (source or "").partition(";")[0]


def residuals_of(validation: Validation) -> Residuals:
    """Cells and coverage of a validation, in a stable order."""
    gathered: dict[tuple[str, str, Regime], list[float]] = {}
    for source in validation.sources:
        for result in source.results:
            regime = regime_of(result.scenario, result.plan, result.estimate)
            for quantity, residual in _residuals(result):
                key = (quantity, publication(source.source), regime)
                gathered.setdefault(key, []).append(residual)
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


def _within_groups(validation: Validation) -> float:
    groups = [group for source in validation.sources for group in timed_groups(source.results)]
    spreads = sorted(
        stdev([log(one.measured / one.predicted) for one in group])
        for group in groups
        if len(group) >= RANKED_GROUP
    )
    return quantile(spreads, 0.5) if spreads else 0.0


def _residuals(result: RunResult) -> Iterable[tuple[str, float]]:
    compared = {STEP: result.step, **result.memory}
    for quantity, one in compared.items():
        if one is not None:
            yield quantity, log(one.measured / one.predicted)


def _text(regime: Regime) -> tuple[str, ...]:
    return tuple(str(value) for value in asdict(regime).values())


def coverage_of(results: Iterable[RunResult]) -> Coverage:
    formats: dict[str, set[str]] = {}
    most: dict[str, int] = {}
    schedules, software, longest = set(), set(), 0
    for result in results:
        job = result.scenario.job
        for device in result.scenario.device_types:
            formats.setdefault(device.name, set()).add(job.precision)
            generation = device_generation(device.name)
            most[generation] = max(most.get(generation, 0), job.devices)
        schedules.add(result.plan.schedule)
        software.add(job.software.name)
        longest = max(longest, job.seq_length)
    return Coverage(
        formats={name: tuple(sorted(found)) for name, found in sorted(formats.items())},
        most_devices=dict(sorted(most.items())),
        schedules=tuple(sorted(schedules)),
        software=tuple(sorted(software)),
        longest_sequence=longest,
    )


def to_json(residuals: Residuals) -> str:
    """One cell a line; figures to a hundredth of a percent."""
    lines = ",\n  ".join(
        json.dumps(
            {
                **asdict(cell),
                "mean": round(cell.mean, DECIMALS),
                "variance": round(cell.variance, 2 * DECIMALS),
            }
        )
        for cell in residuals.cells
    )
    coverage = json.dumps(asdict(residuals.coverage), indent=1)
    within = round(residuals.within_groups, DECIMALS)
    return f'{{"cells": [\n  {lines}\n],\n"coverage": {coverage},\n"within_groups": {within}}}\n'


def from_json(text: str) -> Residuals:
    document = json.loads(text)
    coverage = document["coverage"]
    return Residuals(
        cells=tuple(
            Cell(**{**cell, "regime": Regime(**cell["regime"])}) for cell in document["cells"]
        ),
        coverage=Coverage(
            formats={name: tuple(found) for name, found in coverage["formats"].items()},
            most_devices=coverage["most_devices"],
            schedules=tuple(coverage["schedules"]),
            software=tuple(coverage["software"]),
            longest_sequence=coverage["longest_sequence"],
        ),
        within_groups=document["within_groups"],
    )


@cache
def shipped_residuals() -> Residuals:
    """The residuals that come with the planner."""
    return from_json(FILE.read_text(encoding="utf-8"))
