"""Lower bounds of combinations with every choice of modules that fits, under the stage layout that
their group shares: the tight bounds of step and memory, with the prices of each choice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.arrays import numbered
from planner.training.batch import SELECTIVE
from planner.training.costs import joined
from planner.training.memory.stage import stage_peaks
from planner.training.search.bounding.fitting import batch_of, pieces
from planner.training.search.bounding.tight import default_layout_s
from planner.training.search.modules.every_choice import EveryChoice
from planner.training.step.parts import step_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.fitting import Fitting
    from planner.training.search.modules.options import Treatment
    from planner.training.step.parts import StepParts


class BoundedChoice(NamedTuple):
    """A combination, by its position in a group, with modules with which it may fit; a lower bound
    of its step in seconds, and the seconds of the parts that depend on the modules. Of two choices
    of a combination the one that is nowhere shorter in these is no faster."""

    row: int
    treatment: Treatment
    bound_s: float
    parts_s: NDArray[np.float64]

    def no_faster_than(self, other: BoundedChoice) -> bool:
        """Whether it takes at least as long as another choice of the same combination, on the same
        hosts."""
        return bool((self.parts_s >= other.parts_s).all())


def bounded_choices(
    ideal: Scenario,
    table: CostTable,
    kept: Fitting,
    rows: NDArray[np.int64],
    below_s: float,
    budget: Budget,
) -> list[BoundedChoice]:
    """The choices of modules with which the `rows` of a group may fit in less than `below_s`.
    `kept` are the combinations with everything on the devices, and `table` belongs to the ideal
    scenario. Raises: OutOfTime."""
    batch = batch_of(ideal, kept, rows, np.zeros(len(rows), dtype=np.int64))
    shards, of_shard = numbered(batch.row)
    choices = [EveryChoice.of(ideal, table.shards[shard]) for shard in shards.tolist()]
    sizes = np.array([len(one) for one in choices])
    first = np.cumsum(sizes) - sizes
    each = sizes[of_shard]
    which = np.repeat(np.arange(len(rows)), each)
    within = np.arange(len(which)) - np.repeat(np.cumsum(each) - each, each)
    price = first[of_shard][which] + within
    prices = joined([one.table for one in choices])
    moves = np.concatenate([one.moves for one in choices])
    treatments = [treatment for one in choices for treatment in one.treatments]
    treated = ideal.treating(None, tuple(ideal.job.software.offload.tried_modules) or None)
    found: list[BoundedChoice] = []
    for part in pieces(np.arange(len(which)), kept.chunks, budget):
        chosen = replace(
            batch.some(which[part]),
            row=price[part],
            granularity=np.full(len(part), SELECTIVE),
            activation_offload=moves[price[part]].astype(np.float64),
        )
        fitting = np.flatnonzero(stage_peaks(treated, prices, chosen).fits)
        if not fitting.size:
            continue
        chosen = chosen.some(fitting)
        parts = step_parts(treated, prices, chosen)
        bounds = default_layout_s(treated, prices, chosen, parts)
        at, parts_s = part[fitting], _parts_s(parts)
        found += [
            BoundedChoice(
                int(rows[which[at[place]]]),
                treatments[price[at[place]]],
                float(bounds[place]),
                parts_s[place],
            )
            for place in np.flatnonzero(bounds < below_s).tolist()
        ]
    return found


def _parts_s(parts: StepParts) -> NDArray[np.float64]:
    """[N, ..]: what modules change of the step, as they change the passes and what these cover. No
    step falls when one of them grows and none falls."""
    columns = (
        parts.passes.forward_s,
        parts.passes.backward_s,
        parts.vocabulary.busy_s,
        parts.reduction_s,
        parts.stage_gathers_s,
        parts.jitter_s,
    )
    size = len(parts.num_microbatches)
    return np.concatenate([np.asarray(one).reshape(size, -1) for one in columns], axis=1)
