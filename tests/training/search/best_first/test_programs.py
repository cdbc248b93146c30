"""Searches that solve layouts exactly, against every layout of small models."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from planner.specs.cluster.spec import LinkOverride
from planner.training.estimate import point_estimate
from planner.training.scenario import build_scenario
from planner.training.search.layouts.default import stages_of
from planner.training.search.mixed.program import CombinationTables
from planner.training.search.plans.build import plan_of
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.training.scenario import Scenario
    from planner.training.search.mixed.program import OrderTables

    Values = Callable[..., Iterator[dict[str, Any]]]

LAYERS = 6
MIXED = (("a100-sxm-80gb", 1), ("h100-sxm-80gb", 1))
PIPELINED = Restrictions(
    tensor=(1,),
    pipeline=(2, 4),
    schedule=("1f1b",),
    micro_batch_size=(1,),
    data_sharding=("optimizer",),
    recompute=("none", "selective", "full"),
)
TIGHT = {"memory_gib": 4, "length": 4096, "hidden": 1536, "ffn": 4096}
ONE_DISPATCHER: dict[str, Any] = {"dispatcher": ("alltoall",), "expert_overlap": (False,)}
UNLIKE = {"experts": 4, "first_dense": 2, "length": 2048, "memory_gib": 5}


@pytest.mark.parametrize(
    "size",
    [
        {},
        TIGHT,
        {**TIGHT, "software": "megatron-lm-2022"},
        UNLIKE,
        {**UNLIKE, "software": "megatron-core-perf"},
        {"tie": True, "memory_gib": 3, "batch": 8},
    ],
)
def test_no_layout_is_faster_than_claimed(
    scenario_of: Callable[..., Scenario], every_value: Values, size: dict[str, Any]
) -> None:
    """Every layout of every combination with every number of recomputed layers, priced in full."""
    scenario = scenario_of(layers=LAYERS, **size)
    restrictions = PIPELINED
    if scenario.model.moe is not None:
        restrictions = replace(restrictions, **ONE_DISPATCHER)
    steps = sorted(every_step(scenario, restrictions, every_value))
    result = search(scenario, restrictions=restrictions, top=1)
    assert bool(steps) == bool(result.plans)
    if not steps:
        return
    found_s = result.plans[0].estimate.step_s
    assert found_s >= steps[0] * (1 - 1e-9)
    assert found_s * (1 - max(result.gap, result.layout_gap)) <= steps[0] * (1 + 1e-9)
    assert result.layout_gap < 0.01


def test_bounds_know_the_only_link_between_two_nodes(
    scenario_of: Callable[..., Scenario],
) -> None:
    """No program is solved for layouts that the reduction of the tied embedding makes too slow."""
    scenario = scenario_of(nodes=2, devices_per_node=2, layers=LAYERS, tie=True)
    slow = LinkOverride(between=(0, 1), bandwidth_bytes_per_s=1e8)
    cluster = replace(scenario.cluster, overrides=(slow,))
    scenario = build_scenario(cluster, scenario.model, scenario.job)
    result = search(scenario, restrictions=replace(PIPELINED, pipeline=(4,)), top=1)
    best = result.plans[0].estimate
    assert best.time_detail["tied_embedding_reduction_s"] > best.step_s / 2
    assert result.gap < 0.1


def test_programs_end_where_more_recomputation_is_too_slow(
    scenario_of: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices with room for all recompute few layers: programs of more are not stated."""
    stated: list[int] = []
    program = CombinationTables.program

    def noted(self: CombinationTables, recomputed: int, *more: Any) -> OrderTables:
        stated.append(recomputed)
        return program(self, recomputed, *more)

    monkeypatch.setattr(CombinationTables, "program", noted)
    scenario = scenario_of(layers=24, device_nodes=MIXED, devices_per_node=1)
    restrictions = replace(PIPELINED, pipeline=(2,), recompute=("full",))
    assert search(scenario, restrictions=restrictions, top=1).plans
    assert 0 < len(stated) < 12


@pytest.mark.parametrize(("layers", "memory_gib"), [(7, 4.5), (6, 6.0)])
def test_interleaved_layouts_are_no_faster_than_claimed(
    scenario_of: Callable[..., Scenario], every_value: Values, layers: int, memory_gib: float
) -> None:
    """The same with two chunks on every stage. In the smaller memory the usual layout fits
    nowhere, and others may."""
    size = {**TIGHT, "memory_gib": memory_gib, "software": "megatron-core-perf"}
    scenario = scenario_of(layers=layers, **size)
    restrictions = replace(
        PIPELINED,
        pipeline=(2,),
        schedule=("interleaved",),
        virtual_stages=(2,),
        recompute=("none",),
    )
    steps = sorted(every_step(scenario, restrictions, every_value, layers))
    result = search(scenario, restrictions=restrictions, top=1)
    assert bool(steps) == bool(result.plans)
    if steps:
        found_s = result.plans[0].estimate.step_s
        assert found_s >= steps[0] * (1 - 1e-9)
        assert found_s * (1 - max(result.gap, result.layout_gap)) <= steps[0] * (1 + 1e-9)


def every_step(
    scenario: Scenario, restrictions: Restrictions, every_value: Values, model_layers: int = LAYERS
) -> Iterator[float]:
    for values in every_value(scenario, restrictions):
        pipeline, number = int(values["pipeline"]), int(values["virtual_stages"])
        most = model_layers if values["recompute"] == "full" else 1
        for inner in combinations_with_replacement(range(model_layers + 1), pipeline * number - 1):
            counts = [after - before for before, after in pairwise((0, *inner, model_layers))]
            if 0 in counts[1:-1]:
                continue
            stages = stages_of(counts, pipeline, number, str(values["schedule"]))
            for recomputed in range(1, min(most, max(counts)) + 1):
                plan = plan_of(scenario, values, stages, recomputed)
                cost = point_estimate(scenario, plan)
                if cost.memory.fits:
                    yield cost.step_s
