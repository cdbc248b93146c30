"""Layouts chosen for combinations of real scenarios, priced as every plan is."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from planner.errors import RuleError
from planner.plan import GRANULARITIES, Recompute, recomputed_per_stage
from planner.stage_layout.problem import price, spans_s
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, estimate, shard_of
from planner.training.memory.stage import stage_peaks
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.run import SearchRun
from planner.training.search.layouts.choose import UNKNOWN, DefaultStep, choose_layout
from planner.training.search.layouts.default import stages_of
from planner.training.search.layouts.problem import layout_of, plan_with, problem_of
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.plans.problems import plan_problems
from planner.training.search.space.restrictions import Restrictions
from planner.training.step.passes import chunk_passes
from planner.workload.stages import stage_load
from tests.every_instance import instances
from tests.training.search.pricing import Pricing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.plan import Plan
    from planner.training.scenario import Scenario


def flags(**axes: object) -> Restrictions:
    return Restrictions(**{axis: (value,) for axis, value in axes.items()})  # type: ignore[arg-type]


@pytest.mark.slow
@settings(max_examples=instances(9, 30), deadline=None)
@given(data=st.data())
def test_never_worse_never_too_big_and_always_runnable(
    scenario_of: Callable[..., Scenario], data: st.DataObject
) -> None:
    draw = data.draw
    scenario = scenario_of(
        nodes=draw(st.sampled_from([1, 2])),
        devices_per_node=draw(st.sampled_from([4, 8])),
        second_device=draw(st.sampled_from([None, "h100-sxm-80gb"])),
        layers=draw(st.integers(4, 14)),
        batch=draw(st.sampled_from([16, 48])),
        length=draw(st.sampled_from([1024, 4096])),
        memory_gib=draw(st.sampled_from([3, 4, 6, 80])),
        tie=draw(st.booleans()),
        experts=draw(st.sampled_from([0, 0, 4])),
        first_dense=draw(st.sampled_from([0, 2])),
        software=draw(st.sampled_from(["megatron-core", "megatron-core-perf"])),
    )
    schedule = draw(st.sampled_from(["1f1b", "interleaved", "zb-h1", "zb-v"]))
    run = SearchRun(
        scenario=scenario,
        restrictions=Restrictions(schedule=(schedule,), pipeline=(2, 4, 8)),
        top=1,
    )
    try:
        run.bound()
    except RuleError:
        reject()
    groups = [group for group in run.space.fitting if group.screened.pipeline > 1]
    assume(groups)
    group = groups[draw(st.integers(0, len(groups) - 1))]
    index = draw(st.integers(0, len(group) - 1))
    plan = plan_at(scenario, group, index, group.layout.load.most_layers)
    default = estimate(scenario, plan)
    assume(default.memory.fits)

    choice = choose_layout(scenario, plan)
    chosen = estimate(scenario, choice.plan)
    assert chosen.memory.fits
    assert choice.step_s == pytest.approx(chosen.step_s)
    assert choice.step_s <= default.step_s * (1 + 1e-12)
    assert plan_problems(scenario, choice.plan) == ()
    assert choice.bound_s is None or choice.bound_s <= choice.step_s * (1 + 1e-9)
    same = replace(choice.plan, stages=plan.stages, recompute=plan.recompute)
    assert same == plan


def test_layers_move_between_the_chunks_of_a_stage(scenario_of: Callable[..., Scenario]) -> None:
    scenario = scenario_of(devices_per_node=4, layers=14, batch=8)
    plan = plan_from_flags(
        scenario,
        flags(
            pipeline=4,
            tensor=1,
            data=1,
            virtual_stages=3,
            schedule="interleaved",
            micro_batch_size=1,
            recompute="none",
        ),
    )
    choice = choose_layout(scenario, plan)
    before, after = ([stage.num_layers for stage in one.stages] for one in (plan, choice.plan))
    assert before == after == [3, 4, 4, 3]
    assert choice.plan.stages != plan.stages
    assert choice.step_s < 0.999 * estimate(scenario, plan).step_s


def every_plan(plan: Plan, num_layers: int) -> Iterator[Plan]:
    """Every composition of the layers, with every number of recomputed layers."""
    p = plan.degrees.pipeline
    for inner in combinations(range(num_layers + 1), p - 1):
        layers = [after - before for before, after in pairwise((0, *inner, num_layers))]
        if 0 in layers[1:-1]:
            continue
        stages = stages_of(layers, p, 1, plan.schedule)
        counts = range(1, max(layers) + 1) if plan.recompute.granularity == "full" else (0,)
        for count in counts:
            recompute = Recompute(
                granularity=plan.recompute.granularity,
                layers_per_stage=recomputed_per_stage(stages, count),
            )
            yield replace(plan, stages=stages, recompute=recompute)


LAYERS = instances(8, 9)
"""Of which every layout is tried."""


@pytest.mark.slow
@pytest.mark.parametrize("second_device", [None, "h100-sxm-80gb"])
@pytest.mark.parametrize(
    ("memory_gib", "recompute"),
    [
        *((2.6, recompute) for recompute in GRANULARITIES),
        *((80, recompute) for recompute in GRANULARITIES[: instances(2, 3)]),
    ],
)
def test_close_to_the_best_of_every_layout(
    scenario_of: Callable[..., Scenario],
    second_device: str | None,
    recompute: str,
    memory_gib: float,
) -> None:
    scenario = scenario_of(
        nodes=1 if second_device else 2,
        devices_per_node=4,
        second_device=second_device,
        memory_gib=memory_gib,
        layers=LAYERS,
        batch=64,
        length=4096,
        experts=4,
        first_dense=2,
    )
    plan = plan_from_flags(
        scenario, flags(pipeline=4, micro_batch_size=1, recompute=recompute, schedule="1f1b")
    )
    choice = choose_layout(scenario, plan)
    fitting = [
        found.step_s
        for found in map(Pricing(scenario), every_plan(plan, LAYERS))
        if found.memory.fits
    ]
    assert choice.bound_s is not None
    if fitting:
        assert choice.bound_s <= min(fitting)
        assert estimate(scenario, choice.plan).memory.fits
        assert choice.step_s <= 1.03 * min(fitting)
        assert estimate(scenario, plan).step_s > 1.1 * choice.step_s or not second_device


def test_problem_is_the_plan(scenario_of: Callable[..., Scenario]) -> None:
    """Times, memory and stages of the problem at the plan's own layout are those of the plan."""
    scenario = scenario_of(layers=11, batch=32, experts=4, first_dense=2, length=2048)
    for pipeline, chunks, recompute in ((4, 1, "none"), (4, 2, "selective"), (4, 1, "full")):
        plan = plan_from_flags(
            scenario,
            flags(pipeline=pipeline, virtual_stages=chunks, recompute=recompute),
            recompute_layers=2 if recompute == "full" else None,
        )
        table = cost_table(scenario, [shard_of(plan)])
        batch = batch_of_one(plan, 0, stage_load(scenario.model, scenario.kinds, plan.stages))
        problem = problem_of(scenario, table, batch, plan)
        layout = layout_of(plan, problem)
        prices, passes = price(problem, layout), chunk_passes(scenario, table, batch)
        assert np.allclose(prices.forward_s, passes.forward_s)
        assert np.allclose(prices.backward_s, passes.backward_s)
        peaks = stage_peaks(scenario, table, batch)
        assert np.allclose(prices.peak_bytes, peaks.device_peak)
        assert plan_with(plan, problem, layout) == plan
        detail = estimate(scenario, plan)
        assert float(spans_s(problem, prices)[0]) == pytest.approx(
            detail.step_s
            - detail.time.optimizer_s
            - detail.time.jitter_s
            - detail.time_detail.get("parameter_gather_s", 0.0),
            rel=0.2,
        )


