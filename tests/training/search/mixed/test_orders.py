"""The program of types and layers against everything that can be tried."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.solver import solve
from planner.training.search.mixed.bound import _most_together
from planner.training.search.mixed.listing import every_order
from planner.training.search.mixed.order_problem import OrderProblem, Orders, largest_row_s, taken
from planner.training.search.mixed.orders import best_order, least_sum

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def random_problem(
    seed: int,
    *,
    classes: int,
    rows: int,
    each: int,
    layers: int,
    units: tuple[tuple[int, ...], ...] = (),
) -> OrderProblem:
    """Stages that take the longer the more layers they hold, some of which they cannot."""
    random = np.random.default_rng(seed)
    stages, most = rows * each, layers
    shape = (classes, stages, most + 1, layers + 1)
    paces = random.uniform(0.5, 2.0, (classes, stages, 1, 1))
    lengths = np.arange(most + 1)[:, None]
    work = paces * (lengths + random.uniform(0, 0.5, (classes, stages, 1, 1)))
    work = np.broadcast_to(work, shape)
    fits = (lengths <= np.arange(layers + 1)) & (lengths >= random.integers(0, 2))
    fits = fits & (lengths <= random.integers(2, layers + 1, (classes, stages, 1, 1)))
    counts = random.integers(1, rows + 1, len(units) or classes)
    counts[0] += max(rows - int(counts.sum()), 0)
    return OrderProblem(
        rows=rows,
        layers=layers,
        most=tuple(counts.tolist()),
        may=random.random((classes, rows)) < 0.9,
        own_s=np.where(fits, 8 * work, np.inf),
        late_s=np.broadcast_to(7 * work - 2 * paces, shape),
        way_s=work,
        units=units,
    )


def all_units(problem: OrderProblem, row: int = 0) -> Iterator[tuple[int, ...]]:
    """The kinds of units from a row on, in every order that fills the rows."""
    if row == problem.rows:
        yield ()
    for unit, classes in enumerate(units_of(problem)):
        if row + len(classes) <= problem.rows:
            yield from ((unit, *rest) for rest in all_units(problem, row + len(classes)))


def units_of(problem: OrderProblem) -> Sequence[tuple[int, ...]]:
    """The classes of the rows of every kind of units."""
    return problem.units or [(c,) for c in range(problem.classes)]


def all_orders(problem: OrderProblem) -> Orders:
    """Every answer that the problem allows."""
    each = problem.stages // problem.rows
    found: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for units in all_units(problem):
        if any(units.count(unit) > most for unit, most in enumerate(problem.most)):
            continue
        classes = tuple(c for unit in units for c in units_of(problem)[unit])
        if not all(problem.may[c, row] for row, c in enumerate(classes)):
            continue
        for layers in product(range(problem.layers + 1), repeat=problem.stages):
            if sum(layers) != problem.layers:
                continue
            ends = np.cumsum(layers)
            of_stage = [classes[stage // each] for stage in range(problem.stages)]
            stages = np.arange(problem.stages)
            if np.isfinite(problem.own_s[of_stage, stages, layers, ends]).all():
                found.append((classes, layers))
    return Orders(
        classes=np.array([one[0] for one in found], dtype=np.int64).reshape(-1, problem.rows),
        layers=np.array([one[1] for one in found], dtype=np.int64).reshape(-1, problem.stages),
    )


SHAPES: list[dict[str, Any]] = [
    {"classes": 2, "rows": 3, "each": 1, "layers": 6},
    {"classes": 2, "rows": 2, "each": 2, "layers": 5},
    {"classes": 3, "rows": 3, "each": 1, "layers": 5},
    {"classes": 3, "rows": 4, "each": 1, "layers": 4},
]
OF_UNITS: list[dict[str, Any]] = [
    {"classes": 3, "rows": 4, "each": 1, "layers": 4, "units": ((0, 1), (2,))},
    {"classes": 3, "rows": 3, "each": 1, "layers": 5, "units": ((0,), (1, 2))},
    {"classes": 4, "rows": 5, "each": 1, "layers": 3, "units": ((0, 1, 2), (3,), (1,))},
    {"classes": 2, "rows": 2, "each": 2, "layers": 4, "units": ((0, 1), (1,))},
]
"""Units of several rows, each with a class of its own."""


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", SHAPES + OF_UNITS)
def test_the_least_row_is_that_of_brute_force(seed: int, shape: dict[str, Any]) -> None:
    problem = random_problem(seed, **shape)
    every = all_orders(problem)
    found = best_order(problem)
    if not len(every):
        assert found is None
        return
    seconds = largest_row_s(problem, every)
    assert found is not None
    assert found.rows_s == pytest.approx(seconds.min(), rel=1e-9)
    assert best_order(problem, below_s=float(seconds.min()) * (1 - 1e-6)) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", SHAPES + OF_UNITS)
def test_all_answers_within_a_threshold_are_listed(seed: int, shape: dict[str, Any]) -> None:
    problem = random_problem(seed, **shape)
    every = all_orders(problem)
    if not len(every):
        return
    seconds = largest_row_s(problem, every)
    within_s = float(np.quantile(seconds, 0.2)) * (1 + 1e-9)
    listed = every_order(problem, within_s, most=100_000)
    assert listed is not None
    known = {
        (tuple(classes), tuple(layers))
        for classes, layers in zip(
            every.classes[seconds <= within_s].tolist(),
            every.layers[seconds <= within_s].tolist(),
            strict=True,
        )
    }
    found = list(
        zip(map(tuple, listed.classes.tolist()), map(tuple, listed.layers.tolist()), strict=True)
    )
    assert len(found) == len(set(found))
    assert set(found) == known
    assert every_order(problem, within_s, most=len(known) - 1) is None or len(known) == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", SHAPES + OF_UNITS)
def test_no_answer_costs_less_than_the_least_sum(seed: int, shape: dict[str, Any]) -> None:
    """Of those within a threshold; of all it is the least."""
    problem = random_problem(seed, **shape)
    costs = np.random.default_rng(seed).uniform(0, 5, problem.own_s.shape)
    every = all_orders(problem)
    seconds, sums = largest_row_s(problem, every), taken(problem, costs, every).sum(axis=1)
    assert least_sum(problem, costs, 1e9, 1e9) == pytest.approx(sums.min(initial=np.inf))
    for share in (0.1, 0.5):
        within_s = float(np.quantile(seconds, share)) if len(seconds) else 1.0
        least = sums[seconds <= within_s].min(initial=np.inf)
        assert least_sum(problem, costs, within_s * (1 + 1e-9), within_s) <= least * (1 + 1e-9)


@pytest.mark.parametrize("levels", [2, 3])
def test_what_all_stages_hold_is_no_less_than_any_assignment_of_levels(levels: int) -> None:
    random = np.random.default_rng(levels)
    for _ in range(40):
        held = random.integers(0, 9, (1, 5, levels)).astype(float)
        counts = random.multinomial(5, [1 / levels] * levels)
        levels_of = [level for level, count in enumerate(counts) for _ in range(count)]
        best = max(
            sum(held[0, stage, level:].max() for stage, level in enumerate(order))
            for order in set(permutations(levels_of))
        )
        found = _most_together(held, np.cumsum(counts)[None])[0]
        assert found >= best
        if levels == 2:
            assert found == best


def least_row_by_program(problem: OrderProblem) -> float:
    """The least largest row as an integer program: a path over (row, layer), one arc for every way
    to fill a stage, within the counts of the classes."""
    from pulp import LpMinimize, LpProblem, lpSum

    rows = LpProblem("types_and_layers", LpMinimize)
    step = rows.add_variable("step", 0)
    rows += step
    each = problem.stages // problem.rows
    arcs = {
        (s, c, first, k): rows.add_variable(f"arc_{s}_{c}_{first}_{k}", 0, 1, "Integer")
        for s in range(problem.stages)
        for c in range(problem.classes)
        for first in range(problem.layers + 1)
        for k in range(min(problem.own_s.shape[2], problem.layers - first + 1))
        if problem.may[c, s // each] and np.isfinite(problem.own_s[c, s, k, first + k])
    }

    def cost(table: np.ndarray, stage: int) -> object:
        return lpSum(
            float(table[c, s, k, first + k]) * arc
            for (s, c, first, k), arc in arcs.items()
            if s == stage
        )

    for s in range(problem.stages):
        rows += lpSum(arc for key, arc in arcs.items() if key[0] == s) == 1
        before = lpSum(cost(problem.way_s, earlier) for earlier in range(s))
        whole = lpSum(cost(problem.way_s, one) for one in range(problem.stages))
        rows += step >= before + cost(problem.own_s, s)
        rows += step >= whole + cost(problem.late_s, s)
        for layer in range(problem.layers + 1):
            ends = lpSum(arc for (t, _, i, k), arc in arcs.items() if t == s - 1 and i + k == layer)
            begins = lpSum(arc for (t, _, i, _), arc in arcs.items() if t == s and i == layer)
            rows += begins == (ends if s else float(layer == 0))
        for c in range(problem.classes) if s % each else ():
            here, earlier = (
                lpSum(arc for (t, kind, _, _), arc in arcs.items() if (t, kind) == (u, c))
                for u in (s, s - 1)
            )
            rows += here == earlier
    last = problem.stages - 1
    rows += (
        lpSum(arc for (s, _, i, k), arc in arcs.items() if s == last and i + k == problem.layers)
        == 1
    )
    for c, most in enumerate(problem.most):
        taken_rows = [arc for (s, kind, _, _), arc in arcs.items() if kind == c and s % each == 0]
        rows += lpSum(taken_rows) <= most
    answer = solve(rows)
    return float(answer.objective) if answer.objective is not None else np.inf


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_an_integer_program_agrees(seed: int, shape: dict[str, Any]) -> None:
    problem = random_problem(seed + 50, **shape)
    found = best_order(problem)
    least_s = least_row_by_program(problem)
    assert least_s == pytest.approx(np.inf if found is None else found.rows_s, rel=1e-6)
