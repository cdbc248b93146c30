"""Residuals of measured runs by regime: what confidence intervals rest on.

A residual is ln(measured / predicted). Runs of one publication in one regime make a cell; only
their number, mean and variance are kept, so that an estimate need not validate anything. `python -m
benchmarks.accuracy` writes the file that is shipped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from planner.training.confidence.regimes import BITS, Regime

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """What the measured runs cover: the number formats of every device, the largest run of every
    device family (in devices) and, by family and width of numbers, the most experts that a device
    held (`experts_key`); over all runs the schedules, the software profiles, the frameworks and the
    longest sequence."""

    formats: Mapping[str, tuple[str, ...]]
    most_devices: Mapping[str, int]
    most_experts: Mapping[str, int]
    schedules: tuple[str, ...]
    software: tuple[str, ...]
    frameworks: tuple[str, ...]
    longest_sequence: int


def experts_key(family: str, precision: str) -> str:
    """Under what `Coverage.most_experts` has mixtures on a device family in a number format."""
    return f"{family} in {BITS[precision]} bits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """`within_groups`: standard deviation of the step time's residuals among plans of one job, the
    median over the groups. Errors that all plans of a job share are not in it."""

    cells: tuple[Cell, ...]
    coverage: Coverage
    within_groups: float


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
            most_experts=coverage["most_experts"],
            schedules=tuple(coverage["schedules"]),
            software=tuple(coverage["software"]),
            frameworks=tuple(coverage["frameworks"]),
            longest_sequence=coverage["longest_sequence"],
        ),
        within_groups=document["within_groups"],
    )


@cache
def shipped_residuals() -> Residuals:
    """The residuals that come with the planner."""
    return from_json(FILE.read_text(encoding="utf-8"))
