"""Lower bounds on time and the exact fit in memory, for whole groups of combinations at once.

There are two bounds on the time, both below the simulated step. The quick one looks at every stage
by itself: its work for all microbatches, and what must be computed elsewhere before its first pass
and after its last. The tight one (`planner.training.step.parts.StepParts.lower_bound_s`) adds
sends, reductions and the optimizer. Memory is computed, not bounded, for full recomputation of the
most layers, which takes the least memory. The fewest layers that suffice are found only for
combinations that are refined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct
from planner.budget import UNLIMITED
from planner.training.batch import FULL, SELECTIVE, Batch
from planner.training.memory.sharding import reduced_every_microbatch
from planner.training.memory.stage import stage_peaks
from planner.training.search.bounding.batches import ELEMENTS, make_batch
from planner.training.search.bounding.elsewhere import may_fit_elsewhere
from planner.training.search.bounding.twins import Twins
from planner.training.search.hosts.bound import placement_bound_s
from planner.training.search.layouts.bound import (
    beside_pipeline_s,
    jitter_share,
    other_layouts_s,
    waited_s,
)
from planner.training.search.layouts.problem import fewest_under_others, kept_layout
from planner.training.search.mixed.bound import mixed_bound, rows_bound_s
from planner.training.search.mixed.speeds import is_mixed
from planner.training.step.ahead import with_ahead
from planner.training.step.parts import jitter_bound_s, step_parts
from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.screen import Screened
    from planner.training.search.bounding.shared_layouts import SharedLayout
    from planner.training.search.space.enumeration import Block, Columns
    from planner.training.step.parts import StepParts

ALL_AT_ONCE = 16
"""Most numbers of recomputed layers that are all priced at once, instead of one after the other."""

BELOW = 1 - 1e-9
"""Bounds are scaled by this, so that rounding cannot lift a bound above the time it bounds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitting:
    """Combinations of one group that may fit in memory, with quick bounds on their time: `bound_s`
    under the layout they share, infinite where that does not fit."""

    screened: Screened
    virtual_stages: int
    schedule: str
    layout: SharedLayout
    grid_row: NDArray[np.int32]
    variants: Columns
    bound_s: NDArray[np.float64]
    others_s: NDArray[np.float64]
    """Lower bound on the time under every stage layout that may be chosen instead; infinite where
    there is none."""

    def __len__(self) -> int:
        return len(self.grid_row)

    @property
    def chunks(self) -> int:
        """Number of chunks of every combination."""
        return self.screened.pipeline * self.virtual_stages

    @classmethod
    def of(
        cls,
        screened: Screened,
        group: Block,
        layout: SharedLayout,
        rows: NDArray[np.int64],
        bound_s: NDArray[np.float64],
        others_s: NDArray[np.float64],
    ) -> Fitting:
        """The fitting combinations from the given rows of a group."""
        return cls(
            screened=screened,
            virtual_stages=group.virtual_stages,
            schedule=group.schedule,
            layout=layout,
            grid_row=group.grid_row[rows].astype(np.int32),
            variants={
                axis: codes[rows].astype(np.min_scalar_type(-int(np.abs(codes).max(initial=1))))
                for axis, codes in group.variants.items()
            },
            bound_s=bound_s,
            others_s=others_s,
        )


def batch_of(
    scenario: Scenario,
    fitting: Fitting,
    which: NDArray[np.int64],
    recomputed_layers: NDArray[np.int64],
) -> Batch:
    """Some combinations of a group, as a batch."""
    return make_batch(
        scenario,
        fitting.screened.columns,
        {axis: codes[which].astype(np.int64) for axis, codes in fitting.variants.items()},
        pipeline=fitting.screened.pipeline,
        virtual_stages=fitting.virtual_stages,
        schedule=fitting.schedule,
        load=fitting.layout.load,
        grid_row=fitting.grid_row[which].astype(np.int64),
        recomputed_layers=recomputed_layers,
    )


