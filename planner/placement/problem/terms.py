"""A placement problem as arrays, for evaluating many placements or many changes to one.

A ring counts by its slowest hop, so that a family reduces to the set of the hops of all its rings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem, RingFamily


@dataclass(frozen=True, slots=True, eq=False)
class Hops:
    """The hops of a family. `sender`, `receiver`: columns, [E]. `touches` bool [C, E]: whether a
    hop starts or ends at a column. `sends_to`, `receives_from` int [C, D]: the columns that each
    column sends to and receives from, −1 where there are fewer. `seconds` [K, K] and `scale` [rows]
    are the family's."""

    sender: NDArray[np.int64]
    receiver: NDArray[np.int64]
    touches: NDArray[np.bool_]
    sends_to: NDArray[np.int64]
    receives_from: NDArray[np.int64]
    seconds: NDArray[np.float64]
    scale: NDArray[np.float64]

    def each(self, grids: NDArray[np.int64]) -> NDArray[np.float64]:
        """[…, rows, E]: seconds of each hop before scaling, for classes […, rows, columns]."""
        return self.seconds[grids[..., self.sender], grids[..., self.receiver]]

    def slowest(self, grids: NDArray[np.int64]) -> NDArray[np.float64]:
        """[…, rows]: seconds of each row, for classes […, rows, columns]."""
        if not len(self.sender):
            return np.zeros(grids.shape[:-1])
        return np.asarray(self.each(grids).max(axis=-1) * self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A problem, with the hops of the families of each of its waits, and of what follows paths."""

    problem: PlacementProblem
    waits: tuple[tuple[Hops, ...], ...]
    closing: Hops | None

    def objectives_s(self, grids: NDArray[np.int64]) -> NDArray[np.float64]:
        """[n]: seconds of placements given as classes, int [n, rows, columns]."""
        problem = self.problem
        seconds = self.pipelines_s(grids).max(axis=-1)
        for wait, families in zip(problem.waits, self.waits, strict=True):
            rows = sum((hops.slowest(grids) for hops in families), np.zeros(grids.shape[:-1]))
            seconds = seconds + np.maximum(0.0, (rows - wait.hidden_s).max(axis=-1))
        allowed = problem.row_class_allowed[np.arange(problem.rows)[:, None], grids]
        return np.where(allowed.all(axis=(-1, -2)), seconds, np.inf)

    def pipelines_s(self, grids: NDArray[np.int64]) -> NDArray[np.float64]:
        """[n, blocks]: seconds of each block of columns in lockstep, with what follows."""
        problem = self.problem
        shape = (len(grids), problem.boundaries, problem.columns // problem.lockstep)
        blocks = problem.links(grids).reshape((*shape, problem.lockstep)).max(axis=-1)
        paths = blocks.transpose(0, 2, 1) @ problem.path_links.T + problem.path_s
        if problem.closing is not None and self.closing is not None:
            paths += self.closing.slowest(grids)[:, None, problem.closing.path_row]
        return np.asarray(paths.max(axis=-1), dtype=np.float64)


def terms_of(problem: PlacementProblem) -> Terms:
    return Terms(
        problem=problem,
        waits=tuple(
            tuple(_hops(family, problem.columns) for family in wait.families)
            for wait in problem.waits
        ),
        closing=None if problem.closing is None else _hops(problem.closing.family, problem.columns),
    )


def _hops(family: RingFamily, columns: int) -> Hops:
    pairs = sorted(
        {
            (sender, receiver)
            for ring in family.rings
            if len(ring) > 1
            for sender, receiver in zip(ring, (*ring[1:], ring[0]), strict=True)
        }
    )
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    column = np.arange(columns)[:, None]
    return Hops(
        sender=ends[:, 0],
        receiver=ends[:, 1],
        touches=(ends[:, 0] == column) | (ends[:, 1] == column),
        sends_to=_partners(pairs, columns),
        receives_from=_partners([(receiver, sender) for sender, receiver in pairs], columns),
        seconds=family.hop_s,
        scale=family.scale,
    )


def _partners(pairs: list[tuple[int, int]], columns: int) -> NDArray[np.int64]:
    partners = [[there for here, there in pairs if here == column] for column in range(columns)]
    most = max(map(len, partners))
    return np.array([found + [-1] * (most - len(found)) for found in partners], dtype=np.int64)
