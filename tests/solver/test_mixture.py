"""Mixtures and averages bound each other."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from planner.solver import Solver
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs
from planner.solver.mixture import best_average, best_mixture


@pytest.mark.parametrize("seed", range(5))
def test_the_average_reaches_the_mixture_and_no_choice_is_shorter(seed: int) -> None:
    random = np.random.default_rng(seed)
    fixed = random.uniform(0, 2, 6)
    ways = [random.uniform(1, 9, (6, count)) for count in (3, 1, 4)]
    mixture = best_mixture(ways, fixed, 10.0, Solver())
    shares = best_average(ways, fixed, 10.0, Solver())
    assert mixture is not None
    assert shares is not None
    mixed = sum(table @ share for table, share in zip(ways, mixture.shares, strict=True))
    assert (fixed + mixed).max() == pytest.approx(mixture.seconds)
    average = shares @ fixed + sum(float((shares @ table).min()) for table in ways)
    assert average == pytest.approx(mixture.seconds)
    for chosen in product(*(range(table.shape[1]) for table in ways)):
        rows = sum(table[:, i] for table, i in zip(ways, chosen, strict=True))
        assert (fixed + rows).max() >= average - 1e-9


@pytest.mark.parametrize("engine", [Highs, Cbc])
def test_every_engine_takes_programs_stated_as_arrays(engine: type[Highs | Cbc]) -> None:
    random = np.random.default_rng(0)
    fixed = random.uniform(0, 2, 6)
    ways = [random.uniform(1, 9, (6, count)) for count in (3, 11)]
    solver = Solver((engine(),))
    mixture = best_mixture(ways, fixed, 10.0, solver)
    shares = best_average(ways, fixed, 10.0, solver)
    assert mixture is not None
    assert shares is not None
    average = shares @ fixed + sum(float((shares @ table).min()) for table in ways)
    assert average == pytest.approx(mixture.seconds)
    (record,) = solver.record.engines
    assert (record.name, record.answered) == (engine.name, 2)
