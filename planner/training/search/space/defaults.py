"""What a plan does about its experts where nobody says: the software profile's default, as far as
it can run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.space.codes import code_of
from planner.training.search.space.rules.experts import (
    dispatcher_devices,
    dispatcher_ranks,
    dispatcher_reach,
    expert_overlap,
)
from planner.training.search.space.rules.recompute import expert_overlap_recompute
from planner.training.search.space.rules.schedules import expert_overlap_stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.specs.software import SoftwareProfile
    from planner.training.search.space.facts import SpaceFacts

OF_DISPATCHERS = (
    dispatcher_devices,
    dispatcher_reach,
    dispatcher_ranks,
)
OF_OVERLAP = (
    expert_overlap,
    expert_overlap_stages,
    expert_overlap_recompute,
)
_READ = ("expert", "expert_tensor", "pipeline", "virtual_stages", "schedule", "recompute")


def expert_defaults(
    facts: SpaceFacts, software: SoftwareProfile, values: Mapping[str, int | float | str | bool]
) -> dict[str, str | bool]:
    """Dispatcher and overlap of experts that `values`, one for every other axis, leave open: of
    what the profile offers the first that runs."""
    row = {axis: np.array([code_of(axis, values[axis])]) for axis in _READ}
    options = software.expert.dispatcher_options
    dispatcher = str(values.get("dispatcher", options[0]))
    if "dispatcher" not in values:
        runs = [
            name
            for name in options
            if all(
                holds(facts, {**row, "dispatcher": np.array([code_of("dispatcher", name)])}).all()
                for holds in OF_DISPATCHERS
            )
        ]
        dispatcher = next(iter(runs), options[0])
    found: dict[str, str | bool] = {"dispatcher": dispatcher}
    if "expert_overlap" not in values:
        row |= {
            "dispatcher": np.array([code_of("dispatcher", dispatcher)]),
            "expert_overlap": np.array([1]),
        }
        wanted = software.expert_overlap_options[0]
        found["expert_overlap"] = wanted and all(
            bool(np.all(holds(facts, row))) for holds in OF_OVERLAP
        )
    return found
