"""What every stage layout holds at least."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.training.batch import OUTER_KINDS
from planner.training.search.mixed.speeds import layer_columns

if TYPE_CHECKING:
    from planner.training.scenario import Scenario
    from planner.workload.stages import StageLoad


def without_layers(scenario: Scenario, load: StageLoad) -> StageLoad:
    """The ends of the model alone."""
    counts = load.counts.copy()
    counts[..., layer_columns(scenario)] = 0
    return replace(load, counts=counts, leading=0 * load.leading)


def least_load(scenario: Scenario, load: StageLoad) -> StageLoad:
    """One layer in every chunk, but in those with the embedding or the head and, where layers are
    of several kinds, in any."""
    columns = layer_columns(scenario)
    kinds = [column for column in columns.tolist() if load.counts[..., column].any()]
    fewest = without_layers(scenario, load)
    if len(kinds) == 1:
        inner = (load.counts[..., -OUTER_KINDS:] == 0).all(axis=-1)
        fewest.counts[..., kinds[0]] = inner
    return fewest
