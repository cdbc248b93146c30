"""Paths through schedules that a search has found, from one combination to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.training.search.mixed.cuts import Paths

if TYPE_CHECKING:
    from planner.solver import Solver
    from planner.training.search.mixed.typed import TypedCombination

REMEMBERED = 64
"""Paths of a schedule that are kept from one combination to the next."""

AVERAGES = 4
"""The same of averages."""


class KnownPaths:
    """Paths through schedules that a search has found, for the combinations that come after."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self._paths: dict[tuple[object, ...], Paths] = {}
        self._averages: dict[tuple[object, ...], list[Paths]] = {}

    def of(self, of: TypedCombination) -> Paths:
        """Those of a combination's schedule."""
        batch = of.batch
        return self._paths.get(_key(of), Paths.none(batch.pipeline, batch.virtual_stages))

    def averages(self, of: TypedCombination) -> list[Paths]:
        """Averages of paths through that schedule, the latest first."""
        return self._averages.get(_key(of), [])

    def note(self, of: TypedCombination, paths: Paths, averages: list[Paths]) -> None:
        """Keep the last ones found."""
        self._paths[_key(of)] = paths.last(REMEMBERED)
        self._averages[_key(of)] = [*averages[::-1], *self.averages(of)][:AVERAGES]


def _key(of: TypedCombination) -> tuple[object, ...]:
    batch = of.batch
    sizes = (batch.pipeline, batch.virtual_stages, int(batch.num_microbatches[0]))
    return (batch.schedule, *sizes, of.problems[0].sends)
