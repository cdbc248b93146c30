"""Modules and stage layouts together, against every choice of both on small models."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement, pairwise, product
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from planner.errors import PlannerError
from planner.training.estimate import shard_of
from planner.training.search.layouts.default import stages_of
from planner.training.search.modules.options import KEEP, ModuleWays
from planner.training.search.plans.build import plan_of
from planner.training.search.plans.problems import check_plan
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions
from tests.training.search.pricing import Pricing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from planner.plan import Plan
    from planner.training.scenario import Scenario
    from planner.training.search.modules.options import Treatment

    Values = Callable[..., Iterator[dict[str, Any]]]

SPACE = Restrictions(
    tensor=(1,),
    schedule=("1f1b",),
    data_sharding=("optimizer",),
    micro_batch_size=(1,),
    context=(1,),
    optimizer_offload=(0.0,),
)
TIGHT = {"length": 4096, "hidden": 1536, "ffn": 4096, "devices_per_node": 4}


@pytest.mark.parametrize(("layers", "pipeline", "memory_gib"), [(5, 2, 4.1), (4, 4, 3.7)])
def test_no_layout_with_any_modules_is_faster_than_claimed(
    scenario_of: Callable[..., Scenario],
    every_value: Values,
    layers: int,
    pipeline: int,
    memory_gib: float,
) -> None:
    """Of every combination the best plan, whatever its layout and its modules: none that is listed
    is slower than its rank allows, none that is not listed faster."""
    scenario = scenario_of(layers=layers, memory_gib=memory_gib, **TIGHT)
    space = replace(SPACE, pipeline=(pipeline,))
    result = search(scenario, restrictions=space, top=3, advise=False)
    every_s = every_combination_s(scenario, space, every_value)
    steps_s = sorted(step_s for step_s in every_s if step_s < inf)
    assert any(one.plan.chooses_modules for one in result.plans)
    assert steps_s[0] >= result.plans[0].estimate.step_s * (1 - result.best_gap) * (1 - 1e-9)
    for one, step_s in zip(result.plans, steps_s, strict=False):
        assert one.estimate.step_s * (1 - result.gap) <= step_s * (1 + 1e-9)
    assert len(result.plans) >= min(3, len(steps_s))


def every_combination_s(
    scenario: Scenario, space: Restrictions, every_value: Values
) -> Iterator[float]:
    """The step of the best plan of every combination. One that keeps everything is the same with
    modules computed again or offloaded; where it fits nowhere, so is one that computes layers
    again."""
    every = EveryPlan(scenario)
    for values in every_value(scenario, space):
        if values["recompute"] == "selective":
            yield every.least_s(values, [KEEP])
        if values["recompute"] != "full":
            continue
        kept = {**values, "recompute": "none"}
        full_s = every.least_s(values, [KEEP])
        kept_s = every.least_s(kept, [KEEP])
        chosen_s = min(kept_s, every.least_s(kept, None))
        steps_s = [min(full_s, chosen_s)] if kept_s == inf else [full_s, chosen_s]
        yield from steps_s


class EveryPlan:
    """Prices of the plans of a combination with every layout."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._pricing: dict[Treatment, Pricing] = {}

    def least_s(self, values: dict[str, Any], treatments: Sequence[Treatment] | None) -> float:
        """The fastest that fits with one of the treatments, all there are by default; infinite
        where there is none."""
        steps_s = [inf]
        for plan in self._plans(values):
            for treatment in treatments or every_treatment(self._scenario, plan):
                chosen = plan if treatment == KEEP else treatment.of(plan)
                steps_s.append(self._step_s(chosen, treatment))
        return min(steps_s)

    def _step_s(self, plan: Plan, treatment: Treatment) -> float:
        if treatment not in self._pricing:
            self._pricing[treatment] = Pricing(treatment.scenario(self._scenario))
        try:
            check_plan(self._scenario, plan)
            found = self._pricing[treatment](plan)
        except PlannerError:
            return inf
        return found.step_s if found.memory.fits else inf

    def _plans(self, values: dict[str, Any]) -> Iterator[Plan]:
        layers = self._scenario.model.num_layers
        pipeline, number = int(values["pipeline"]), int(values["virtual_stages"])
        for inner in combinations_with_replacement(range(layers + 1), pipeline * number - 1):
            counts = [after - before for before, after in pairwise((0, *inner, layers))]
            if 0 in counts[1:-1]:
                continue
            stages = stages_of(counts, pipeline, number, str(values["schedule"]))
            most = max(counts) if values["recompute"] == "full" else 1
            for recomputed in range(1, most + 1):
                yield plan_of(self._scenario, values, stages, recomputed)


def every_treatment(scenario: Scenario, plan: Plan) -> list[Treatment]:
    blocks = ModuleWays.of(scenario, shard_of(plan)).blocks
    return [sum(ways, KEEP) for ways in product(*blocks)]
