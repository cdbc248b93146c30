"""Mixtures of ways that keep the longest of several rows short, and averages of rows that no ways
can keep short: a linear program and its dual.

Each of several parts takes one of its ways, or a mixture of them, and adds what that way costs to
every row. Letters: J rows, I ways of a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.solver.linear import LinearProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Bools, Floats
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
    counts = [table.shape[1] for table in ways_s]
    shares = [[f"share_{s}_{i}" for i in range(count)] for s, count in enumerate(counts)]
    costs = np.concatenate(ways_s, axis=1) / unit_s
    spans = np.column_stack((np.ones(len(costs)), -costs))
    parts = np.column_stack((np.zeros(len(counts)), np.repeat(np.eye(len(counts)), counts, axis=1)))
    program = LinearProgram(
        names=("span", *chain.from_iterable(shares)),
        cost=np.append(1.0, np.zeros(sum(counts))),
        free=np.zeros(1 + sum(counts), dtype=np.bool_),
        rows=np.concatenate((spans, parts)),
        row_lower=np.append(fixed_s / unit_s, np.ones(len(counts))),
        row_upper=np.append(np.full(len(costs), np.inf), np.ones(len(counts))),
    )
    answer = solver.solve_linear(program)
    if not answer.values or answer.bound is None:
        return None
    found = []
    for of_stage in shares:
        held = np.maximum([answer.values[share] for share in of_stage], 0.0)
        found.append(held / held.sum())
    return Mixture(seconds=answer.bound * unit_s, shares=tuple(found))


def best_average(
    ways_s: Sequence[Floats], fixed_s: Floats, unit_s: float, solver: Solver
) -> Floats | None:
    """[J]: the shares of the rows in the average that is longest when parts take their best ways:
    the dual of `best_mixture`. Any shares give a bound; these give the best."""
    counts = [table.shape[1] for table in ways_s]
    costs = np.concatenate(ways_s, axis=1).T / unit_s
    program = _Average(
        others=tuple(f"least_{part}" for part in range(len(counts))),
        worth=np.ones(len(counts)),
        free=np.ones(len(counts), dtype=np.bool_),
        rows=np.repeat(np.eye(len(counts)), counts, axis=0),
        costs=costs,
        fixed=fixed_s / unit_s,
    )
    return program.shares(solver)


class Parts(NamedTuple):
    """A `number` of equal things to be divided among places. Place i belongs to part i modulo the
    number of parts; a part takes at least `floors` [P] of them and has room for `rooms` [P]."""

    number: float
    floors: Floats
    rooms: Floats


def best_shared_average(
    each_s: Floats, fixed_s: Floats, parts: Parts, solver: Solver
) -> Floats | None:
    """[J]: the shares of the rows in the average that is longest when things are divided as is best
    for it. `each_s` [J, I]: what one of them adds at a place.

    The program is the dual of the one that divides them: with shares λ that sum to 1, a price μ of
    every thing, ν ≥ 0 of the room and ξ ≥ 0 of the floor of a part, the average takes at least
    Σ λ·fixed + number·μ − Σ rooms·ν + Σ floors·ξ where μ − ν + ξ ≤ Σ λ·each at every place. None
    where the solver has no answer, and where there is no room for all.
    """
    number, count, places = parts.number, len(parts.rooms), each_s.shape[1]
    unit_s = float(fixed_s.max() + number * each_s.max())
    full = np.arange(places)[:, None] % count == np.arange(count)
    kept = np.flatnonzero(parts.floors > 0)
    limits = np.concatenate((-np.minimum(parts.rooms, number), parts.floors[kept]))
    program = _Average(
        others=(
            "each",
            *(f"full_{part}" for part in range(count)),
            *(f"kept_{part}" for part in kept.tolist()),
        ),
        worth=np.append(1.0, limits / max(number, 1.0)),
        free=np.arange(1 + len(limits)) == 0,
        rows=np.column_stack((np.ones(places), -1.0 * full, 1.0 * full[:, kept])),
        costs=max(number, 1.0) * each_s.T / unit_s,
        fixed=fixed_s / unit_s,
    )
    return program.shares(solver)


def best_division(each_s: Floats, fixed_s: Floats, parts: Parts, solver: Solver) -> Floats | None:
    """[I]: how many things each place gets where that keeps the longest row shortest: what
    `best_shared_average` is the dual of, with the same arguments."""
    number, count, places = parts.number, len(parts.rooms), each_s.shape[1]
    unit_s = float(fixed_s.max() + number * each_s.max())
    part_of = np.arange(places) % count == np.arange(count)[:, None]
    given = np.concatenate((np.ones((1, places)), part_of))
    program = LinearProgram(
        names=("span", *(f"place_{place}" for place in range(places))),
        cost=np.append(1.0, np.zeros(places)),
        free=np.zeros(1 + places, dtype=np.bool_),
        rows=np.concatenate(
            (
                np.column_stack((np.ones(len(each_s)), -each_s / unit_s)),
                np.column_stack((np.zeros(1 + count), given)),
            )
        ),
        row_lower=np.concatenate((fixed_s / unit_s, [number], parts.floors)),
        row_upper=np.concatenate((np.full(len(each_s), np.inf), [number], parts.rooms)),
    )
    answer = solver.solve_linear(program)
    if not answer.values:
        return None
    return np.maximum([answer.values[f"place_{place}"] for place in range(places)], 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Average:
    """The program of an average: shares of J rows that sum to 1, worth `fixed` [J], and `others`
    [O] with their `worth`, where `rows` [R, O] of these are at most `costs` [R, J] of the
    shares."""

    others: tuple[str, ...]
    worth: Floats
    free: Bools
    rows: Floats
    costs: Floats
    fixed: Floats

    def shares(self, solver: Solver) -> Floats | None:
        """[J]: the shares in the best answer, none negative and their sum 1; None without one."""
        names = tuple(f"share_{j}" for j in range(len(self.fixed)))
        none = np.zeros(len(names), dtype=np.bool_)
        whole = np.append(np.zeros(len(self.others)), np.ones(len(names)))
        program = LinearProgram(
            maximise=True,
            names=(*self.others, *names),
            cost=np.append(self.worth, self.fixed),
            free=np.append(self.free, none),
            rows=np.concatenate((whole[None], np.column_stack((self.rows, -self.costs)))),
            row_lower=np.append(1.0, np.full(len(self.rows), -np.inf)),
            row_upper=np.append(1.0, np.zeros(len(self.rows))),
        )
        answer = solver.solve_linear(program)
        if not answer.values:
            return None
        found = np.maximum([answer.values[name] for name in names], 0.0)
        total = float(found.sum())
        return found / total if total > 0 else None
