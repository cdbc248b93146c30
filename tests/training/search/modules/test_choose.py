"""Modules that a plan keeps, computes again or offloads, against every choice estimated in full."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from planner.budget import UNLIMITED
from planner.errors import PlannerError
from planner.plan import Estimate, Plan
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.estimate import estimate, point_estimate
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.modules.choose import better_modules, fitting_modules
from planner.training.search.modules.options import KEEP, TreatedPlan
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions


def job(model: str, batch: int, sequence: int) -> Scenario:
    cluster, spec = load_cluster("dgx-a100-8"), load_model(model)
    cluster = cluster.sized(devices=8)
    return build_scenario(
        cluster,
        spec,
        build_job(
            spec, load_software("megatron-core"), devices=8, global_batch_size=batch,
            seq_length=sequence,
        ),
    )  # fmt: skip


def every_choice(scenario: Scenario, plan: Plan) -> list[tuple[str, Estimate]]:
    found = []
    for ways in product(*TreatedPlan(scenario, plan).blocks().treatments):
        treatment = sum(ways, KEEP)
        try:
            estimated = point_estimate(scenario, treatment.of(plan))
        except PlannerError:
            continue
        found.append((treatment.flags, estimated))
    return found


@pytest.mark.parametrize(("batch", "sequence"), [(8, 40_960), (8, 57_344)])
def test_no_choice_that_fits_is_faster(batch: int, sequence: int) -> None:
    scenario = job("llama-3-8b", batch, sequence)
    plan = plan_from_flags(scenario, Restrictions(tensor=(4,), recompute=("full",)))
    every = every_choice(scenario, plan)
    kept = point_estimate(scenario, KEEP.of(plan))
    assert not kept.memory.fits
    chosen = fitting_modules(scenario, plan, UNLIMITED)
    fastest = min((one.step_s for _, one in every if one.memory.fits), default=None)
    assert (chosen is None) == (fastest is None)
    if chosen is not None:
        assert chosen.estimate.step_s == pytest.approx(fastest, rel=1e-3)
        again = better_modules(scenario, plan, point_estimate(scenario, plan), UNLIMITED)
        assert again == chosen


def test_offloading_more_never_takes_more_of_the_device() -> None:
    scenario = job("llama-3-8b", 8, 8192)
    plan = plan_from_flags(scenario, Restrictions(tensor=(4,)))
    kept = point_estimate(scenario, KEEP.of(plan)).memory.binding.peak_bytes
    for _, found in every_choice(scenario, plan):
        assert found.memory.binding.peak_bytes <= kept


def test_a_search_finds_the_fastest_choice_and_a_smaller_space_no_faster_one() -> None:
    scenario = job("llama-3-8b", 8, 40_960)
    space = Restrictions(tensor=(4, 8), context=(1,), pipeline=(1, 2), micro_batch_size=(1,))
    found = search(scenario, restrictions=space, top=3, advise=False)
    best = found.plans[0]
    assert best.plan.chooses_modules
    assert best.estimate == estimate(scenario, best.plan)
    for stated in (
        replace(space, recompute=("full",)),
        replace(space, recompute=("none", "selective", "full"), activation_offload=(0.0,)),
        replace(space, tensor=(4,)),
    ):
        smaller = search(scenario, restrictions=stated, top=1, advise=False)
        for one in smaller.plans:
            assert one.estimate.step_s >= best.estimate.step_s * (1 - found.gap)
    every = [
        one.step_s
        for tensor, pipeline in ((4, 1), (8, 1), (4, 2))
        for plan in (
            plan_from_flags(scenario, Restrictions(tensor=(tensor,), pipeline=(pipeline,))),
        )
        for _, one in every_choice(scenario, plan)
        if one.memory.fits
    ]
    assert best.estimate.step_s <= min(every) * (1 + 1e-3)
