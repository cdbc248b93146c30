"""Equally many items in every bin, so that the fullest bin holds the least: an integer program.

    w_i   weight of item i        x_ib  it is in bin b; 0 or 1        z   weight of the fullest bin

    minimise z,   Σ_b x_ib = 1,   Σ_i x_ib = items/bins,   Σ_i w_i x_ib ≤ z

A first answer puts the heaviest items first into the lightest bin with room (Graham 1969, with as
many items in each), and exchanges items with the fullest bin while that lightens it. The program is
solved where it is small; elsewhere the bound is what holds for any answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.solver.answer import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.solver.solver import Solver

_EXACT = 160
"""Items times bins up to which the program is solved."""
_LIMITS = Limits(nodes=20_000, seconds=10.0)
_SAME = 1e-9
"""Share of the weight by which two answers count as the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """`bins`: items of each, in ascending order. `fullest`: weight of the fullest bin, which is at
    least `bound` in every answer."""

    bins: tuple[tuple[int, ...], ...]
    fullest: float
    bound: float


def balance(weights: Sequence[float], bins: int, solver: Solver) -> Balanced:
    """Items of such weights over bins that divide their number. Items stay in their order where
    nothing is gained."""
    sizes = np.asarray(weights, dtype=np.float64)
    each = len(sizes) // bins
    least = np.sort(sizes)
    bound = max(float(sizes.sum()) / bins, float(least[-1] + least[: each - 1].sum()))
    in_order = np.repeat(np.arange(bins), each)
    found = min((in_order, _exchanged(sizes, bins)), key=lambda one: _fullest(sizes, one, bins))
    if _fullest(sizes, found, bins) > bound * (1 + _SAME) and len(sizes) * bins <= _EXACT:
        found, bound = _solved(sizes, bins, found, bound, solver)
    members = [tuple(np.flatnonzero(found == one).tolist()) for one in range(bins)]
    fullest = _fullest(sizes, found, bins)
    return Balanced(bins=tuple(members), fullest=fullest, bound=min(bound, fullest))


def _fullest(sizes: Floats, bin_of: Ints, bins: int) -> float:
    return float(np.bincount(bin_of, weights=sizes, minlength=bins).max())


def _exchanged(sizes: Floats, bins: int) -> Ints:
    """The first answer: the bin of each item."""
    bin_of = _dealt(sizes, bins)
    load = np.bincount(bin_of, weights=sizes, minlength=bins)
    smallest = _SAME * float(sizes.sum())
    while bins > 1:
        full = int(load.argmax())
        mine, others = np.flatnonzero(bin_of == full), np.flatnonzero(bin_of != full)
        moved = sizes[mine][:, None] - sizes[others][None, :]
        higher = np.maximum(load[full] - moved, load[bin_of[others]][None, :] + moved)
        one, other = np.unravel_index(int(higher.argmin()), higher.shape)
        if higher[one, other] >= load[full] - smallest:
            break
        item, partner = mine[one], others[other]
        bin_of[item], bin_of[partner] = bin_of[partner], full
        load = np.bincount(bin_of, weights=sizes, minlength=bins)
    return bin_of


def _dealt(sizes: Floats, bins: int) -> Ints:
    """The bin of each item: the heaviest first, into the lightest bin with room."""
    each = len(sizes) // bins
    load, held = np.zeros(bins), np.zeros(bins, dtype=np.int64)
    bin_of = np.zeros(len(sizes), dtype=np.int64)
    for item in np.argsort(-sizes, kind="stable"):
        at = int(np.where(held < each, load, np.inf).argmin())
        bin_of[item], load[at], held[at] = at, load[at] + sizes[item], held[at] + 1
    return bin_of


def _solved(
    sizes: Floats, bins: int, known: Ints, bound: float, solver: Solver
) -> tuple[Ints, float]:
    """The best answer of the program, and its bound. Weights count as shares of the known one."""
    from pulp import LpAffineExpression, LpMinimize, LpProblem

    unit = _fullest(sizes, known, bins)
    shares, each = (sizes / unit).tolist(), len(sizes) // bins
    program = LpProblem("balance", LpMinimize)
    top = program.add_variable("fullest", bound / unit)
    x = [
        [program.add_variable(f"x_{i}_{b}", 0, 1, "Integer") for b in range(bins)]
        for i in range(len(sizes))
    ]
    program += top
    for row in x:
        program += LpAffineExpression([(one, 1.0) for one in row]) == 1
    for b in range(bins):
        program += LpAffineExpression([(row[b], 1.0) for row in x]) == each
        held = [(row[b], share) for row, share in zip(x, shares, strict=True)]
        program += LpAffineExpression([*held, (top, -1.0)]) <= 0
    start = {f"x_{i}_{b}": 1.0 for i, b in enumerate(known.tolist())} | {"fullest": 1.0}
    answer = solver.solve(program, _LIMITS, known=start)
    if not answer.values:
        return known, bound
    chosen = np.array([[answer.values[v.name] for v in row] for row in x]).argmax(axis=1)
    return chosen, max(bound, unit * (answer.bound or 0.0))
