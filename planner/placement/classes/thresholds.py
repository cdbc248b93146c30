"""The values that the waits of a problem can take: few, since hops have few distinct costs on a
fabric.

Fixing each wait at one of its values fixes the hops that rings may use. A wait between two values
allows the same hops as the lower value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.placement.classes.fabric import NestedBlocks
    from planner.placement.problem.problem import PlacementProblem, Wait

MOST = 200
"""Most values kept per wait; where there are more, neighbouring values are grouped."""
ABOVE = 1 + 1e-9
"""Seconds that differ by less than this factor count as equal."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaitValues:
    """The V values of a wait, ascending: at value i the wait is at least `floor_s[i]`, and its hops
    may take at most `reach_s[i]`."""

    floor_s: NDArray[np.float64]
    reach_s: NDArray[np.float64]


def wait_values(wait: Wait, hops: Sequence[NDArray[np.float64]]) -> WaitValues:
    """The values of a wait; `hops` [H + 1, Q, Q] for each of its families."""
    costs = [np.unique(hop[np.isfinite(hop)]) for hop in hops]
    found = {0.0} if not all(map(len, costs)) else set()
    for row, hidden_s in enumerate(wait.hidden_s.tolist()):
        scaled = [
            cost * family.scale[row] for cost, family in zip(costs, wait.families, strict=True)
        ]
        found |= {max(0.0, float(sum(values)) - hidden_s) for values in product(*scaled)}
    every = np.array(sorted(found))
    every = every[np.diff(every, prepend=-1.0) > every * (ABOVE - 1)]
    groups = np.array_split(every, min(MOST, len(every)))
    return WaitValues(
        floor_s=np.array([group[0] for group in groups]),
        reach_s=np.array([group[-1] for group in groups]),
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Thresholds:
    """Every combination of values of the waits, with the known bound on the pipelines under each.

    `waits_s`: the sum of the waits; `pipeline_s`: no placement with these waits has faster
    pipelines. Both arrays have one axis per wait.
    """

    problem: PlacementProblem
    fabric: NestedBlocks
    values: tuple[WaitValues, ...]
    waits_s: NDArray[np.float64] = field(init=False)
    pipeline_s: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.waits_s = np.zeros(())
        for values in self.values:
            self.waits_s = np.add.outer(self.waits_s, values.floor_s)
        self.pipeline_s = np.zeros(self.waits_s.shape)

    @classmethod
    def of(cls, problem: PlacementProblem, fabric: NestedBlocks) -> Thresholds:
        hops = iter(fabric.hop_s)
        return cls(
            problem=problem,
            fabric=fabric,
            values=tuple(
                wait_values(wait, [next(hops) for _ in wait.families]) for wait in problem.waits
            ),
        )

    @property
    def bound_s(self) -> float:
        return float((self.waits_s + self.pipeline_s).min())

    @property
    def lowest(self) -> tuple[int, ...]:
        """The combination that sets the bound. Among equals, the one with the longest waits, since
        its bound holds for the others too."""
        total = self.waits_s + self.pipeline_s
        least = np.argwhere(total <= total.min() * ABOVE)
        longest = self.waits_s[tuple(least.T)].argmax()
        return tuple(int(index) for index in least[longest])

    @property
    def last(self) -> tuple[int, ...]:
        return tuple(size - 1 for size in self.waits_s.shape)

    def raise_below(self, at: tuple[int, ...], pipeline_s: float) -> None:
        """Raise the bound under a combination and under all shorter waits, which allow no faster
        pipelines."""
        below = tuple(slice(index + 1) for index in at)
        self.pipeline_s[below] = np.maximum(self.pipeline_s[below], pipeline_s)

    def hops(self, at: tuple[int, ...]) -> NDArray[np.bool_]:
        """[families, rows, H + 1, Q, Q]: the hops that rings may use under a combination."""
        found: list[NDArray[np.bool_]] = []
        hops = iter(self.fabric.hop_s)
        for index, values, wait in zip(at, self.values, self.problem.waits, strict=True):
            tables = [next(hops) for _ in wait.families]
            least = [
                family.scale * table.min()
                for family, table in zip(wait.families, tables, strict=True)
            ]
            for number, (family, table) in enumerate(zip(wait.families, tables, strict=True)):
                rest = sum(least[:number] + least[number + 1 :], -wait.hidden_s)
                allowed_s = values.reach_s[index] - rest + values.reach_s[-1] * (ABOVE - 1)
                found.append(
                    family.scale[:, None, None, None] * table <= allowed_s[:, None, None, None]
                )
        return np.array(found) if found else np.zeros((0, self.problem.rows, 1, 1, 1), dtype=bool)

    def limits_s(self, at: tuple[int, ...]) -> tuple[float, ...]:
        """The longest that each wait may be under a combination."""
        return tuple(
            float(values.reach_s[index]) for index, values in zip(at, self.values, strict=True)
        )
