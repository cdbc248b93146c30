"""Mixtures of ways that keep the longest of several rows short, and averages of rows that no ways
can keep short: a linear program and its dual.

Each of several parts takes one of its ways, or a mixture of them, and adds what that way costs to
every row. Letters: J rows, I ways of a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

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
