"""Paths through schedules that a search has found, from one combination to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.mixed.cuts import Paths

if TYPE_CHECKING:
    from planner.solver import Solver
    from planner.training.search.mixed.typed import TypedCombination

REMEMBERED = 64
"""Paths of a schedule that are kept from one combination to the next."""

AVERAGES, LATEST = 128, 4
"""The same of averages, and those of them that bound all answers at once."""


class KnownPaths:
    """Paths through schedules that a search has found, for the combinations that come after."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self._paths: dict[tuple[object, ...], Paths] = {}
        self._averages: dict[tuple[object, ...], Paths] = {}

    def of(self, of: TypedCombination) -> Paths:
        """Those of a combination's schedule."""
        return self._paths.get(_key(of), _none(of))

    def averages(self, of: TypedCombination) -> Paths:
        """Averages of paths through that schedule, the latest last."""
        return self._averages.get(_key(of), _none(of))

    def latest(self, of: TypedCombination) -> list[Paths]:
        """The latest of them, one by one."""
        averages = self.averages(of)
        return [averages.some(np.array([j])) for j in range(len(averages))[: -LATEST - 1 : -1]]

    def note(self, of: TypedCombination, paths: Paths, averages: Paths) -> None:
        """Keep the last ones found."""
        self._paths[_key(of)] = paths.last(REMEMBERED)
        self._averages[_key(of)] = self.averages(of).joined(averages).last(AVERAGES)


def _none(of: TypedCombination) -> Paths:
    return Paths.none(of.batch.pipeline, of.batch.virtual_stages)


def _key(of: TypedCombination) -> tuple[object, ...]:
    batch = of.batch
    sizes = (batch.pipeline, batch.virtual_stages, int(batch.num_microbatches[0]))
    return (batch.schedule, *sizes, of.problems[0].sends)
