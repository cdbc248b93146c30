"""Searches that choose stage layouts."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.plan import recomputed_per_chunk
from planner.training.estimate import estimate
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.tight import tight_others_s
from planner.training.search.layouts.default import stages_of
from planner.training.search.plans.problems import plan_problems
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario

LARGE_VOCABULARY = {"layers": 8, "batch": 64, "hidden": 512, "ffn": 2048, "length": 2048}
MIXED = {"nodes": 2, "devices_per_node": 4, "second_device": "h100-sxm-80gb", "layers": 8}
PIPELINED = Restrictions(
    pipeline=(4,), schedule=("1f1b", "interleaved"), recompute=("none", "selective", "full")
)


@pytest.mark.slow
@pytest.mark.parametrize("size", [LARGE_VOCABULARY, MIXED, {"layers": 8, "memory_gib": 3}])
def test_no_rank_is_slower_than_with_default_layouts(
    scenario_of: Callable[..., Scenario], size: dict[str, object]
) -> None:
    scenario = scenario_of(**size)
    chosen = search(scenario, restrictions=PIPELINED, top=4)
    default = search(scenario, restrictions=PIPELINED, top=4, improve=None)
    assert len(chosen.plans) == len(default.plans) > 0
    for one, other in zip(chosen.plans, default.plans, strict=True):
        assert one.estimate.step_s <= other.estimate.step_s
        assert one.estimate.memory.fits
        assert plan_problems(scenario, one.plan) == ()
        assert estimate(scenario, one.plan).step_s == pytest.approx(one.estimate.step_s)
    assert [plan.rank for plan in chosen.plans] == [1, 2, 3, 4][: len(chosen.plans)]
    assert chosen.settled == default.settled
    assert size is MIXED or chosen.combination_gap <= default.combination_gap
    assert not (chosen.proven and chosen.layout_gap)
    assert 0 <= chosen.layout_gap < 1
    assert default.layout_gap == 0
    if size is not MIXED and "memory_gib" in size:
        return
    assert chosen.plans[0].estimate.step_s < 0.97 * default.plans[0].estimate.step_s


def test_the_same_search_chooses_the_same_layouts(scenario_of: Callable[..., Scenario]) -> None:
    scenario = scenario_of(**LARGE_VOCABULARY)
    first, second = (search(scenario, restrictions=PIPELINED, top=3) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "size",
    [
        {"layers": 6, "batch": 32},
        {"layers": 6, "experts": 4, "first_dense": 2, "length": 2048, "memory_gib": 4},
    ],
)
def test_no_other_layout_beats_its_bound(
    scenario_of: Callable[..., Scenario], size: dict[str, object]
) -> None:
    """Every layout of some combinations, the default apart, against the bound of all."""
    scenario = scenario_of(**size)
    run = SearchRun(
        scenario=scenario,
        restrictions=Restrictions(pipeline=(2, 4), schedule=("1f1b",)),
        top=1,
    )
    run.bound()
    random = np.random.default_rng(0)
    compared = 0
    for group in run.space.fitting:
        which = random.choice(len(group), min(len(group), 3), replace=False)
        layers = np.full(len(which), group.layout.load.most_layers)
        bounds = np.maximum(
            tight_others_s(scenario.ideal, run.space.growing.table, group, which, layers),
            group.others_s[which],
        )
        p = group.screened.pipeline
        for index, bound_s in zip(which.tolist(), bounds.tolist(), strict=True):
            plan = plan_at(scenario, group, index, int(layers[0]))
            for inner in combinations(range(7), p - 1):
                counts = [after - before for before, after in pairwise((0, *inner, 6))]
                stages = stages_of(counts, p, 1)
                if 0 in counts[1:-1] or stages == plan.stages:
                    continue
                recompute = plan.recompute
                if recompute.granularity == "full":
                    kept = recomputed_per_chunk(plan.stages, recompute.layers_per_stage)
                    assert kept is not None
                    recompute = replace(
                        recompute,
                        layers_per_stage=tuple(min(kept, count) for count in counts),
                    )
                other = replace(plan, stages=stages, recompute=recompute)
                assert bound_s <= estimate(scenario, other).step_s
                compared += 1
    assert compared > 50


@pytest.mark.parametrize("size", [LARGE_VOCABULARY, {"layers": 11, "batch": 24, "length": 2048}])
def test_more_plans_asked_for_leave_the_best_as_it_is(
    scenario_of: Callable[..., Scenario], size: dict[str, object]
) -> None:
    scenario = scenario_of(**size)
    found = [search(scenario, restrictions=PIPELINED, top=top).plans[0] for top in (1, 2, 5)]
    assert len({one.estimate.step_s for one in found}) == 1