def bound_group(
    scenario: Scenario,
    table: CostTable,
    screened: Screened,
    group: Block,
    layout: SharedLayout,
    alive: NDArray[np.bool_],
    budget: Budget = UNLIMITED,
    *,
    like_plain: bool = False,
    below_s: float = np.inf,
) -> tuple[Fitting, Fitting]:
    """The combinations of a group that fit with the layout that they share, and those that may fit
    with another one only, whose `bound_s` is infinite. `alive` is the screen's verdict on each.
    `like_plain`: where no stage runs ahead, the combination is the same as another of the space,
    and left out. So is one whose bound is `below_s` or more, before its memory is worked out.
    Raises: OutOfTime."""
    load = layout.load
    rows = np.flatnonzero(alive)
    fits, bounds, others = [], [], []
    elsewhere, elsewhere_s = [], []
    mixed = is_mixed(scenario)
    twins = Twins(screened.columns["twin"], group)
    for wave in twins.waves(screened.columns["expert_overlap"], rows):
        for part in pieces(wave, group.pipeline, budget):
            batch = make_batch(
                scenario,
                screened.columns,
                {axis: codes[part] for axis, codes in group.variants.items()},
                pipeline=group.pipeline,
                virtual_stages=group.virtual_stages,
                schedule=group.schedule,
                load=load,
                grid_row=group.grid_row[part],
                recomputed_layers=np.full(len(part), load.most_layers),
            )
            if mixed:
                free = layout.chosen and kept_layout(scenario, *shape_of(batch)) is None
                of_mixed = mixed_bound(scenario, table, batch, free=free)
                overhead_s = scenario.job.software.step_overhead.value
                fits.append(part[of_mixed.fits])
                bounds.append(BELOW * (of_mixed.pipeline_s + overhead_s)[of_mixed.fits])
                others.append(np.full(int(of_mixed.fits.sum()), np.inf))
                continue
            batch = with_ahead(scenario, table, batch)
            work = LeastWork.of(table, batch, np.ones(len(batch), dtype=np.int64))
            bound_s = quick_bound_s(scenario, batch, work)
            others_s = others_bound_s(scenario, batch, work, layout, np.zeros_like(work.stage_s))
            useful = np.flatnonzero(np.minimum(bound_s, others_s) < below_s)
            if not useful.size:
                continue
            if useful.size < len(part):
                part, batch = part[useful], batch.some(useful)
                bound_s, others_s = bound_s[useful], others_s[useful]
            peaks = stage_peaks(scenario, table, batch)
            own = np.ones(len(part), dtype=np.bool_)
            if like_plain and batch.ahead is not None:
                own &= batch.ahead.any(axis=1)
            lacking = np.flatnonzero(own & ~peaks.fits & np.isfinite(others_s))
            kept = own & peaks.fits
            fits.append(part[kept])
            bounds.append(bound_s[kept])
            others.append(others_s[kept])
            if lacking.size:
                some, room = batch.some(lacking), (peaks.spare[lacking], peaks.buffers[lacking])
                lacking = lacking[may_fit_elsewhere(scenario, table, some, *room)]
                elsewhere.append(part[lacking])
                elsewhere_s.append(others_s[lacking])
        if not mixed:
            twins.keep(np.concatenate(fits) if fits else rows[:0])

    def found(
        rows: list[NDArray[np.int64]],
        bounds: list[NDArray[np.float64]],
        others: list[NDArray[np.float64]],
    ) -> Fitting:
        none = np.zeros(0)
        which = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        bound_s, others_s = np.concatenate([none, *bounds]), np.concatenate([none, *others])
        return Fitting.of(screened, group, layout, which, bound_s, others_s)

    infinite = [np.full(len(one), np.inf) for one in elsewhere]
    return found(fits, bounds, others), found(elsewhere, infinite, elsewhere_s)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeastWork:
    """Seconds of one microbatch at the speed of the fastest device type: a layer's forward, [N, K],
    all passes of a layer, [N, K], and all passes of a stage, [N, p]. Under full recomputation,
    `replayed` layers per chunk are recomputed. `paired` [N]: passes are priced as if each ran
    beside one of another microbatch."""

    forward_s: NDArray[np.float64]
    layer_s: NDArray[np.float64]
    stage_s: NDArray[np.float64]
    paired: NDArray[np.bool_]

    @classmethod
    def of(cls, table: CostTable, batch: Batch, replayed: NDArray[np.int64]) -> LeastWork:
        forward_s = table.forward_s.sum(axis=0).min(axis=0)
        layer_s = (forward_s + table.backward_s.sum(axis=0).min(axis=0))[batch.row]
        selective = batch.granularity == SELECTIVE
        if selective.any():
            layer_s[selective] += table.selective_s.min(axis=0)[batch.row[selective]]
        stage_s = layer_s @ batch.load.counts.sum(axis=1).T.astype(np.float64)
        full = batch.granularity == FULL
        for layers in distinct(replayed[full]):
            plans = full & (replayed == layers)
            leading = batch.load.leading[layers].sum(axis=1).T.astype(np.float64)
            stage_s[plans] += forward_s[batch.row[plans]] @ leading
        return cls(
            forward_s=forward_s[batch.row],
            layer_s=layer_s,
            stage_s=stage_s,
            paired=table.overlapped[batch.row],
        )


