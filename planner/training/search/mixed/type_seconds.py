"""What stages of one device type take, by the layers they hold.

Gathers, reductions and the optimizer are those of stages of that type alone, so that no row exceeds
the step of any plan. Letters as in `planner.training.search.mixed.order_problem`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.stage_layout.stage_bounds import Rows
from planner.training.batch import FULL, OUTER_KINDS
from planner.training.memory.activations import movable_of_layers
from planner.training.search.layouts.bound import jitter_share
from planner.training.search.mixed.once import OnceTables, passes_known
from planner.training.search.mixed.speeds import layer_columns
from planner.training.search.mixed.splits import least_chunks
from planner.training.step.reduction import tied_reduction_s

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.stage_layout.problem import LayoutProblem
    from planner.training.search.mixed.typed import TypedCombination


class TypeSeconds(NamedTuple):
    """Tables [p, K + 1, L + 1] by the layers of a stage and where they end: its row and its way
    without messages (`stage_layout.stage_bounds`); forward, backward and its weight gradients of a
    microbatch; what follows the pipeline and the gradient reduction, as long as a simulated step
    may count them (`planner.training.search.mixed.once`)."""

    own_s: Floats
    late_s: Floats
    way_s: Floats
    forward_s: Floats
    backward_s: Floats
    weight_s: Floats
    after_s: Floats
    reduction_s: Floats


class TypeTables:
    """Of a combination whose stages hold up to `lengths[-1]` layers. `begins` and `inside` [K + 1,
    L + 1]: where layers begin that end at a layer, and whether that is a layer."""

    def __init__(self, of: TypedCombination, lengths: Ints, *, pure: bool) -> None:
        """`pure`: whether every stage has devices of one type."""
        self._of, self._lengths = of, lengths
        ends = np.arange(len(of.layer_columns) + 1)
        self._begins = np.maximum(ends - lengths[:, None], 0)
        self.inside = ends >= lengths[:, None]
        outside = of.batch.load.counts.sum(axis=1)
        outside[:, layer_columns(of.ideal)] = 0
        self._outside = outside.astype(np.float64)
        self._by_rooms = of.free and of.batch.virtual_stages > 1
        self._covers_known = pure and passes_known(of)
        self._once: dict[int, OnceTables] = {}

    def of_type(self, index: int, recomputed: int) -> TypeSeconds:
        """For a number of recomputed layers per chunk."""
        of, problem = self._of, self._of.problems[index]
        p, m = problem.stages, int(of.batch.chunk_microbatches[0])
        rows = Rows.of(problem)
        forward = self._seconds(problem.forward_s)
        backward = self._seconds(problem.backward_s) + self._replay(problem, recomputed)
        moved = self._seconds(self._moved_s(index))
        forward, backward = np.maximum(forward, moved), np.maximum(backward, moved)
        if index not in self._once:
            self._once[index] = OnceTables(of, index, self._lengths)
        once = self._once[index]
        after, reduction = once.exposed_s(forward, backward)
        busy = m * (forward + backward)
        beside = after + jitter_share(of.ideal, p) * busy
        own = busy + beside
        first_forward, first_backward = self._first_chunk(problem, forward, backward)
        way = first_forward
        if rows.returns:
            way = way + first_backward
            tied_s = tied_reduction_s(of.scenarios[index], of.batch)[0]
            way[0] += reduction[0] + tied_s
            own[0] += reduction[0] + tied_s
        else:
            own += reduction
        late = np.full((p, 1, 1), -np.inf)
        if rows.late:
            late = rows.late_forwards[:, None, None] * forward + (m - 1) * backward
            late = late + beside
        weight = self._seconds(problem.weight_gradient_s)
        late = np.broadcast_to(late, own.shape)
        covers = backward
        if self._by_rooms and of.batch.granularity[0] == FULL:
            covers = backward + forward  # No split repeats more than all forwards.
        after, reduction = once.exposed_s(forward, covers, known=self._covers_known)
        return TypeSeconds(own, late, way, forward, backward, weight, after, reduction)

    def _seconds(self, layer_s: Floats) -> Floats:
        """[p, K + 1, L + 1], of layers [p, K] that take so long, the ends of the model among
        them."""
        if not self._of.free:
            passes = self._of.batch.pass_counts.sum(axis=1)
            seconds = (layer_s * passes).sum(axis=-1)
            return np.broadcast_to(seconds[:, None, None], (len(seconds), *self._begins.shape))
        before = layer_s @ self._of.counts_before.T.astype(np.float64)
        ends = np.arange(before.shape[-1])
        outside = (layer_s * self._outside).sum(axis=-1)
        held: Floats = before[:, None, ends] - before[:, self._begins]
        return np.asarray(held + outside[:, None, None])

    def _moved_s(self, index: int) -> Floats:
        """[p, K]: what the activations of one microbatch take to the host or back, of a layer; no
        pass through a stage takes less."""
        of, scenario = self._of, self._of.scenarios[index]
        alone = replace(of.batch, row=np.zeros(1, dtype=np.int64))
        moved = movable_of_layers(of.tables[index], alone)[0] / scenario.host.link_bytes_per_s
        kept = of.batch.granularity[0] != FULL
        share = float(of.batch.host_activations[0]) * kept
        return np.tile(share * moved, (of.batch.pipeline, 1))

    def _replay(self, problem: LayoutProblem, recomputed: int) -> Floats:
        """[p, K + 1, L + 1]: the forwards of the layers that full recomputation repeats; with
        several chunks on a stage, of those that every split repeats."""
        shape, batch = (problem.stages, *self._begins.shape), self._of.batch
        if batch.granularity[0] != FULL:
            return np.zeros(shape)
        if not self._of.free:
            led = min(recomputed, batch.load.most_layers)
            repeated = (problem.forward_s * batch.load.leading[led].sum(axis=1)).sum(axis=-1)
            return np.broadcast_to(repeated[:, None, None], shape)
        if self._by_rooms:
            # All but one chunk have the fewest layers: then the fewest are repeated.
            least = least_chunks(self._of).sum(axis=1)[:, None]
            rest = np.maximum(self._lengths - least, 0)
            lead = least - 1 + np.minimum(rest + 1, recomputed)
            seconds = problem.forward_s[:, layer_columns(self._of.ideal)].min(axis=-1)
            return np.broadcast_to((lead * seconds[:, None])[..., None], shape)
        before = problem.forward_s @ self._of.counts_before.T.astype(np.float64)
        lead = np.minimum(self._lengths, recomputed)
        end = np.minimum(self._begins + lead[:, None], before.shape[-1] - 1)
        return np.asarray(before[:, end] - before[:, self._begins])

    def _first_chunk(
        self, problem: LayoutProblem, forward: Floats, backward: Floats
    ) -> tuple[Floats, Floats]:
        """Forward and backward through the first chunk of a stage, all there is or the least."""
        if problem.virtual_stages == 1:
            return forward, backward
        least = np.zeros((2, problem.stages, 1, 1))
        columns = sorted(set(self._of.layer_columns))
        for way, seconds in enumerate((problem.forward_s, problem.backward_s)):
            least[way, 1:, 0, 0] = seconds[1:, columns].min(axis=-1)
            least[way, 0, 0, 0] = seconds[0, -OUTER_KINDS]
        shape = forward.shape
        return np.broadcast_to(least[0], shape).copy(), np.broadcast_to(least[1], shape).copy()
