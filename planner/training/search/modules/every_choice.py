"""Every choice of modules of a layer, as rows of a cost table.

What the treatments of a layer's blocks drop, move and compute again adds up, so that the rows of
all choices follow from those of single treatments. With them the formulas of memory and time take a
choice of modules like any other combination.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.modules.options import KEEP, ModuleWays, Treatment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.workload.shard import Shard


COMPARED = 1024
"""Choices that are compared with all before them at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EveryChoice:
    """The choices of modules that others do not beat in every respect. A plan with the choice of
    row c is one under selective recomputation with the prices of that row, and offloads where
    `moves` [C] says so."""

    treatments: tuple[Treatment, ...]
    table: CostTable
    moves: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.treatments)

    @classmethod
    def of(cls, scenario: Scenario, shard: Shard) -> EveryChoice:
        """Of layers that are divided so; kept with the scenario. Raises: InputError."""
        known: dict[Shard, EveryChoice] = scenario.kept_of_layers.setdefault(_CHOICES, {})
        if shard not in known:
            known[shard] = _every_choice(ModuleWays.of(scenario, shard))
        return known[shard]


def _every_choice(ways: ModuleWays) -> EveryChoice:
    single, table = ways.single, ways.table
    again = np.array([bool(way.recompute) for way in single])[:, None]
    there = np.array([bool(way.offload) for way in single])[:, None]
    dropped = np.where(again, table.saved_bytes - table.selective_bytes, 0)
    movable = np.where(again, table.selective_movable_bytes, table.movable_bytes) * there
    again_s, type_again_s = table.selective_s * again, table.type_selective_s * again
    places = {way: place for place, way in enumerate(single)}
    taken = np.array(
        [[places[way] for way in chosen] for chosen in product(*ways.blocks)], dtype=np.int64
    )
    taken = taken[
        _unbeaten(
            dropped[taken].sum(axis=1),
            movable[taken].sum(axis=1),
            again_s[:, taken].sum(axis=2),
        )
    ]
    kept = table.some(np.zeros(len(taken), dtype=np.int64))
    return EveryChoice(
        treatments=tuple(sum((single[place] for place in row), KEEP) for row in taken.tolist()),
        table=replace(
            kept,
            selective_bytes=kept.saved_bytes - dropped[taken].sum(axis=1),
            selective_movable_bytes=movable[taken].sum(axis=1),
            selective_s=again_s[:, taken].sum(axis=2),
            type_selective_s=type_again_s[:, taken].sum(axis=2),
        ),
        moves=there[taken, 0].any(axis=1),
    )


def _unbeaten(
    dropped: NDArray[np.int64], movable: NDArray[np.int64], again_s: NDArray[np.float64]
) -> list[int]:
    """The choices, of bytes [C, K] and seconds [T, C, K], to which no other one that moves the same
    is equal or better in all: those that drop more leave less in flight than the pass that makes it
    again restores. Of equals the first."""
    seconds = np.moveaxis(again_s, 1, 0).reshape(len(dropped), -1)
    order = np.lexsort((-dropped.sum(axis=1), seconds.sum(axis=1)))
    moved = [(column, np.equal) for column in movable.T]
    freed = [(column, np.greater_equal) for column in dropped.T]
    spent = [(column, np.less_equal) for column in seconds.T]
    kept = [np.zeros(0, dtype=np.int64)]
    for first in range(0, len(order), COMPARED):
        some = order[first : first + COMPARED]
        before = order[: first + len(some)]
        beaten = np.arange(len(before))[:, None] < first + np.arange(len(some))
        for column, no_worse in (*moved, *freed, *spent):
            beaten &= no_worse(column[before, None], column[some])
        kept.append(some[~beaten.any(axis=0)])
    return sorted(np.concatenate(kept).tolist())


_CHOICES = "every choice of modules"
"""Under which name a scenario keeps them."""
