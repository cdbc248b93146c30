"""The fewest recomputed layers with which a combination fits. They are found only for combinations
that are refined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.training.batch import FULL
from planner.training.memory.stage import stage_peaks
from planner.training.search.bounding.fitting import Fitting, batch_of, pieces
from planner.training.step.ahead import with_ahead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

ALL_AT_ONCE = 16
"""Most numbers of recomputed layers that are all priced at once, instead of one after the other."""


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
