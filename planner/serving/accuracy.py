"""How sure an estimate of serving is: shares of it between which measured runs lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.specs.serving import serving_defaults

if TYPE_CHECKING:
    from planner.serving.scenario import ServingScenario
    from planner.specs.serving import MeasuredShares


def measured_shares(scenario: ServingScenario) -> MeasuredShares:
    """Those of runs of models with experts, or without."""
    ranges = serving_defaults().ranges
    return ranges.dense if scenario.model.moe is None else ranges.mixture
