"""Mixtures and averages bound each other."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from planner.solver import Solver
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs
from planner.solver.mixture import (
    Parts,
    best_average,
    best_division,
    best_mixture,
    best_shared_average,
)


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


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("floors", [[0.0, 0.0, 0.0], [2.0, 0.0, 1.0]])
def test_no_division_among_parts_with_room_is_shorter_than_the_average(
    seed: int, floors: list[float]
) -> None:
    random = np.random.default_rng(seed)
    fixed, each = random.uniform(0, 2, 5), random.uniform(1, 9, (5, 6))
    parts = Parts(4.0, np.array(floors), np.array([3.0, 1.0, 9.0]))
    shares = best_shared_average(each, fixed, parts, Solver())
    assert shares is not None
    average_s, least_s = np.inf, np.inf
    for held in product(range(5), repeat=6):
        of_parts = np.array(held).reshape(2, 3).sum(axis=0)
        if sum(held) == 4 and (parts.floors <= of_parts).all() and (of_parts <= parts.rooms).all():
            rows = fixed + each @ np.array(held)
            average_s, least_s = min(average_s, float(shares @ rows)), min(least_s, rows.max())
    assert average_s <= least_s
    assert average_s > 0.8 * least_s
    division = best_division(each, fixed, parts, Solver())
    assert division is not None
    assert division.sum() == pytest.approx(4)
    of_parts = division.reshape(2, 3).sum(axis=0)
    assert (parts.floors - 1e-9 <= of_parts).all()
    assert (of_parts <= parts.rooms + 1e-9).all()
    # Wherever all is whole the average reaches it, so a mixture of divisions does.
    assert (fixed + each @ division).max() <= least_s + 1e-9


def test_rooms_that_leave_a_choice_or_none_are_parts() -> None:
    random = np.random.default_rng(0)
    fixed, each = random.uniform(0, 2, 5), random.uniform(1, 9, (5, 6))
    for rooms, parts in (
        ([4.0, 4.0], [4 * each]),
        ([1.0, 3.0], [1 * each[:, ::2], 3 * each[:, 1::2]]),
    ):
        parted = best_average(parts, fixed, 40.0, Solver())
        stated = Parts(4.0, np.zeros(2), np.array(rooms))
        shared = best_shared_average(each, fixed, stated, Solver())
        assert parted is not None
        assert shared is not None
        found, expected = (
            shares @ fixed + sum(float((shares @ table).min()) for table in parts)
            for shares in (shared, parted)
        )
        assert found == pytest.approx(expected)
