"""Quick bounds on time and the exact fit in memory, for whole groups of combinations at once.

Memory is computed, not bounded, for full recomputation of the most layers, which takes the least
memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.training.memory.stage import stage_peaks
from planner.training.search.bounding.batches import make_batch
from planner.training.search.bounding.elsewhere import may_fit_elsewhere
from planner.training.search.bounding.fitting import Fitting, pieces, shape_of
from planner.training.search.bounding.quick import BELOW, LeastWork, others_bound_s, quick_bound_s
from planner.training.search.bounding.twins import Twins
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.mixed.bound import mixed_bound
from planner.training.search.mixed.speeds import is_mixed
from planner.training.step.ahead import with_ahead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.screen import Screened
    from planner.training.search.bounding.shared_layouts import SharedLayout
    from planner.training.search.space.enumeration import Block


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
