"""Lower bounds over all ways to spread layers over the chunks of interleaved schedules.

No step is shorter than a path through its schedule, nor than an average of such paths. A linear
program finds the average that is longest where layers are spread as is best for it: the dual of the
spread that keeps the longest path short. An average bounds all combinations of the same schedule.

Letters: N cases, J paths, p stages, v chunks of a stage, V = p · v chunks in the order in which a
microbatch visits them, m microbatches. A case is a combination with a number of recomputed layers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.bounds.loop_paths import LoopPaths, loop_paths
from planner.schedule.build import build
from planner.solver.mixture import best_average
from planner.training.batch import SELECTIVE
from planner.training.search.bounding.every_layout import LayoutStages, recomputed_numbers
from planner.training.search.layouts.bound import ENDLESS_S, beside_pipeline_s, jitter_share
from planner.training.search.mixed.speeds import layer_columns
from planner.training.step.reduction import gradient_reduction_s
from planner.training.step.sends import boundary_sends

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.schedule.graph.compile import Sends
    from planner.solver import Solver
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

GROUPS = 3
"""Groups of microbatches whose order is looked at where there are more than one more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpreadCases:
    """Combinations [N] of one schedule, number of stages and chunks. Seconds with one microbatch:
    `forward_s` and `backward_s` [N] of a layer, `first_s` [N] what the first layer of a chunk
    replays, `more_s` [N] every further one at least; `ends_s` [N, 2, 2] forward and backward of the
    embedding and of the head. `sends_s` [N, 2, V − 1] there and back; `after_s` [N] what follows
    the pipeline. `reduced_s` [N, 2]: of a gradient reduction, what it takes in any case and for
    every layer of its stage. `most` [N, p]: layers that a stage has room for. `combination`: its
    index."""

    combination: Ints
    microbatches: Ints
    forward_s: Floats
    backward_s: Floats
    first_s: Floats
    more_s: Floats
    ends_s: Floats
    sends_s: Floats
    after_s: Floats
    reduced_s: Floats
    most: Floats

    def __len__(self) -> int:
        return len(self.combination)

    def some(self, which: Ints) -> SpreadCases:
        return SpreadCases(**{one.name: getattr(self, one.name)[which] for one in fields(self)})

    @classmethod
    def joined(cls, parts: list[SpreadCases]) -> SpreadCases:
        return cls(
            **{
                one.name: np.concatenate([getattr(part, one.name) for part in parts])
                for one in fields(cls)
            }
        )

    @classmethod
    def of(
        cls, scenario: Scenario, table: CostTable, batch: Batch, indices: Ints, below_s: float
    ) -> SpreadCases:
        """The cases of the combinations `indices` of a batch that may take less than `below_s`.
        `scenario` has one device type, or is the ideal one of such a cluster; all layers are
        alike."""
        stages = LayoutStages.of(scenario, table, batch)
        forward = table.forward_s.sum(axis=0).min(axis=0)[batch.row]
        backward = table.backward_s.sum(axis=0).min(axis=0)[batch.row]
        selective = batch.granularity == SELECTIVE
        backward = backward + selective[:, None] * table.selective_s.min(axis=0)[batch.row]
        counts = batch.load.counts.sum(axis=(0, 1))
        column = int(next(c for c in layer_columns(scenario).tolist() if counts[c]))
        outside = batch.load.counts.copy()
        outside[..., layer_columns(scenario)] = 0
        ends = outside[0, 0].astype(np.float64), outside[-1, -1].astype(np.float64)
        sends = boundary_sends(scenario, table, batch)
        links_s = np.stack((sends.forward_s, sends.backward_s), axis=1)
        if not scenario.topology.symmetric:
            links_s = np.zeros_like(links_s)
        work_s = batch.num_microbatches * stages.work_s / batch.pipeline
        after_s = jitter_share(scenario, batch.pipeline) * work_s
        after_s = after_s + beside_pipeline_s(scenario, table, batch)
        reduced_s = _reduction_s(scenario, table, batch, column)
        least_s = batch.num_microbatches * (forward + backward)[:, column]
        longest = np.floor(below_s / least_s) - (batch.virtual_stages - 1) + ENDS
        parts = []
        numbers = recomputed_numbers(stages, batch)
        for recomputed in numbers:
            most = stages.most(recomputed, last=recomputed == numbers[-1])
            held = np.maximum(np.minimum(longest, most.max(axis=1)), 2.0)
            replayed = np.minimum(recomputed, held) - min(recomputed, 1)
            kept = (most >= 0).all(axis=1) & (most.sum(axis=1) >= stages.layers)
            kept &= stages.full | (recomputed == numbers[0])
            parts.append(
                cls(
                    combination=indices,
                    microbatches=batch.num_microbatches,
                    forward_s=forward[:, column],
                    backward_s=backward[:, column],
                    first_s=stages.replay_s,
                    more_s=stages.replay_s * replayed / (held - 1),
                    ends_s=np.stack(
                        [np.stack((forward @ one, backward @ one), axis=-1) for one in ends], axis=1
                    ),
                    sends_s=links_s,
                    after_s=after_s,
                    reduced_s=reduced_s,
                    most=most,
                ).some(np.flatnonzero(kept))
            )
        return cls.joined(parts)


