"""How many workers of which kinds share a load: a mixed-integer program.

A worker of kind w runs at a mixture of its levels l, and what it does at each level is known.

    n_w    workers of kind w, whole          z_wl   of them, at level l
    b_wl   requests under way at one         r_wl   requests per second that it ends, or reads
    s_w    devices of one                    c_w    what one costs

    maximise   Σ v_w r_wl z_wl − θ Σ c_w n_w
    Σ_l z_wl = n_w                            every worker is at some level
    n_w ≤ N_w u_w,  Σ u_w ≤ 1                 one kind of each role in a group; u_w is 0 or 1
    Σ s_w n_w ≤ D_g                           devices of each group g
    Σ b_wl z_wl = C                           requests under way
    Σ r (readers for h) = Σ r (writers in h)  what is read for a group is written there
    Σ r (readers in g for h) ≤ R_gh           what the links between the groups carry
    Σ u_w (some readers and writers) ≤ 1      kinds that cannot work together

Readers (prefill) have v = 0, all others v = 1. C is left out for a load that is as large as it may
be. Requests at levels between those given are mixtures: the rate of a worker is interpolated. For
requests that come at a stated rate λ, Σ v_w r_wl z_wl ≥ λ, and Σ c_w n_w is the least.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pulp import LpProblem, LpVariable

    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.solver.answer import Answer
    from planner.solver.solver import Solver

from planner.solver.answer import Limits

_ROUNDING = 1e-9
WITHIN = 1e-6
"""Share of the objective at which an answer counts as the best."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkerKind:
    """A kind of worker. `clients`, `rate` [L]: requests under way, and per second, by level.
    `block`: devices that share a fast fabric, of which every stage takes `stage`. `reads_for`: the
    group whose writers continue what it reads; `continues`: it writes what others read. `adjacent`:
    only levels that follow one another are mixed, so that all of the kind are at nearly the same
    one; elsewhere the program may hold some back to keep a row."""

    group: int
    stage: int
    stages: int
    clients: Floats
    rate: Floats
    cost: float
    reads_for: int | None = None
    continues: bool = False
    adjacent: bool = False

    @property
    def role(self) -> tuple[bool, bool]:
        """Workers of one group with the same role are alternatives."""
        return self.reads_for is not None, self.continues

    @property
    def devices(self) -> int:
        """Of one worker."""
        return self.stage * self.stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Devices of a group, in blocks of a fast fabric."""

    devices: int
    block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolsProblem:
    """`clients`: requests under way, None for as many as are best. `carried_per_s`: by pair of
    groups, requests per second that the links carry. `theta`: what a unit of cost counts, in
    requests per second, and `known_rate` requests per second of a known answer, which say how exact
    a difference has to be. `most_devices`: of all groups. `cheapest`: what all workers cost is the
    least, with `least_per_s` requests per second at least. `apart`: workers of which one may be
    used at most."""

    workers: tuple[WorkerKind, ...]
    rooms: tuple[Room, ...]
    clients: float | None
    theta: float = 0.0
    known_rate: float = 0.0
    most_devices: int | None = None
    cheapest: bool = False
    least_per_s: float | None = None
    apart: tuple[tuple[int, ...], ...] = ()
    carried_per_s: Mapping[tuple[int, int], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolsAnswer:
    """`counts` [W] and `shares` [W][L]; `value`: requests per second less what costs count (or
    what all workers cost, where that is the least), which `bound` limits."""

    counts: tuple[int, ...]
    shares: tuple[Floats, ...]
    value: float
    bound: float


def solve_pools(
    problem: PoolsProblem, solver: Solver, budget: Budget, *, within: float = WITHIN
) -> PoolsAnswer | None:
    """The best counts, `within` a share of the bound. None where no counts keep all rows. Raises:
    OutOfTime."""
    from pulp import LpAffineExpression, LpMaximize, LpMinimize, LpProblem

    cheapest = problem.cheapest
    program = LpProblem("pools", LpMinimize if cheapest else LpMaximize)
    kinds = problem.workers
    unit = max((float(one.rate.max()) for one in kinds if one.rate.size), default=1.0)
    counts = [
        program.add_variable(
            f"n_{w}", 0, problem.rooms[one.group].devices // one.devices, "Integer"
        )
        for w, one in enumerate(kinds)
    ]
    shares = [
        [program.add_variable(f"z_{w}_{level}", 0) for level in range(one.clients.size)]
        for w, one in enumerate(kinds)
    ]
    if cheapest:
        terms = [(n, one.cost) for n, one in zip(counts, kinds, strict=True)]
    else:
        terms = [
            (n, -problem.theta * one.cost / unit) for n, one in zip(counts, kinds, strict=True)
        ]
        terms += _answered(kinds, shares, unit)
    program += LpAffineExpression(terms)
    if problem.least_per_s is not None:
        answered = LpAffineExpression(_answered(kinds, shares, unit))
        program += answered >= problem.least_per_s / unit * (1 - _ROUNDING)
    for n, levels in zip(counts, shares, strict=True):
        program += LpAffineExpression([(n, -1.0), *((z, 1.0) for z in levels)]) == 0
    _add_choices(program, problem, counts)
    _add_adjacency(program, problem, shares)
    _add_rooms(program, problem, counts)
    _add_clients(program, problem, shares)
    _add_flows(program, problem, shares, unit)
    limits = Limits(relative_gap=within, absolute_gap=max(1e-9, WITHIN * problem.known_rate / unit))
    answer = solver.solve(program, limits, budget=budget)
    return _read(problem, answer, counts, shares, 1.0 if cheapest else unit)


def _answered(
    kinds: Sequence[WorkerKind], shares: Sequence[Sequence[LpVariable]], unit: float
) -> list[tuple[LpVariable, float]]:
    """Requests per second that are answered, in units."""
    terms: list[tuple[LpVariable, float]] = []
    for one, levels in zip(kinds, shares, strict=True):
        if one.reads_for is None:
            terms += zip(levels, (one.rate / unit).tolist(), strict=True)
    return terms


def _add_choices(program: LpProblem, problem: PoolsProblem, counts: Sequence[LpVariable]) -> None:
    """Of every role in a group one kind, and of those that are apart."""
    from pulp import LpAffineExpression

    kinds = list(zip(counts, problem.workers, strict=True))
    uses: dict[int, LpVariable] = {}
    for group, role in sorted({(one.group, one.role) for one in problem.workers}):
        members = [
            (w, n, one)
            for w, (n, one) in enumerate(kinds)
            if (one.group, one.role) == (group, role)
        ]
        chosen = []
        for w, n, one in members:
            uses[w] = use = program.add_variable(f"use_{w}", 0, 1, "Integer")
            most = problem.rooms[group].devices // one.devices
            program += LpAffineExpression([(n, 1.0), (use, -float(most))]) <= 0
            chosen.append((use, 1.0))
        receivers = {one.reads_for for _, _, one in members}
        program += LpAffineExpression(chosen) <= len(receivers)
    for together in problem.apart:
        program += LpAffineExpression([(uses[w], 1.0) for w in together]) <= 1


def _add_adjacency(
    program: LpProblem, problem: PoolsProblem, shares: Sequence[Sequence[LpVariable]]
) -> None:
    """One pair of neighbouring levels (Beale and Tomlin 1970, special ordered sets of type 2)."""
    from pulp import LpAffineExpression

    for w, (one, levels) in enumerate(zip(problem.workers, shares, strict=True)):
        if not one.adjacent or len(levels) < 3:
            continue
        most = float(problem.rooms[one.group].devices // one.devices)
        pairs = [
            program.add_variable(f"pair_{w}_{at}", 0, 1, "Integer") for at in range(len(levels) - 1)
        ]
        program += LpAffineExpression([(pair, 1.0) for pair in pairs]) <= 1
        for at, level in enumerate(levels):
            near = [(pair, -most) for pair in pairs[max(0, at - 1) : at + 1]]
            program += LpAffineExpression([(level, 1.0), *near]) <= 0


def _add_rooms(program: LpProblem, problem: PoolsProblem, counts: Sequence[LpVariable]) -> None:
    """Devices of every group. Where the sizes of stages divide one another, any counts that fit by
    their sum fit into blocks; elsewhere every size gets whole blocks."""
    from pulp import LpAffineExpression

    for group, room in enumerate(problem.rooms):
        members = [
            (n, one) for n, one in zip(counts, problem.workers, strict=True) if one.group == group
        ]
        if not members:
            continue
        total = LpAffineExpression([(n, float(one.devices)) for n, one in members])
        program += total <= room.devices
        sizes = sorted({one.stage for _, one in members})
        chained = all(b % a == 0 for a, b in zip(sizes, [*sizes[1:], room.block], strict=True))
        if chained:
            continue
        blocks = []
        for size in sizes:
            taken = program.add_variable(
                f"blocks_{group}_{size}", 0, max(1, room.devices // room.block), "Integer"
            )
            blocks.append((taken, 1.0))
            stages = [(n, float(one.stages)) for n, one in members if one.stage == size]
            each = -float(room.block // size)
            program += LpAffineExpression([*stages, (taken, each)]) <= 0
        program += LpAffineExpression(blocks) <= max(1, room.devices // room.block)
    if problem.most_devices is not None:
        every = zip(counts, problem.workers, strict=True)
        total = LpAffineExpression([(n, float(one.devices)) for n, one in every])
        program += total <= problem.most_devices


def _add_clients(
    program: LpProblem, problem: PoolsProblem, shares: Sequence[Sequence[LpVariable]]
) -> None:
    """Requests under way."""
    from pulp import LpAffineExpression

    if problem.clients is None:
        return
    terms: list[tuple[LpVariable, float]] = []
    for one, levels in zip(problem.workers, shares, strict=True):
        terms += zip(levels, (one.clients / problem.clients).tolist(), strict=True)
    program += LpAffineExpression(terms) == 1


def _add_flows(
    program: LpProblem,
    problem: PoolsProblem,
    shares: Sequence[Sequence[LpVariable]],
    unit: float,
) -> None:
    from pulp import LpAffineExpression

    kinds = list(zip(problem.workers, shares, strict=True))
    for group in range(len(problem.rooms)):
        terms: list[tuple[LpVariable, float]] = []
        for one, levels in kinds:
            if one.reads_for == group:
                terms += zip(levels, (one.rate / unit).tolist(), strict=True)
            elif one.continues and one.group == group:
                terms += zip(levels, (-one.rate / unit).tolist(), strict=True)
        if terms:
            program += LpAffineExpression(terms) == 0
    for (sender, receiver), most in problem.carried_per_s.items():
        sent: list[tuple[LpVariable, float]] = []
        for one, levels in kinds:
            if one.group == sender and one.reads_for == receiver:
                sent += zip(levels, (one.rate / unit).tolist(), strict=True)
        if sent:
            program += LpAffineExpression(sent) <= most / unit


def _read(
    problem: PoolsProblem,
    answer: Answer,
    counts: Sequence[LpVariable],
    shares: Sequence[Sequence[LpVariable]],
    unit: float,
) -> PoolsAnswer | None:
    if not answer.values or answer.objective is None or answer.bound is None:
        return None
    whole = tuple(round(answer.values[n.name]) for n in counts)
    held = tuple(
        np.maximum([answer.values[z.name] for z in levels], 0.0) * (count > 0)
        for count, levels in zip(whole, shares, strict=True)
    )
    return PoolsAnswer(
        counts=whole, shares=held, value=answer.objective * unit, bound=answer.bound * unit
    )


def outer_levels(clients: Floats, rate: Floats, *, whole: float = 0.0) -> tuple[Floats, Floats]:
    """Levels whose mixtures are nowhere below a concave curve through the given ones and (0, 0).

    Between two levels such a curve lies below the chords on either side, drawn further: where those
    meet is a level of its own. The rate is nowhere above that of the last level. Levels below the
    hull of the others do not count. Between levels that are `whole` apart there is nothing: a
    worker has the requests of the one for a while and those of the other for the rest.
    """
    if clients.size < 2:
        return clients, rate
    apart = whole * (1 + _ROUNDING)
    points = upper_hull([(0.0, 0.0), *zip(clients.tolist(), rate.tolist(), strict=True)])
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairwise(points)]
    found = [point for point in points if point[0] > 0]
    for at in range(1, len(slopes) - 1):
        (x1, y1), (x2, y2) = points[at], points[at + 1]
        before, after = slopes[at - 1], slopes[at + 1]
        if before > after and x2 - x1 > apart:
            x = (y2 - y1 + before * x1 - after * x2) / (before - after)
            found.append((x, y1 + before * (x - x1)))
    if len(slopes) > 1 and slopes[-2] > 0 and points[-1][0] - points[-2][0] > apart:
        (x1, y1), (_, y2) = points[-2], points[-1]
        found.append((x1 + (y2 - y1) / slopes[-2], y2))
    found.sort()
    return np.array([x for x, _ in found]), np.array([y for _, y in found])


def upper_hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The upper hull of points that ascend in their first figure (Andrew 1979)."""
    kept: list[tuple[float, float]] = []
    for x, y in points:
        while len(kept) > 1:
            (x1, y1), (x2, y2) = kept[-2], kept[-1]
            if (y2 - y1) * (x - x1) > (y - y1) * (x2 - x1):
                break
            kept.pop()
        if not kept or x > kept[-1][0]:
            kept.append((x, y))
    return kept
