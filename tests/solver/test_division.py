"""Divisions and averages of rows bound each other, whichever engine answers."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.solver import EngineError, Solver
from planner.solver.cbc import Cbc
from planner.solver.division import Division, Parts
from planner.solver.highs import Highs, KeptByHighs
from planner.solver.mixture import Mixtures

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver.longest_row import Shortened


@pytest.mark.parametrize("engine", [Highs, Cbc])
@pytest.mark.parametrize("floors", [[0.0, 0.0, 0.0], [2.0, 0.0, 1.0]])
def test_no_division_among_parts_with_room_is_shorter_than_the_average(
    engine: type[Highs | Cbc], floors: list[float]
) -> None:
    random = np.random.default_rng(len(floors))
    fixed, each = random.uniform(0, 2, 5), random.uniform(1, 9, (5, 6))
    parts = Parts(4.0, np.array(floors), np.array([3.0, 1.0, 9.0]))
    found = divided(parts, fixed, each, Solver((engine(),)))
    average_s, least_s = np.inf, np.inf
    for held in product(range(5), repeat=6):
        of_parts = np.array(held).reshape(2, 3).sum(axis=0)
        if sum(held) == 4 and (parts.floors <= of_parts).all() and (of_parts <= parts.rooms).all():
            rows = fixed + each @ np.array(held)
            average_s = min(average_s, float(found.shares @ rows))
            least_s = min(least_s, rows.max())
    assert found.shares.sum() == pytest.approx(1)
    assert 0.8 * least_s < average_s <= least_s
    assert found.entries.sum() == pytest.approx(4)
    of_parts = found.entries.reshape(2, 3).sum(axis=0)
    assert (parts.floors - 1e-9 <= of_parts).all()
    assert (of_parts <= parts.rooms + 1e-9).all()
    # Wherever all is whole the average reaches it, so a mixture of divisions does.
    assert (fixed + each @ found.entries).max() <= least_s + 1e-9


@pytest.mark.parametrize("engine", [Highs, Cbc])
@pytest.mark.parametrize("rooms", [[4.0, 4.0], [1.0, 3.0]])
def test_rooms_that_leave_a_choice_or_none_are_parts(
    engine: type[Highs | Cbc], rooms: list[float]
) -> None:
    random = np.random.default_rng(0)
    fixed, each = random.uniform(0, 2, 5), random.uniform(1, 9, (5, 6))
    parts = [4 * each] if rooms[0] == 4 else [1 * each[:, ::2], 3 * each[:, 1::2]]
    mixtures = Mixtures([table.shape[1] for table in parts], 40.0, Solver())
    mixtures.add(fixed, np.concatenate(parts, axis=1))
    parted = mixtures.mixture()
    stated = Parts(4.0, np.zeros(2), np.array(rooms))
    assert parted is not None
    shared = divided(stated, fixed, each, Solver((engine(),))).shares
    found, expected = (
        shares @ fixed + sum(float((shares @ table).min()) for table in parts)
        for shares in (shared, parted.rows)
    )
    assert found == pytest.approx(expected)


def test_a_program_that_its_engine_gives_up_goes_to_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(1)
    fixed, each = random.uniform(0, 2, 5), random.uniform(1, 9, (5, 6))
    parts = Parts(4.0, np.zeros(3), np.full(3, 3.0))
    expected = divided(parts, fixed, each, Solver())

    def fails(_: KeptByHighs) -> tuple[Floats, Floats]:
        raise EngineError("ended with Iteration limit")

    monkeypatch.setattr(KeptByHighs, "solve", fails)
    found = divided(parts, fixed, each, Solver((Highs(), Cbc())))
    assert (fixed + each @ found.entries).max() == pytest.approx(
        (fixed + each @ expected.entries).max()
    )


def test_things_without_room_are_not_divided() -> None:
    for engine in (Highs(), Cbc()):
        program = Division(Parts(4.0, np.zeros(2), np.ones(2)), 4, 10.0, Solver((engine,)))
        program.add(np.ones(1), np.ones((1, 4)))
        assert program.solved() is None


def divided(parts: Parts, fixed: Floats, each: Floats, solver: Solver) -> Shortened:
    """The rows join the program one after the other."""
    program = Division(parts, each.shape[1], 40.0, solver)
    for row in range(len(fixed)):
        program.add(fixed[row : row + 1], each[row : row + 1])
        found = program.solved()
    assert found is not None
    return found
