"""What the passes of a stage layout take, linear in its variables."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.stage_layout.problem import LayoutProblem
    from tests.stage_layout.checker.counts import LayoutCounts


class PassTimes:
    """Seconds of passes and reductions as expressions of PuLP."""

    def __init__(self, problem: LayoutProblem, counts: LayoutCounts) -> None:
        from pulp import lpSum

        self._problem, self._counts, self._sum = problem, counts, lpSum
        self._stage = problem.placement.stage_of
        self.forward = cache(self._forward)
        """Of a chunk."""
        self.backward = cache(self._backward)
        """Of a chunk, with what it recomputes."""
        self.weight_gradient = cache(self._weight_gradient)
        """The part of a chunk's backward that can be moved."""
        self.reduction = cache(self._reduction)
        """Of a stage's gradients."""

    def input_gradient(self, k: int) -> Any:
        """The rest of a chunk's backward."""
        return self.backward(k) - self.weight_gradient(k)

    def _forward(self, k: int) -> Any:
        return self._of(k, self._problem.forward_s)

    def _weight_gradient(self, k: int) -> Any:
        return self._of(k, self._problem.weight_gradient_s)

    def _backward(self, k: int) -> Any:
        problem, s = self._problem, self._stage[k]
        return self._of(k, problem.backward_s) + self._sum(
            float(problem.replay_s[pattern.level, s, kind]) * count
            for r, pattern in enumerate(problem.patterns)
            for kind, count in self._counts.replayed(k, r)
        )

    def _reduction(self, s: int) -> Any:
        return self._sum(
            float(self._problem.reduction_s[kind]) * self._counts.held(int(k), j)
            for k in self._problem.placement.positions[s]
            for j, (kind, _) in enumerate(self._counts.runs)
        )

    def _of(self, k: int, seconds: Floats) -> Any:
        """A chunk's items at `seconds` [p, K] each."""
        s = self._stage[k]
        return self._sum(
            float(seconds[s, kind]) * self._counts.held(k, j)
            for j, (kind, _) in enumerate(self._counts.runs)
        )
