"""The program of one combination: what a stage of every class takes and holds, layer by layer.

Sends, reductions, gathers and the optimizer are those of stages of one device type with the best
links that the type has, so that no row exceeds the step of any plan. Memory is what
`planner.training.memory.stage` says of every number of layers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.stage_layout.stage_bounds import Rows
from planner.training.batch import FULL, OUTER_KINDS
from planner.training.memory.stage import stage_peaks
from planner.training.search.layouts.bound import ENDLESS_S, jitter_share
from planner.training.search.layouts.problem import problem_of
from planner.training.search.mixed.orders import OrderProblem, has_order
from planner.training.search.mixed.rooms import allocated_bytes, room_bytes
from planner.training.search.mixed.speeds import layer_columns
from planner.training.step.reduction import (
    gradient_reduction_s,
    stage_gathers_s,
    stage_optimizer_s,
)
from planner.workload.layers import layer_kinds
from planner.workload.stages import StageLoad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Bools, Floats, Ints
    from planner.plan import Plan
    from planner.stage_layout.problem import LayoutProblem
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.mixed.classes import RowClasses


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderTables:
    """A combination's program for one number of recomputed layers per chunk. The tables [C, p,
    K + 1, L + 1] are those of `orders` by the layers of a stage and where they end."""

    problem: OrderProblem
    forward_s: Floats
    backward_s: Floats
    weight_s: Floats
    after_s: Floats
    reduction_s: Floats
    forward_send_s: Floats
    backward_send_s: Floats
    """[C, p] each: of the send after a stage, and of that back to it."""
    recomputed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TypedCombination:
    """A combination as its plan with the default layout; `batches`, `tables` and `problems` by
    device type, of the job on that type alone."""

    ideal: Scenario
    plan: Plan
    batch: Batch
    table: CostTable
    scenarios: tuple[Scenario, ...]
    tables: tuple[CostTable, ...]
    problems: tuple[LayoutProblem, ...]
    slowest_first: tuple[int, ...]
    """The device types, slowest first."""
    free: bool
    """Whether another layout may be chosen."""

    @classmethod
    def of(
        cls,
        ideal: Scenario,
        plan: Plan,
        table: CostTable,
        batch: Batch,
        tables: Sequence[CostTable],
        *,
        free: bool,
    ) -> TypedCombination:
        """`table` and `batch` are of the ideal scenario; `tables` have one row, the plan's."""
        alone = replace(batch, row=np.zeros(1, dtype=np.int64))
        seconds = [float((one.forward_s + one.backward_s).sum()) for one in tables]
        order = sorted(range(len(tables)), key=lambda t: (-seconds[t], t))
        return cls(
            ideal=ideal,
            plan=plan,
            batch=batch,
            table=table,
            scenarios=ideal.by_type,
            tables=tuple(tables),
            problems=tuple(
                problem_of(one, of_type, alone, plan)
                for one, of_type in zip(ideal.by_type, tables, strict=True)
            ),
            slowest_first=tuple(order),
            free=free,
        )

    @property
    def layer_columns(self) -> list[int]:
        """The kind of every layer. Those of a layout that is kept are not told apart, and those
        that the pipeline holds twice count twice."""
        if not self.free:
            return [0] * int(self.kept_layers.sum())
        column = {kind: index for index, kind in enumerate(self.ideal.kinds)}
        return [column[kind] for kind in layer_kinds(self.ideal.model)]

    @property
    def kept_layers(self) -> Ints:
        """[p]: layers of every stage in the layout of the plan."""
        held = self.batch.load.counts[..., layer_columns(self.ideal)]
        return np.asarray(held.sum(axis=(1, 2)))

    def fewest(self) -> Ints:
        """[p]: layers that every stage has at least: one in every chunk, but for the ends of the
        model, of which only the first may be empty where stages have several chunks."""
        batch = self.batch
        outer = batch.load.counts[..., -OUTER_KINDS:]
        if batch.virtual_stages > 1:
            outer = outer[:, :1, :1]
        ends = np.minimum(outer.sum(axis=-1), 1).sum(axis=1)
        return np.asarray(np.maximum(batch.virtual_stages - ends, 0))

    def most(self, below_s: float) -> int:
        """Layers that no stage can have more of when the step is shorter than that."""
        if not self.free:
            return int(self.kept_layers.max())
        layer_s = min(
            float((one.forward_s + one.backward_s)[:, self.layer_columns].min())
            for one in self.problems
        )
        fewest = self.fewest()
        most = len(self.layer_columns) - int(fewest.sum() - fewest.max(initial=0))
        if np.isfinite(below_s):
            m = int(self.batch.chunk_microbatches[0])
            most = min(most, int(below_s / max(m * layer_s, 1e-30)) + 1)
        return max(most, 1)

    def tables_below(self, classes: RowClasses, below_s: float) -> CombinationTables:
        """For the programs of plans whose step is shorter than `below_s`."""
        most = self.most(below_s)
        recomputed = np.zeros(1, dtype=np.int64)
        if self.batch.granularity[0] == FULL:
            held = -(-most // self.batch.virtual_stages)
            recomputed = np.arange(1, (held if self.free else self.batch.load.most_layers) + 1)
        return CombinationTables(self, classes, np.arange(most + 1), recomputed)

    def tables_of_most(self, classes: RowClasses) -> CombinationTables:
        """For the program of all plans that recompute as much as they can."""
        most = self.most(np.inf)
        full = self.batch.granularity[0] == FULL
        count = most if self.free else self.batch.load.most_layers
        recomputed = np.array([count if full else 0], dtype=np.int64)
        return CombinationTables(self, classes, np.arange(most + 1), recomputed)


class CombinationTables:
    """Tables [p, K + 1, L + 1] of one combination, and its programs."""

    def __init__(
        self, of: TypedCombination, classes: RowClasses, lengths: Ints, recomputed: Ints
    ) -> None:
        """`recomputed`: numbers of recomputed layers per chunk, of which each has a program."""
        self._of, self._classes, self._lengths = of, classes, lengths
        self.recomputed = recomputed
        self._layers = of.layer_columns
        ends = np.arange(len(self._layers) + 1)
        self._begins = np.maximum(ends - lengths[:, None], 0)
        self._inside = ends >= lengths[:, None]
        counts = np.zeros((len(ends), len(of.ideal.kinds)), dtype=np.int64)
        for position, column in enumerate(self._layers):
            counts[position + 1 :, column] += 1
        self._counts = counts
        outside = of.batch.load.counts.sum(axis=1)
        outside[:, layer_columns(of.ideal)] = 0
        self._outside = outside.astype(np.float64)
        most = of.batch.load.most_layers
        self._every = _repeated(of.batch, recomputed if of.free else np.minimum(recomputed, most))

        self._held_bytes = self._bytes()
        self._pace = [next(t for t in of.slowest_first if t in types) for types in classes.types]
        self._after_s = {t: self._after(t) for t in dict.fromkeys(self._pace)}

    @property
    def may_fit(self) -> bool:
        """Whether some answer fits."""
        return any(
            self.may_hold(recomputed) and has_order(self.program(recomputed).problem)
            for recomputed in self.recomputed.tolist()
        )

    def may_hold(self, recomputed: int) -> bool:
        """Whether the stages together may hold all layers."""
        fits = self._fits(recomputed).any(axis=(0, 3))
        most = np.where(fits, self._lengths, -1).max(axis=-1)
        return bool((most >= 0).all() and most.sum() >= len(self._layers))

    def program(self, recomputed: int) -> OrderTables:
        """The program for one of the numbers of recomputed layers."""
        classes, pace = self._classes, self._pace
        fits = self._fits(recomputed)
        of_type = {t: self._of_type(t, recomputed) for t in dict.fromkeys(pace)}
        parts = [np.stack([of_type[t][name] for t in pace]) for name in range(_NUMBER)]
        own, late, way, forward, backward, weight, after, reduction = parts
        links = [Rows.of(self._problem(t)) for t in pace]
        return OrderTables(
            problem=OrderProblem(
                rows=classes.rows,
                layers=len(self._layers),
                most=classes.most,
                may=classes.may,
                together=classes.together,
                own_s=np.where(fits, own, np.inf),
                late_s=late,
                way_s=way,
            ),
            forward_s=forward,
            backward_s=backward,
            weight_s=weight,
            after_s=after,
            reduction_s=reduction,
            forward_send_s=np.stack([rows.forward_link_s for rows in links]),
            backward_send_s=np.stack([rows.backward_link_s for rows in links]),
            recomputed=recomputed,
        )

    def _problem(self, index: int) -> LayoutProblem:
        """Of a device type; sends take no time where it is unknown which stages share a node."""
        problem = self._of.problems[index]
        if self._classes.sends_known:
            return problem
        none = np.zeros_like(problem.forward_send_s)
        return replace(problem, forward_send_s=none, backward_send_s=none)

    def _of_type(self, index: int, recomputed: int) -> tuple[Floats, ...]:
        """Own, late and way; forward, backward and its weight gradients of a microbatch; what
        follows the pipeline; the gradient reduction."""
        of, problem = self._of, self._problem(index)
        p, m = problem.stages, int(of.batch.chunk_microbatches[0])
        rows = Rows.of(problem)
        forward = self._seconds(problem.forward_s)
        backward = self._seconds(problem.backward_s) + self._replay(problem, recomputed)
        after, reduction = self._after_s[index]
        busy = m * (forward + backward)
        beside = after + jitter_share(of.ideal, p) * busy
        own = busy + rows.own_held_s[:, None, None] + beside
        first_forward, first_backward = self._first_chunk(problem, forward, backward)
        way = first_forward + rows.forward_link_s[:, None, None]
        if rows.returns:
            way = way + first_backward + rows.backward_link_s[:, None, None]
            way[0] += reduction[0]
            own[0] += reduction[0]
        else:
            own += reduction
        late = np.full((p, 1, 1), -np.inf)
        if rows.late:
            late = rows.late_forwards[:, None, None] * forward + (m - 1) * backward
            late = late + rows.late_held_s[:, None, None] + beside
        weight = self._seconds(problem.weight_gradient_s)
        late = np.broadcast_to(late, own.shape)
        return own, late, way, forward, backward, weight, after, reduction

    def _fits(self, recomputed: int) -> Bools:
        """[C, p, K + 1, L + 1]: what a stage of every class may hold."""
        of = self._of
        possible = np.broadcast_to(self._inside, (of.batch.pipeline, *self._inside.shape)).copy()
        if not of.free:
            held, ends = of.kept_layers, np.cumsum(of.kept_layers)
            possible &= self._lengths[:, None] == held[:, None, None]
            possible &= np.arange(possible.shape[-1]) == ends[:, None, None]
        else:
            possible &= self._lengths[:, None] >= of.fewest()[:, None, None]
        held_bytes = self._held_bytes[int(np.flatnonzero(self.recomputed == recomputed)[0])]
        return np.stack(
            [
                possible & (held_bytes <= room_bytes(of.ideal, types))
                for types in self._classes.types
            ]
        )

    def _bytes(self) -> Floats:
        """[recomputed, p, K + 1, L + 1]: what the allocator holds of a stage with so many layers,
        by where they end. Priced once for all beginnings from which the same kinds of layers
        follow."""
        of, most, total = self._of, len(self._lengths) - 1, len(self._layers)
        shape = (len(self.recomputed), of.batch.pipeline, *self._begins.shape)
        if not of.free:
            return np.broadcast_to(self._held(0, 0)[..., None, None], shape)
        found = np.zeros(shape)
        known: dict[tuple[int, ...], list[Floats]] = {}
        for first in range(total + 1):
            follow = tuple(self._layers[first : first + most])
            longer = next((key for key in known if key[: len(follow)] == follow), None)
            if longer is None:
                longer = follow
                known[follow] = [self._held(first, k) for k in range(len(follow) + 1)]
            for k in range(len(follow) + 1):
                found[..., k, first + k] = known[longer][k]
        return found

    def _held(self, first: int, layers: int) -> Floats:
        """[recomputed, p]: what the allocator holds of every stage with these layers."""
        of = self._of
        peaks = stage_peaks(of.ideal, of.table, self._loaded(first, layers))
        return np.asarray(allocated_bytes(peaks), dtype=np.float64)

    def _loaded(self, first: int, layers: int) -> Batch:
        """The combination with these layers on every stage, spread over its chunks with the larger
        ones late, for every number of recomputed layers."""
        batch, counts = self._every, self._every.load.counts.copy()
        if not self._of.free:
            return batch
        counts[..., layer_columns(self._of.ideal)] = 0
        each = spread(layers, batch.virtual_stages)
        leading = np.zeros((int(self.recomputed.max()) + 1, *counts.shape), dtype=np.int64)
        at = first
        for chunk, held in enumerate(each):
            counts[:, chunk] += self._counts[at + held] - self._counts[at]
            for led in range(len(leading)):
                until = at + min(held, led)
                leading[led, :, chunk] = self._counts[until] - self._counts[at]
            at += held
        return replace(batch, load=StageLoad(counts=counts, leading=leading))

    def _seconds(self, layer_s: Floats) -> Floats:
        """[p, K + 1, L + 1], of layers [p, K] that take so long, the ends of the model among
        them."""
        if not self._of.free:
            passes = self._of.batch.pass_counts.sum(axis=1)
            seconds = (layer_s * passes).sum(axis=-1)
            return np.broadcast_to(seconds[:, None, None], (len(seconds), *self._begins.shape))
        before = layer_s @ self._counts.T.astype(np.float64)
        ends = np.arange(before.shape[-1])
        outside = (layer_s * self._outside).sum(axis=-1)
        held: Floats = before[:, None, ends] - before[:, self._begins]
        return np.asarray(held + outside[:, None, None])

    def _replay(self, problem: LayoutProblem, recomputed: int) -> Floats:
        """[p, K + 1, L + 1]: the forwards of the layers that full recomputation repeats; with
        several chunks on a stage, of those that every layout repeats."""
        shape, batch = (problem.stages, *self._begins.shape), self._of.batch
        if batch.granularity[0] != FULL:
            return np.zeros(shape)
        if not self._of.free:
            led = min(recomputed, batch.load.most_layers)
            repeated = (problem.forward_s * batch.load.leading[led].sum(axis=1)).sum(axis=-1)
            return np.broadcast_to(repeated[:, None, None], shape)
        before = problem.forward_s @ self._counts.T.astype(np.float64)
        chunks = [spread(int(layers), batch.virtual_stages) for layers in self._lengths]
        lead = np.array([sum(min(held, recomputed) for held in each) for each in chunks])
        end = np.minimum(self._begins + lead[:, None], before.shape[-1] - 1)
        return np.asarray(before[:, end] - before[:, self._begins])

    def _first_chunk(
        self, problem: LayoutProblem, forward: Floats, backward: Floats
    ) -> tuple[Floats, Floats]:
        """Forward and backward through the first chunk of a stage, all there is or the least."""
        if problem.virtual_stages == 1:
            return forward, backward
        least = np.zeros((2, problem.stages, 1, 1))
        columns = sorted(set(self._layers))
        for way, seconds in enumerate((problem.forward_s, problem.backward_s)):
            least[way, 1:, 0, 0] = seconds[1:, columns].min(axis=-1)
            least[way, 0, 0, 0] = seconds[0, -OUTER_KINDS]
        shape = forward.shape
        return np.broadcast_to(least[0], shape).copy(), np.broadcast_to(least[1], shape).copy()

    def _after(self, index: int) -> tuple[Floats, Floats]:
        """[p, K + 1, L + 1] each: gather and optimizer of the stages of a type; their gradient
        reduction. Both grow ever more slowly with the parameters, so they lie above the line
        between few and many layers."""
        of, fewest = self._of, self._of.fewest()
        scenario, table = of.scenarios[index], of.tables[index]
        most = max(len(self._lengths) - 1, 1)
        hiding = np.full((1, of.batch.pipeline), ENDLESS_S)
        few: list[Floats] = []
        many: list[Floats] = []
        for column in sorted(set(self._layers)):
            for found, layers in ((few, fewest), (many, np.full_like(fewest, most))):
                counts = of.batch.load.counts.copy()
                if of.free:
                    counts[..., layer_columns(of.ideal)] = 0
                    counts[:, -1, column] = layers
                batch = replace(
                    of.batch,
                    row=np.zeros(1, dtype=np.int64),
                    load=replace(of.batch.load, counts=counts),
                )
                found.append(
                    np.stack(
                        [
                            stage_gathers_s(scenario, table, batch, hiding)[0]
                            + stage_optimizer_s(scenario, table, batch)[0],
                            gradient_reduction_s(scenario, table, batch, hiding)[0],
                        ]
                    )
                )
        low, high = np.min(few, axis=0), np.min(many, axis=0)
        more = np.maximum(most - fewest, 1)
        slope = np.maximum(high - low, 0.0) / more
        lengths = np.maximum(self._lengths - fewest[:, None], 0)
        seconds = low[..., None] + slope[..., None] * lengths
        overhead_s = of.ideal.job.software.step_overhead.value
        shape = (of.batch.pipeline, *self._begins.shape)
        after, reduction = (np.broadcast_to(one[..., None], shape).copy() for one in seconds)
        return after + overhead_s, reduction


def _repeated(batch: Batch, recomputed: Ints) -> Batch:
    """The batch's only plan with each of these numbers of recomputed layers."""
    columns: dict[str, Any] = {
        field.name: np.repeat(getattr(batch, field.name), len(recomputed))
        for field in fields(batch)
        if isinstance(getattr(batch, field.name), np.ndarray)
    }
    return replace(batch, **(columns | {"recomputed_layers": recomputed}))


_NUMBER = 8
"""Tables of a device type."""


def spread(layers: int, chunks: int) -> list[int]:
    """Layers of every chunk of a stage: equal, with the larger ones late."""
    each, rest = divmod(layers, chunks)
    return [each + (chunk >= chunks - rest) for chunk in range(chunks)]
