"""What simulations of layouts said, kept for problems that differ in memory alone.

The choices of what a plan recomputes, offloads and shards leave many problems whose layouts take
the same time and another space. A step depends on no bytes, and so do the moves that its critical
path suggests: they are found once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable

    from planner.stage_layout.problem import LayoutProblem, Layouts

OF_MEMORY = frozenset(
    ("static_bytes", "kept_bytes", "in_flight", "fixed_bytes", "capacity_bytes", "one_pattern")
)
"""Fields of a problem that say which layouts fit, and nothing of their seconds."""

KEPT = 32
"""Problems, those asked for last."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tried:
    """By the key of a layout: its step in seconds, and the layouts to try after it."""

    steps_s: dict[bytes, float] = field(default_factory=dict)
    moves: dict[bytes, Layouts] = field(default_factory=dict)


def tried_of(problem: LayoutProblem) -> Tried:
    """What is known of all problems whose layouts take as long as those of this one."""
    values = (getattr(problem, one.name) for one in fields(problem) if one.name not in OF_MEMORY)
    return _tried(tuple(_key(value) for value in values))


def keys_of(layouts: Layouts) -> list[bytes]:
    """A key of each of the layouts of one problem."""
    rows = np.concatenate([layouts.ends, layouts.patterns], axis=1, dtype=np.int64)
    return [row.tobytes() for row in rows]


@lru_cache(maxsize=KEPT)
def _tried(_times: tuple[Hashable, ...]) -> Tried:
    return Tried()


def _key(value: Hashable | np.ndarray) -> Hashable:
    return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
