"""Tight lower bounds on the step: the quick ones with sends, reductions and the optimizer
(`planner.training.step.parts.StepParts.lower_bound_s`), under the layout that a group shares and
under every other one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.training.batch import Batch
from planner.training.search.bounding.fitting import Fitting, batch_of, pieces, shape_of
from planner.training.search.bounding.quick import BELOW, LeastWork, others_bound_s
from planner.training.search.bounding.recomputed import fewest_recomputed
from planner.training.search.hosts.bound import placement_bound_s
from planner.training.search.layouts.bound import beside_pipeline_s, waited_s
from planner.training.search.layouts.problem import fewest_under_others, kept_layout
from planner.training.search.mixed.bound import rows_bound_s
from planner.training.step.parts import step_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.shared_layouts import SharedLayout
    from planner.training.step.parts import StepParts


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
        others.append(
            every_other_layout_s(scenario, table, fitting.layout, batch, parts, layers[part])
        )
    return TightBounds(
        default_s=np.concatenate(default), others_s=np.concatenate(others), layers=layers
    )


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
        bounds.append(every_other_layout_s(scenario, table, fitting.layout, batch, parts, layers))
    return np.concatenate(bounds)


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


def default_layout_s(
    scenario: Scenario, table: CostTable, batch: Batch, parts: StepParts
) -> NDArray[np.float64]:
    """Tight bounds of a batch with its own layouts, [N] seconds."""
    anywhere_s = placement_bound_s(scenario, table, batch, parts)
    return BELOW * np.maximum(parts.lower_bound_s(), anywhere_s)


def every_other_layout_s(
    scenario: Scenario,
    table: CostTable,
    layout: SharedLayout,
    batch: Batch,
    parts: StepParts,
    recomputed_layers: NDArray[np.int64],
) -> NDArray[np.float64]:
    """[N] seconds: tight bounds of a batch, of which `layout` is the default, over every other
    one; infinite where there is none."""
    work = LeastWork.of(table, batch, fewest_under_others(batch, recomputed_layers))
    return BELOW * (
        others_bound_s(scenario, batch, work, layout, parts.reduction_s)
        + beside_pipeline_s(scenario, table, batch)
        - scenario.job.software.step_overhead.value
        + waited_s(scenario, table, batch)
    )
