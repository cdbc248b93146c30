"""The stage layout problem as a value, and the cost of a layout.

Letters: n items of the chain, K kinds, p stages, v chunks of a stage, V chunks in the order in
which a microbatch visits them, G recompute levels, B layouts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.build import build
from planner.schedule.registry import kind_of
from planner.schedule.simulation.simulate import Durations, simulate_each, step_spans

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import ChunkMap, Schedule
    from planner.schedule.simulation.simulate import Simulations


class Pattern(NamedTuple):
    """What a stage recomputes: the first `layers` layers of each of its chunks at `level`, the
    others at level 0."""

    level: int
    layers: int


@dataclass(frozen=True, kw_only=True, eq=False)
class LayoutProblem:
    """A chain of items in order (embedding, layers, head ...) to be cut into V chunks, none of them
    empty.

    Every stage takes one of `patterns`. Where the framework has one setting for the whole plan
    (`one_pattern`), all stages take the same one.
    """

    schedule: str
    stages: int
    virtual_stages: int
    num_microbatches: int
    chain: tuple[int, ...]
    """Kind of every item."""
    may_cut: tuple[bool, ...]
    """[n − 1]: whether a chunk may end between an item and the next one."""
    replayable: tuple[bool, ...]
    """[K]: whether a kind counts among the layers that a pattern recomputes."""
    forward_s: Floats
    """[p, K]: a forward of one item, at the speed of the devices of each stage."""
    backward_s: Floats
    """[p, K]: the backward of one item at level 0."""
    weight_gradient_s: Floats
    """[p, K]: the part of the backward that schedules which split backwards can move."""
    replay_s: Floats
    """[G, p, K]: what a recompute level adds to the backward; 0 at level 0."""
    static_bytes: Floats
    """[K]: weights, gradients, optimizer states."""
    kept_bytes: Floats
    """[G, K]: bytes kept for one microbatch in flight."""
    in_flight: Ints
    """[p, v]: microbatches of every chunk whose activations a stage keeps at once."""
    fixed_bytes: Floats
    """[p]: bytes that a stage holds under every layout."""
    capacity_bytes: Floats
    """[p]: bytes available on a stage."""
    patterns: tuple[Pattern, ...] = (Pattern(0, 0),)
    one_pattern: bool = True
    forward_send_s: Floats
    backward_send_s: Floats
    """[V − 1] each."""
    sends: Sends = "blocking"
    reduction_s: Floats
    """[K]: seconds to reduce the gradients of an item, once a step."""

    @property
    def placement(self) -> ChunkMap:
        return kind_of(self.schedule).placement(self.stages, self.virtual_stages)

    @property
    def chunks(self) -> int:
        return self.stages * self.virtual_stages

    @cached_property
    def ends(self) -> Ints:
        """Positions in the chain where a chunk may begin or end, 0 and n included."""
        inner = np.flatnonzero(np.array(self.may_cut, dtype=np.bool_)) + 1
        return np.concatenate(([0], inner, [len(self.chain)])).astype(np.int64)

    def before(self, by_kind: Floats) -> Floats:
        """[..., K] to [..., n + 1]: sums over the items before every position."""
        items = np.asarray(by_kind, dtype=np.float64)[..., list(self.chain)]
        total = np.zeros((*items.shape[:-1], len(self.chain) + 1))
        np.cumsum(items, axis=-1, out=total[..., 1:])
        return total

    def lead(self, layers: int) -> Ints:
        """[n + 1]: where the first `layers` recomputable layers that follow each position end."""
        replayable = np.array([self.replayable[kind] for kind in self.chain], dtype=np.bool_)
        seen = np.concatenate(([0], np.cumsum(replayable)))
        after = np.append(np.flatnonzero(replayable) + 1, len(self.chain))
        wanted = seen + layers
        at = np.minimum(wanted - 1, len(after) - 1)
        return np.where(layers > 0, after[at], np.arange(len(seen)))

    @cached_property
    def costs(self) -> Costs:
        return Costs.of(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Costs:
    """Sums over the items before every position; a chunk costs the difference of two of them."""

    forward: Floats
    backward: Floats
    weight_gradient: Floats
    """[p, n + 1]"""
    static: Floats
    reduction: Floats
    """[n + 1]"""
    replay: Floats
    """[G, p, n + 1]"""
    kept: Floats
    """[G, n + 1]"""
    leads: Ints
    """[patterns, n + 1]"""
    levels: Ints
    """[patterns]"""

    @classmethod
    def of(cls, problem: LayoutProblem) -> Costs:
        return cls(
            forward=problem.before(problem.forward_s),
            backward=problem.before(problem.backward_s),
            weight_gradient=problem.before(problem.weight_gradient_s),
            static=problem.before(problem.static_bytes),
            reduction=problem.before(problem.reduction_s),
            replay=problem.before(problem.replay_s),
            kept=problem.before(problem.kept_bytes),
            leads=np.stack([problem.lead(pattern.layers) for pattern in problem.patterns]),
            levels=np.array([pattern.level for pattern in problem.patterns], dtype=np.int64),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Layouts:
    """B layouts: `ends` [B, V + 1], positions in the chain; `patterns` [B, p], indices."""

    ends: Ints
    patterns: Ints

    def __len__(self) -> int:
        return len(self.ends)

    def some(self, which: Ints) -> Layouts:
        return Layouts(ends=self.ends[which], patterns=self.patterns[which])

    def one(self, index: int) -> Layouts:
        return Layouts(ends=self.ends[index : index + 1], patterns=self.patterns[index : index + 1])

    @classmethod
    def joined(cls, *parts: Layouts) -> Layouts:
        return cls(
            ends=np.concatenate([part.ends for part in parts]),
            patterns=np.concatenate([part.patterns for part in parts]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Prices:
    """What layouts take: seconds per microbatch [B, p, v] (backwards include recomputation and
    weight gradients), reductions and peak bytes [B, p]."""

    forward_s: Floats
    backward_s: Floats
    weight_gradient_s: Floats
    reduction_s: Floats
    peak_bytes: Floats


def price(problem: LayoutProblem, layouts: Layouts) -> Prices:
    """The seconds and bytes of the layouts, stage by stage."""
    costs = problem.costs
    position = problem.placement.positions
    first, end = layouts.ends[:, position], layouts.ends[:, position + 1]
    stage = np.arange(problem.stages)[:, None]
    pattern = layouts.patterns[:, :, None]
    level = costs.levels[pattern]
    lead = np.minimum(costs.leads[pattern, first], end)
    kept = (
        costs.kept[level, lead]
        - costs.kept[level, first]
        + costs.kept[0, end]
        - costs.kept[0, lead]
    )
    held = (costs.static[end] - costs.static[first] + problem.in_flight * kept).sum(axis=-1)
    return Prices(
        forward_s=costs.forward[stage, end] - costs.forward[stage, first],
        backward_s=costs.backward[stage, end]
        - costs.backward[stage, first]
        + costs.replay[level, stage, lead]
        - costs.replay[level, stage, first],
        weight_gradient_s=costs.weight_gradient[stage, end] - costs.weight_gradient[stage, first],
        reduction_s=(costs.reduction[end] - costs.reduction[first]).sum(axis=-1),
        peak_bytes=problem.fixed_bytes + held,
    )


def fits(problem: LayoutProblem, prices: Prices) -> Bools:
    """[B]: whether every stage fits in its memory."""
    return np.asarray((prices.peak_bytes <= problem.capacity_bytes * (1 + 1e-12)).all(axis=-1))


def spans_s(problem: LayoutProblem, prices: Prices) -> Floats:
    """[B]: the simulated step, with all passes, sends and reductions."""
    return step_spans(layout_schedule(problem), layout_durations(problem, prices))


def simulations(problem: LayoutProblem, prices: Prices) -> Simulations:
    """The simulated steps of all layouts, pass by pass."""
    return simulate_each(layout_schedule(problem), layout_durations(problem, prices))


def layout_schedule(problem: LayoutProblem) -> Schedule:
    return build(
        problem.schedule,
        stages=problem.stages,
        virtual_stages=problem.virtual_stages,
        num_microbatches=problem.num_microbatches,
    )


def layout_durations(problem: LayoutProblem, prices: Prices) -> Durations:
    """The durations that the simulator takes."""
    return Durations(
        forward_s=prices.forward_s,
        backward_s=prices.backward_s,
        backward_weight_s=prices.weight_gradient_s,
        forward_send_s=problem.forward_send_s,
        backward_send_s=problem.backward_send_s,
        sends=problem.sends,
        reduction_s=prices.reduction_s,
    )
