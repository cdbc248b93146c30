"""Paths through a schedule as rows that bound the step of every split of layers over chunks.

A path is there whatever the durations are, so no step is shorter than it (Kelley 1960, cutting
planes). Nor is it shorter than any average of paths; an average whose shares are well chosen bounds
all splits at once, since every stage may then choose the split that is best for the average.

Letters: J paths, p stages, v chunks of a stage, V chunks in all, B answers, I ways of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.graph.weight_table import WeightTable
from planner.schedule.simulation.causes import counts_to_ends
from planner.training.search.mixed.splits import PASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.schedule.simulation.timeline import Timeline
    from planner.solver import Solver

LATEST = 4
"""Stages of a simulation whose paths are taken, those that end last."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """How often each path runs every pass, [J, p, 4 · v], and every send, [J, V − 1] each way; and
    the stage with which it ends, [J]."""

    passes: Floats
    forward_sends: Floats
    backward_sends: Floats
    ends: Ints

    def __len__(self) -> int:
        return len(self.ends)

    @classmethod
    def none(cls, stages: int, chunks: int) -> Paths:
        sends = np.zeros((0, stages * chunks - 1))
        return cls(
            passes=np.zeros((0, stages, len(PASSES) * chunks)),
            forward_sends=sends,
            backward_sends=sends,
            ends=np.zeros(0, dtype=np.int64),
        )

    @classmethod
    def of(cls, timeline: Timeline) -> Paths:
        """The longest paths to the ends of the stages that are done last."""
        schedule = timeline.schedule
        p, v = schedule.stages, schedule.virtual_stages
        ends = np.argsort(-timeline.reduction_end_s, kind="stable")[:LATEST]
        rows = WeightTable(stages=p, virtual_stages=v, exchanges=len(schedule.exchanges))
        counts = counts_to_ends(timeline, ends.tolist()).astype(np.float64)
        by_kind = [
            counts[:, rows.passes + kind * p * v :][:, : p * v].reshape(-1, p, v) for kind in PASSES
        ]
        return cls(
            passes=np.concatenate(by_kind, axis=-1),
            forward_sends=counts[:, rows.forward_sends : rows.backward_sends],
            backward_sends=counts[:, rows.backward_sends : rows.exchange],
            ends=ends,
        )

    def joined(self, more: Paths) -> Paths:
        """With those of `more` that are new."""
        known = {self._key(j) for j in range(len(self))}
        keys = [more._key(j) for j in range(len(more))]
        new = [j for j, key in enumerate(keys) if key not in known and key not in keys[:j]]
        return Paths(
            passes=np.concatenate((self.passes, more.passes[new])),
            forward_sends=np.concatenate((self.forward_sends, more.forward_sends[new])),
            backward_sends=np.concatenate((self.backward_sends, more.backward_sends[new])),
            ends=np.concatenate((self.ends, more.ends[new])),
        )

    def last(self, count: int) -> Paths:
        """The last ones."""
        return Paths(
            passes=self.passes[-count:],
            forward_sends=self.forward_sends[-count:],
            backward_sends=self.backward_sends[-count:],
            ends=self.ends[-count:],
        )

    def _key(self, j: int) -> bytes:
        parts = (self.passes[j], self.forward_sends[j], self.backward_sends[j])
        return b"".join(part.tobytes() for part in parts) + bytes(str(int(self.ends[j])), "ascii")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """The least largest path over all mixtures of ways, and the shares of the ways by stage."""

    seconds: float
    shares: tuple[Floats, ...]


def best_mixture(
    ways_s: Sequence[Floats], fixed_s: Floats, unit_s: float, solver: Solver
) -> Mixture | None:
    """`ways_s`: [J, I] of every stage; `fixed_s` [J]: what the paths take besides. None where the
    solver has no answer."""
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
    """[J]: the shares of the paths in the average that is longest when every stage chooses its best
    way: the dual of `best_mixture`. Any shares are a bound; these are the best."""
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
    answer = solver.solve(program)
    if not answer.values:
        return None
    found = np.maximum([answer.values[share.name] for share in shares], 0.0)
    total = float(found.sum())
    return found / total if total > 0 else None
