"""Mixtures of ways that keep the longest of several rows short, and averages of rows that no ways
can keep short: a linear program and its dual.

Each of several parts takes one of its ways, or a mixture of them, and adds what that way costs to
every row. Letters: J rows, I ways of a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pulp import LpProblem, LpVariable

    from planner.arrays import Floats
    from planner.solver.solver import Solver


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """The least longest row over all mixtures of ways, and the shares of the ways by part."""

    seconds: float
    shares: tuple[Floats, ...]


def best_mixture(
    ways_s: Sequence[Floats], fixed_s: Floats, unit_s: float, solver: Solver
) -> Mixture | None:
    """`ways_s`: [J, I] seconds of every part; `fixed_s` [J]: what the rows take besides. None where
    the solver has no answer."""
    from pulp import LpAffineExpression, LpMinimize, LpProblem

    program = LpProblem("mixture", LpMinimize)
    span = program.add_variable("span", 0)
    program += span
    shares = [
        [program.add_variable(f"share_{s}_{i}", 0) for i in range(table.shape[1])]
        for s, table in enumerate(ways_s)
    ]
    every = [share for of_stage in shares for share in of_stage]
    costs = np.concatenate(ways_s, axis=1) / unit_s
    for row, fixed in zip(costs.tolist(), (fixed_s / unit_s).tolist(), strict=True):
        terms = [(span, 1.0), *((one, -cost) for one, cost in zip(every, row, strict=True))]
        program += LpAffineExpression(terms) >= fixed
    for of_stage in shares:
        program += LpAffineExpression([(share, 1.0) for share in of_stage]) == 1
    answer = solver.solve(program)
    if not answer.values or answer.bound is None:
        return None
    found = []
    for of_stage in shares:
        held = np.maximum([answer.values[share.name] for share in of_stage], 0.0)
        found.append(held / held.sum())
    return Mixture(seconds=answer.bound * unit_s, shares=tuple(found))


def best_average(
    ways_s: Sequence[Floats], fixed_s: Floats, unit_s: float, solver: Solver
) -> Floats | None:
    """[J]: the shares of the rows in the average that is longest when parts take their best ways:
    the dual of `best_mixture`. Any shares give a bound; these give the best."""
    from pulp import LpAffineExpression, LpMaximize, LpProblem

    program = LpProblem("average", LpMaximize)
    shares = [program.add_variable(f"share_{j}", 0) for j in range(len(fixed_s))]
    least = [program.add_variable(f"least_{s}") for s in range(len(ways_s))]
    fixed = zip(shares, (fixed_s / unit_s).tolist(), strict=True)
    program += LpAffineExpression([*((one, 1.0) for one in least), *fixed])
    program += LpAffineExpression([(share, 1.0) for share in shares]) == 1
    for of_stage, table in zip(least, ways_s, strict=True):
        for column in (table.T / unit_s).tolist():
            terms = ((share, -cost) for share, cost in zip(shares, column, strict=True))
            program += LpAffineExpression([(of_stage, 1.0), *terms]) <= 0
    return _shares(program, shares, solver)


def best_shared_average(
    each_s: Floats, fixed_s: Floats, *, number: float, rooms: Floats, solver: Solver
) -> Floats | None:
    """[J]: the shares of the rows in the average that is longest when a `number` of equal things is
    divided among places as is best for it. `each_s` [J, I]: what one of them adds at a place; place
    i belongs to part i modulo the number of parts, and a part has room for `rooms` [P] of them.

    The program is the dual of the one that divides them: with shares λ that sum to 1, a price μ of
    every thing and ν ≥ 0 of the room of a part, the average takes at least Σ λ·fixed + number·μ −
    Σ rooms·ν where μ − ν ≤ Σ λ·each at every place. None where the solver has no answer, and where
    there is no room for all.
    """
    from pulp import LpAffineExpression, LpMaximize, LpProblem

    parts = len(rooms)
    unit_s = float(fixed_s.max() + number * each_s.max())
    program = LpProblem("shared", LpMaximize)
    shares = [program.add_variable(f"share_{j}", 0) for j in range(len(fixed_s))]
    full = [program.add_variable(f"full_{part}", 0) for part in range(parts)]
    each = program.add_variable("each")
    rooms = np.minimum(rooms, number) / max(number, 1.0)
    program += LpAffineExpression(
        [
            (each, 1.0),
            *((one, -room) for one, room in zip(full, rooms.tolist(), strict=True)),
            *zip(shares, (fixed_s / unit_s).tolist(), strict=True),
        ]
    )
    program += LpAffineExpression([(share, 1.0) for share in shares]) == 1
    for place, column in enumerate((max(number, 1.0) * each_s.T / unit_s).tolist()):
        terms = ((share, -cost) for share, cost in zip(shares, column, strict=True))
        program += LpAffineExpression([(each, 1.0), (full[place % parts], -1.0), *terms]) <= 0
    return _shares(program, shares, solver)


def _shares(program: LpProblem, shares: Sequence[LpVariable], solver: Solver) -> Floats | None:
    """The values of the shares in the best answer, none negative and their sum 1; None without
    one."""
    answer = solver.solve(program)
    if not answer.values:
        return None
    found = np.maximum([answer.values[share.name] for share in shares], 0.0)
    total = float(found.sum())
    return found / total if total > 0 else None
