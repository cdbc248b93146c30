"""Placements that are filled up to one position, many at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.placement.exact.completions import Completions


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """n placements filled up to the same position. `cells` int8 [n, positions]; `used` [n]: used
    nodes as bits; `links_s` [n, rows − 1, blocks]: the slowest link so far, at least the cheapest
    possible; `hops_s` [n, families, rows] likewise; `pipeline_s` [n] and `waits_s` [n, waits]:
    bounds."""

    cells: NDArray[np.int8]
    used: NDArray[np.int64]
    links_s: NDArray[np.float64]
    hops_s: NDArray[np.float64]
    pipeline_s: NDArray[np.float64]
    waits_s: NDArray[np.float64]

    @property
    def bound_s(self) -> NDArray[np.float64]:
        return np.asarray(self.pipeline_s + self.waits_s.sum(axis=1))

    def __len__(self) -> int:
        return len(self.used)

    def at(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Partial:
        return Partial(*(getattr(self, field.name)[index] for field in fields(self)))


def joined(parts: Sequence[Partial]) -> Partial:
    return Partial(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Partial)
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class Floors:
    """Lower bounds for all placements: `pipeline_s` on the pipelines, `waits_s` on each wait.
    `waits_left` and `pipeline_left` bound what is still empty after a row, or a column, by the set
    of unused nodes, [2^N]. `cells` is the order in which positions are filled."""

    pipeline_s: float
    waits_s: NDArray[np.float64]
    cells: tuple[tuple[int, int], ...]
    waits_left: tuple[NDArray[np.float64], ...] | None
    pipeline_left: NDArray[np.float64] | None
    completions: Completions | None