def _reduction_s(scenario: Scenario, table: CostTable, batch: Batch, column: int) -> Floats:
    """[N, 2]: lower bound on the reduction of a stage, as what one takes in any case and what every
    layer adds. It takes longer with more layers, ever less so: it is above the line through what
    one layer and all of them take."""
    layers = int(batch.load.counts[..., column].sum())
    seconds = []
    for held in (1, layers):
        counts = np.zeros_like(batch.load.counts)
        counts[:, 0, column] = held
        alone = replace(batch, load=replace(batch.load, counts=counts))
        hiding = np.full((len(batch), batch.pipeline), ENDLESS_S)
        seconds.append(gradient_reduction_s(scenario, table, alone, hiding).min(axis=1))
    each = np.maximum(seconds[1] - seconds[0], 0.0) / max(layers - 1, 1)
    return np.stack((np.maximum(seconds[0] - each, 0.0), each), axis=1)


ENDS = 2
"""Chunks that may hold no layer: those with the embedding and with the head."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Paths of one case: what they take with the fewest layers, [J], and for every layer more in a
    chunk, [J, V]."""

    fixed_s: Floats
    layer_s: Floats


class SpreadBounds:
    """The cases of one schedule. `bound_s` [N] rises with every average of paths that is found."""

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
        self.bound_s = np.zeros(len(cases))
        self._name, self._stages, self._solver = schedule, stages, solver
        self._chunks = cases.sends_s.shape[-1] + 1
        self._least = np.ones(self._chunks)
        self._least[[0, -1]] = 0.0
        self._rest = max(layers - int(self._least.sum()), 0)
        self._few = self._ordered(cases.microbatches)
        self._paths: dict[int, LoopPaths] = {}

    def raise_bound(self, case: int, budget: Budget) -> None:
        """Raise the bound of a case as far as an average of paths can, and those of the others with
        it. Raises: OutOfTime."""
        budget.check()
        few = int(self._few[case])
        paths = self._paths.get(few) or self._found(few)
        rows = self._rows(paths, few, self.cases.some(np.array([case])))
        unit_s = float(rows.fixed_s.max() + self._rest * rows.layer_s.max())
        shares = best_average([self._rest * rows.layer_s], rows.fixed_s, unit_s, self._solver)
        if shares is not None:
            self._apply(few, paths, shares)

    def _apply(self, few: int, paths: LoopPaths, shares: Floats) -> None:
        """Raise the bounds of all cases to which the paths belong by an average of them."""
        at = np.flatnonzero(self._few == few)
        used = np.flatnonzero(shares > 0)
        cases, paths = self.cases.some(at), paths.some(used)
        fixed, layer = np.zeros(len(at)), np.zeros((len(at), self._chunks))
        for j, share in enumerate((shares[used] / shares[used].sum()).tolist()):
            one = self._rows(paths.some(np.array([j])), few, cases)
            fixed += share * one.fixed_s
            layer += share * one.layer_s
        spent, left = np.zeros(len(at)), np.full(len(at), float(self._rest))
        cheapest = layer.reshape(len(at), -1, self._stages).min(axis=1)
        room = cases.most - self._least.reshape(-1, self._stages).sum(axis=0)
        order = np.argsort(cheapest, axis=1, kind="stable")
        for place in range(self._stages):
            stage = order[:, place, None]
            held = np.clip(np.take_along_axis(room, stage, axis=1)[:, 0], 0.0, left)
            spent += held * np.take_along_axis(cheapest, stage, axis=1)[:, 0]
            left -= held
        spent = np.where(left > 0, np.inf, spent)
        self.bound_s[at] = np.maximum(self.bound_s[at], fixed + spent + cases.after_s)

    def _ordered(self, microbatches: Ints) -> Ints:
        """Of how many microbatches the order is looked at; all others are whole groups in the
        steady phase."""
        least = GROUPS * self._stages + microbatches % self._stages
        return np.where(microbatches > least, least, microbatches)

    def _found(self, microbatches: int) -> LoopPaths:
        chunks = self._chunks // self._stages
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
        at_end = paths.end[:, None] == np.arange(self._chunks) % self._stages
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
