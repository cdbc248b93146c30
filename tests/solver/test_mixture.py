"""Mixtures and averages bound each other."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.solver import Solver
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs
from planner.solver.mixture import Mixture, Mixtures

if TYPE_CHECKING:
    from planner.arrays import Floats


@pytest.mark.parametrize("seed", range(5))
def test_the_average_reaches_the_mixture_and_no_choice_is_shorter(seed: int) -> None:
    random = np.random.default_rng(seed)
    fixed = random.uniform(0, 2, 6)
    ways = [random.uniform(1, 9, (6, count)) for count in (3, 1, 4)]
    mixture = mixture_of(ways, fixed, Solver())
    average = average_s(ways, fixed, mixture)
    assert longest_s(ways, fixed, mixture) == pytest.approx(average)
    for chosen in product(*(range(table.shape[1]) for table in ways)):
        rows = sum(table[:, i] for table, i in zip(ways, chosen, strict=True))
        assert (fixed + rows).max() >= average - 1e-9


@pytest.mark.parametrize("engine", [Highs, Cbc])
def test_every_engine_takes_programs_stated_as_arrays(engine: type[Highs | Cbc]) -> None:
    random = np.random.default_rng(0)
    fixed = random.uniform(0, 2, 6)
    ways = [random.uniform(1, 9, (6, count)) for count in (3, 11)]
    solver = Solver((engine(),))
    mixture = mixture_of(ways, fixed, solver)
    assert longest_s(ways, fixed, mixture) == pytest.approx(average_s(ways, fixed, mixture))
    (record,) = solver.record.engines
    assert record.name == engine.name


def mixture_of(ways: list[Floats], fixed: Floats, solver: Solver) -> Mixture:
    """The rows join the program in two parts."""
    program = Mixtures([table.shape[1] for table in ways], 10.0, solver)
    each = np.concatenate(ways, axis=1)
    for some in (slice(None, 2), slice(2, None)):
        program.add(fixed[some], each[some])
        found = program.mixture()
    assert found is not None
    return found


def longest_s(ways: list[Floats], fixed: Floats, mixture: Mixture) -> float:
    mixed = sum(table @ share for table, share in zip(ways, mixture.ways, strict=True))
    return float((fixed + mixed).max())


def average_s(ways: list[Floats], fixed: Floats, mixture: Mixture) -> float:
    shares = mixture.rows
    return float(shares @ fixed + sum(float((shares @ table).min()) for table in ways))