def quick_bound_s(scenario: Scenario, batch: Batch, work: LeastWork) -> NDArray[np.float64]:
    """[N]: lower bound in seconds on the schedule. A stage waits for a forward through the stages
    before it, and for a backward through them where backwards are whole and chunks are placed in a
    loop."""
    kind, first_chunks = batch.kind, batch.pass_counts[:, 0]
    elsewhere = np.cumsum(first_chunks, axis=0) - first_chunks
    work_s = work.stage_s * batch.chunk_microbatches[:, None]
    waits = work.layer_s if kind.returns_to_first else work.forward_s
    waiting_s = waits @ elsewhere.T.astype(np.float64) * (kind.parameter_copies == 1)
    seconds = (work_s + waiting_s).max(axis=-1) + scenario.job.software.step_overhead.value
    longer = work.paired | reduced_every_microbatch(scenario.job.software, batch)
    longer |= batch.offloads or kind.shares_vocabulary
    seconds += jitter_bound_s(scenario, batch, work_s, longer=longer)
    bound_s: NDArray[np.float64] = BELOW * seconds
    return bound_s


def others_bound_s(
    scenario: Scenario,
    batch: Batch,
    work: LeastWork,
    layout: SharedLayout,
    reduction_s: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[N]: lower bound in seconds on every other stage layout of the space; infinite where there is
    none."""
    if not layout.chosen or kept_layout(scenario, *shape_of(batch)) is not None:
        return np.full(len(batch), np.inf)
    column = {kind: index for index, kind in enumerate(scenario.kinds)}
    kinds = [column[kind] for kind in layer_kinds(scenario.model)]
    pipeline_s = other_layouts_s(
        batch, layout.stages, kinds, work.forward_s, work.layer_s, work.stage_s, reduction_s
    )
    average_s = batch.num_microbatches * (
        work.layer_s @ batch.load.counts.sum(axis=(0, 1)) / batch.pipeline
    )
    seconds = pipeline_s + jitter_share(scenario, batch.pipeline) * average_s
    bound_s: NDArray[np.float64] = BELOW * (seconds + scenario.job.software.step_overhead.value)
    return bound_s


def shape_of(batch: Batch) -> tuple[int, int, str]:
    """What decides whether a layout may be chosen: pipeline degree, chunks per stage, schedule."""
    return batch.pipeline, batch.virtual_stages, batch.schedule


def tight_mixed_s(
    scenario: Scenario,
    table: CostTable,
    fitting: Fitting,
    which: NDArray[np.int64],
    budget: Budget = UNLIMITED,
) -> NDArray[np.float64]:
    """The bounds of some combinations on mixed devices, with what follows the pipeline. Raises:
    OutOfTime."""
    after, rows = [], []
    for part in pieces(np.arange(len(which)), fitting.chunks, budget):
        most = np.full(len(part), fitting.layout.load.most_layers)
        batch = batch_of(scenario, fitting, which[part], most)
        after.append(beside_pipeline_s(scenario, table, batch))
        free = fitting.layout.chosen and kept_layout(scenario, *shape_of(batch)) is None
        rows.append(rows_bound_s(scenario, table, batch, free=free))
    overhead_s = scenario.job.software.step_overhead.value
    bound_s = fitting.bound_s[which] + BELOW * (np.concatenate(after) - overhead_s)
    return np.maximum(bound_s, BELOW * np.concatenate(rows))


def tight_bound_s(
    scenario: Scenario,
    table: CostTable,
    fitting: Fitting,
    which: NDArray[np.int64],
    budget: Budget = UNLIMITED,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Tight bounds for some combinations of a group, and the fully recomputed layers per chunk that
    they assume: the fewest that fit. Raises: OutOfTime."""
    layers = fewest_recomputed(scenario, table, fitting, which, budget)
    bounds = []
    for part in pieces(np.arange(len(which)), fitting.chunks, budget):
        batch = batch_of(scenario, fitting, which[part], layers[part])
        bounds.append(default_layout_s(scenario, table, batch, step_parts(scenario, table, batch)))
    return np.concatenate(bounds), layers


def tight_others_s(
    scenario: Scenario,
    table: CostTable,
    fitting: Fitting,
    which: NDArray[np.int64],
    recomputed_layers: NDArray[np.int64],
    budget: Budget = UNLIMITED,
) -> NDArray[np.float64]:
    """Tight bounds for some combinations of a group over every stage layout except the default,
    whose fully recomputed layers per chunk are given (`fewest_under_others`). Raises: OutOfTime."""
    bounds = []
    for part in pieces(np.arange(len(which)), fitting.chunks, budget):
        layers = recomputed_layers[part]
        batch = batch_of(scenario, fitting, which[part], layers)
        parts = step_parts(scenario, table, batch)
        bounds.append(_others_s(scenario, table, fitting, batch, parts, layers))
    return np.concatenate(bounds)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TightBounds:
    """Of combinations: `default_s` and `layers` of `tight_bound_s`, `others_s` of
    `tight_others_s`."""

    default_s: NDArray[np.float64]
    others_s: NDArray[np.float64]
    layers: NDArray[np.int64]


def tight_bounds(
    scenario: Scenario,
    table: CostTable,
    fitting: Fitting,
    which: NDArray[np.int64],
    known_layers: NDArray[np.int64],
    budget: Budget = UNLIMITED,
) -> TightBounds:
    """Both tight bounds at once. `known_layers` are the recomputed layers of combinations that had
    tight bounds before, −1 of the others. Raises: OutOfTime."""
    layers, unknown = known_layers.copy(), known_layers < 0
    if unknown.any():
        layers[unknown] = fewest_recomputed(scenario, table, fitting, which[unknown], budget)
    default, others = [], []
    for part in pieces(np.arange(len(which)), fitting.chunks, budget):
        batch = batch_of(scenario, fitting, which[part], layers[part])
        parts = step_parts(scenario, table, batch)
        default.append(default_layout_s(scenario, table, batch, parts))
        others.append(_others_s(scenario, table, fitting, batch, parts, layers[part]))
    return TightBounds(
        default_s=np.concatenate(default), others_s=np.concatenate(others), layers=layers
    )


def default_layout_s(
    scenario: Scenario, table: CostTable, batch: Batch, parts: StepParts
) -> NDArray[np.float64]:
    """Tight bounds of a batch with its own layouts, [N] seconds."""
    anywhere_s = placement_bound_s(scenario, table, batch, parts)
    return BELOW * np.maximum(parts.lower_bound_s(), anywhere_s)


def _others_s(
    scenario: Scenario,
    table: CostTable,
    fitting: Fitting,
    batch: Batch,
    parts: StepParts,
    recomputed_layers: NDArray[np.int64],
) -> NDArray[np.float64]:
    work = LeastWork.of(table, batch, fewest_under_others(batch, recomputed_layers))
    return BELOW * (
        others_bound_s(scenario, batch, work, fitting.layout, parts.reduction_s)
        + beside_pipeline_s(scenario, table, batch)
        - scenario.job.software.step_overhead.value
        + waited_s(scenario, table, batch)
    )


def fewest_recomputed(
    scenario: Scenario,
    table: CostTable,
    fitting: Fitting,
    which: NDArray[np.int64],
    budget: Budget = UNLIMITED,
) -> NDArray[np.int64]:
    """The smallest number of recomputed layers per chunk with which each combination fits; 0
    without full recomputation. Found by bisection, since time rises and memory falls with that
    number. Raises: OutOfTime."""
    most = fitting.layout.load.most_layers
    full = fitting.variants["recompute"][which] == FULL
    if not scenario.job.software.recompute.partial:
        return np.where(full, most, 0)
    low = np.where(full, 1, 0)
    high = np.where(full, most, 0)
    known = None
    if full.any() and most <= ALL_AT_ONCE:
        rows, layers = np.repeat(which[full], most), np.tile(np.arange(1, most + 1), full.sum())
        known = np.zeros((len(which), most + 1), dtype=np.bool_)
        fits = _fits(scenario, table, fitting, rows, layers, budget)
        known[full, 1:] = fits.reshape(-1, most)
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        if known is None:
            fits = _fits(scenario, table, fitting, which[open_], middle, budget)
        else:
            fits = known[open_, middle]
        high[open_] = np.where(fits, middle, high[open_])
        low[open_] = np.where(fits, low[open_], middle + 1)
    return high


def _fits(
    scenario: Scenario,
    table: CostTable,
    fitting: Fitting,
    which: NDArray[np.int64],
    recomputed_layers: NDArray[np.int64],
    budget: Budget,
) -> NDArray[np.bool_]:
    """[N]: whether combinations fit with so many recomputed layers per chunk."""
    found = [np.zeros(0, dtype=np.bool_)]
    for part in pieces(np.arange(len(which)), fitting.screened.pipeline, budget):
        batch = batch_of(scenario, fitting, which[part], recomputed_layers[part])
        found.append(stage_peaks(scenario, table, with_ahead(scenario, table, batch)).fits)
    return np.concatenate(found)


def pieces(rows: NDArray[np.int64], width: int, budget: Budget) -> Iterator[NDArray[np.int64]]:
    """The rows in pieces of at most `ELEMENTS` elements, where a row counts `width`. Raises:
    OutOfTime."""
    step = max(ELEMENTS // width, 1)
    for first in range(0, len(rows), step):
        budget.check()
        yield rows[first : first + step]