def test_large_vocabulary_takes_layers_off_the_last_stage(
    scenario_of: Callable[..., Scenario],
) -> None:
    scenario = scenario_of(layers=16, batch=64, hidden=512, ffn=2048, length=2048)
    plan = plan_from_flags(scenario, flags(pipeline=4, micro_batch_size=1))
    choice = choose_layout(scenario, plan)
    layers = [stage.num_layers for stage in choice.plan.stages]
    assert layers[-1] < 4 < max(layers)
    assert choice.step_s < 0.9 * estimate(scenario, plan).step_s


@pytest.mark.parametrize(
    ("software", "axes", "kept"),
    [
        ("megatron-lm-2021", {"pipeline": 4}, "not expressible in megatron-lm-2021"),
        ("megatron-core", {"pipeline": 1}, "one stage holds everything"),
        (
            "megatron-core",
            {"pipeline": 4, "schedule": "1f1b-balanced"},
            "schedule 1f1b-balanced brings its own layout",
        ),
    ],
)
def test_what_cannot_be_chosen_says_why(
    scenario_of: Callable[..., Scenario], software: str, axes: dict[str, object], kept: str
) -> None:
    scenario = scenario_of(layers=8, software=software)
    plan = plan_from_flags(scenario, flags(**axes))
    choice = choose_layout(scenario, plan)
    assert choice.plan == plan
    assert choice.kept is not None
    assert kept in choice.kept


@pytest.mark.parametrize("schedule", ["1f1b", "interleaved"])
@pytest.mark.parametrize("software", ["megatron-core", "torchtitan"])
def test_what_is_known_of_the_default_step_changes_no_choice(
    scenario_of: Callable[..., Scenario], schedule: str, software: str
) -> None:
    scenario = scenario_of(nodes=2, devices_per_node=4, layers=13, batch=48, software=software)
    run = SearchRun(
        scenario=scenario,
        restrictions=Restrictions(schedule=(schedule,), pipeline=(4,)),
        top=1,
    )
    run.bound()
    compared = 0
    for group in run.space.fitting:
        for index in range(0, len(group), max(len(group) // instances(2, 4), 1)):
            plan = plan_at(scenario, group, index, group.layout.load.most_layers)
            step_s = estimate(scenario, plan).step_s
            for share in (0.8, 0.97, 1.0, 1.1):
                below_s = share * step_s
                asked = choose_layout(scenario, plan, below_s=below_s, default=UNKNOWN)
                for known in (
                    DefaultStep(least_s=step_s, exact=True),
                    DefaultStep(least_s=step_s * (1 - 1e-9)),
                    DefaultStep(least_s=0.95 * step_s),
                ):
                    choice = choose_layout(scenario, plan, below_s=below_s, default=known)
                    assert choice.bound_s == asked.bound_s
                    assert choice.proven == asked.proven
                    better = choice.plan != plan and choice.step_s < below_s
                    assert better == (asked.plan != plan and asked.step_s < below_s)
                    if better:
                        assert choice.plan == asked.plan
                    compared += 1
    assert compared > 20
