"""Lower bounds over all ways to spread layers over the chunks of interleaved schedules.

No step is shorter than a path through its schedule, nor than an average of such paths. A linear
program finds the average that is longest where layers are spread as is best for it: the dual of the
spread that keeps the longest path short. No stage gets more layers than it has room for; where the
rooms leave no choice, that fixes the layers of every stage. An average bounds all combinations of
the same schedule.

Letters: N cases, J paths, p stages, v chunks of a stage, V = p · v chunks in the order in which a
microbatch visits them, m microbatches. A case is a combination with a number of recomputed layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.bounds.loop_paths import LoopPaths, loop_paths
from planner.schedule.build import build
from planner.solver.mixture import best_shared_average
from planner.training.search.bounding.spread_cases import fewest_layers

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.schedule.graph.compile import Sends
    from planner.solver import Solver
    from planner.training.search.bounding.spread_cases import SpreadCases

GROUPS = 3
"""Groups of microbatches whose order is looked at where there are more than one more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Paths of one case: what they take with the fewest layers, [J], and for every layer more in a
    chunk, [J, V]."""

    fixed_s: Floats
    layer_s: Floats


class SpreadBounds:
    """The cases of one schedule with as many `chunks` in a pipeline. `bound_s` [N] rises with every
    average of paths that is found."""

    def __init__(
        self,
        schedule: str,
        stages: int,
        sends: Sends,
        cases: SpreadCases,
        layers: int,
        solver: Solver,
    ) -> None:
        self.cases = cases
        self._sends = sends
        self.bound_s = cases.least_s.copy()
        self._name, self._stages, self._solver = schedule, stages, solver
        self.chunks = cases.sends_s.shape[-1] + 1
        self._least = fewest_layers(self.chunks)
        self._rest = max(layers - int(self._least.sum()), 0)
        self._few = self._ordered(cases.microbatches)
        self._paths: dict[int, LoopPaths] = {}

    def raise_bound(self, case: int, budget: Budget) -> None:
        """Raise the bound of a case as far as an average of paths can, and those of the others with
        it. Raises: OutOfTime."""
        budget.check()
        few = int(self._few[case])
        paths = self._paths.get(few) or self._found(few)
        cases = self.cases.some(np.array([case]))
        rows = self._rows(paths, few, cases)
        longest = _undominated(np.column_stack((rows.fixed_s, rows.layer_s)))
        shares = best_shared_average(
            rows.layer_s[longest],
            rows.fixed_s[longest],
            number=float(self._rest),
            rooms=self._rooms(cases)[0],
            solver=self._solver,
        )
        if shares is not None:
            self._apply(few, paths.some(longest), shares)

    def _apply(self, few: int, paths: LoopPaths, shares: Floats) -> None:
        """Raise the bounds of all cases to which the paths belong by an average of them."""
        at = np.flatnonzero(self._few == few)
        used = np.flatnonzero(shares > 0)
        cases, paths = self.cases.some(at), paths.some(used)
        fixed, layer = np.zeros(len(at)), np.zeros((len(at), self.chunks))
        for j, share in enumerate((shares[used] / shares[used].sum()).tolist()):
            one = self._rows(paths.some(np.array([j])), few, cases)
            fixed += share * one.fixed_s
            layer += share * one.layer_s
        spent, left = np.zeros(len(at)), np.full(len(at), float(self._rest))
        cheapest = layer.reshape(len(at), -1, self._stages).min(axis=1)
        room = self._rooms(cases)
        order = np.argsort(cheapest, axis=1, kind="stable")
        for place in range(self._stages):
            stage = order[:, place, None]
            held = np.clip(np.take_along_axis(room, stage, axis=1)[:, 0], 0.0, left)
            spent += held * np.take_along_axis(cheapest, stage, axis=1)[:, 0]
            left -= held
        spent = np.where(left > 0, np.inf, spent)
        self.bound_s[at] = np.maximum(self.bound_s[at], fixed + spent + cases.after_s)

    def _rooms(self, cases: SpreadCases) -> Floats:
        """[N, p]: layers for which stages have room beyond their fewest."""
        return np.asarray(cases.most - self._least.reshape(-1, self._stages).sum(axis=0))

    def _ordered(self, microbatches: Ints) -> Ints:
        """Of how many microbatches the order is looked at; all others are whole groups in the
        steady phase."""
        least = GROUPS * self._stages + microbatches % self._stages
        return np.where(microbatches > least, least, microbatches)

    def _found(self, microbatches: int) -> LoopPaths:
        chunks = self.chunks // self._stages
        schedule = build(
            self._name,
            stages=self._stages,
            virtual_stages=chunks,
            num_microbatches=microbatches,
        )
        return self._paths.setdefault(microbatches, loop_paths(schedule, self._sends))

    def _rows(self, paths: LoopPaths, few: int, cases: SpreadCases) -> _Rows:
        """Of J paths and one case, or of one path and N cases."""
        more = paths.groups_more(self._stages, (cases.microbatches - few).astype(np.float64))
        forward, backward = paths.forward + more, paths.backward + more
        at_end = paths.end[:, None] == np.arange(self.chunks) % self._stages
        f, b = cases.forward_s[:, None], cases.backward_s[:, None]
        reduced = cases.reduced_s[:, 1:] * at_end
        layer = forward * f + backward * (b + cases.more_s[:, None]) + reduced
        first = (forward * f + backward * (b + cases.first_s[:, None]) + reduced) @ self._least
        first = first + cases.reduced_s[:, 0]
        ends = cases.ends_s
        first = first + forward[:, 0] * ends[:, 0, 0] + backward[:, 0] * ends[:, 0, 1]
        first = first + forward[:, -1] * ends[:, 1, 0] + backward[:, -1] * ends[:, 1, 1]
        there, back = cases.sends_s[:, 0], cases.sends_s[:, 1]
        onward = paths.forward_sends + paths.waits[0] * more[:, :-1]
        returned = paths.backward_sends + paths.waits[1] * more[:, 1:]
        sent = (onward * there).sum(axis=1) + (returned * back).sum(axis=1)
        return _Rows(fixed_s=first + sent, layer_s=layer)


def _undominated(rows: Floats) -> Ints:
    """The rows that no other row equals or exceeds in every column; the first of equal ones."""
    kept: list[int] = []
    largest = np.empty_like(rows)
    order = np.argsort(-rows.sum(axis=1), kind="stable")
    for j in order.tolist():
        if not (largest[: len(kept)] >= rows[j]).all(axis=1).any():
            largest[len(kept)] = rows[j]
            kept.append(j)
    return np.array(sorted(kept))
