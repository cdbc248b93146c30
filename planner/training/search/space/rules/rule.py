"""A rule of the search space: a sentence and a vectorised condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.plan import DATA_SHARDINGS
from planner.training.search.space.facts import LONG_SEQUENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.search.space.facts import SpaceFacts

    Columns = Mapping[str, NDArray[np.int64]]

Holds = Any
"""bool [rows], or of length 1 where all rows agree; numpy's stubs type comparisons as Any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRule:
    """One rule. `axes` are the columns that the condition reads, `adjusts` is the one to change
    when it fails. `sentence` may name fields of `SpaceFacts` in braces, and so may `fix`: what to
    change where it is an option outside the space. `of_one` says what one combination breaks, where
    the sentence covers several conditions. `search_only` rules keep equivalent or pointless
    combinations out of a search; a single plan may break them.

    `holds` says for which rows of a block of combinations the rule holds. It gets the scenario's
    facts, `f`, and the columns, `c`; columns may have length 1 where all rows agree."""

    name: str
    sentence: str
    axes: tuple[str, ...]
    adjusts: str
    holds: Callable[[SpaceFacts, Columns], Holds]
    search_only: bool = False
    fix: str = ""
    of_one: Callable[[SpaceFacts, Columns], str] | None = None

    def says(self, facts: SpaceFacts) -> str:
        """The sentence with the scenario's numbers."""
        return self.sentence.format(f=facts, long=LONG_SEQUENCE)

    def says_of(self, facts: SpaceFacts, row: Columns) -> str:
        """What one combination breaks, in words."""
        return self.says(facts) if self.of_one is None else self.of_one(facts, row)

    def repairs(self, facts: SpaceFacts) -> str | None:
        """What to change, where it is no axis of the space."""
        return self.fix.format(f=facts) or None


def where_chosen(
    axis: str, condition: Callable[[SpaceFacts, Columns], Holds]
) -> Callable[[SpaceFacts, Columns], Holds]:
    """A condition that holds for code 0 of an axis, which all rows have in most searches."""

    def holds(f: SpaceFacts, c: Columns) -> Holds:
        return condition(f, c) if c[axis].any() else np.True_

    return holds


def sharded_as(names: Sequence[str], c: Columns) -> NDArray[np.bool_]:
    """[N]: whether data sharding has one of the names."""
    return np.isin(c["data_sharding"], [DATA_SHARDINGS.index(name) for name in names])
