"""Intervals: what they follow from, and what they say about unknown ground."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import exp, inf, log
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.estimate import estimate
from planner.plan import Plan
from planner.scenario import Scenario
from planner.specs.catalog import list_shipped, resolve
from planner.specs.runs import Run, load_runs
from planner.validation.confidence import (
    DEVIATIONS,
    LEVEL,
    extrapolations,
    factors,
    held_out_coverage,
    interval,
    memory_interval,
    tied,
)
from planner.validation.planned import plan_run
from planner.validation.regimes import Regime, device_generation, host_share, regime_of
from planner.validation.residuals import STEP, Cell, publication, residuals_of, shipped_residuals
from planner.validation.validate import validate_files

if TYPE_CHECKING:
    from tests.validation.conftest import WriteRuns

REGIME = Regime(
    generation="ampere",
    bits=16,
    host_bound=False,
    pipelined=True,
    networked=True,
    experts=False,
    fully_sharded=False,
)


def cell(
    mean: float, variance: float = 0.0, *, count: int = 10, quantity: str = STEP, **regime: object
) -> Cell:
    return Cell(
        quantity=quantity,
        publication="a",
        regime=replace(REGIME, **regime),  # type: ignore[arg-type]
        count=count,
        mean=mean,
        variance=variance,
    )


@cache
def some_run(name: str, index: int = 0) -> Run:
    return load_runs(resolve("runs", name)).runs[index]


def planned(name: str, index: int = 0) -> tuple[Scenario, Plan]:
    one = plan_run(some_run(name, index))
    return one.scenario, one.plan


def regime(name: str) -> Regime:
    scenario, plan = planned(name)
    return regime_of(scenario, plan, estimate(scenario, plan))


def test_one_cell_gives_its_own_spread() -> None:
    """One voice: the spread of a new observation is that of the cell times the square root of 2."""
    low, high = factors([cell(0.0, 0.01)], REGIME)
    reach = DEVIATIONS * 0.1 * 2**0.5
    assert low == pytest.approx(exp(-reach))
    assert high == pytest.approx(exp(reach))


def test_a_bias_moves_the_interval_but_never_past_the_prediction() -> None:
    low, high = factors([cell(0.5, 0.0001)], REGIME)
    assert low == 1.0
    assert high > exp(0.5)


def test_cells_that_disagree_widen_it() -> None:
    alike = factors([cell(0.0, 0.01), cell(0.0, 0.01)], REGIME)
    apart = factors([cell(-0.2, 0.01), cell(0.2, 0.01)], REGIME)
    assert apart[0] < alike[0]
    assert apart[1] > alike[1]


def test_runs_of_the_same_regime_count_most() -> None:
    near, far = cell(0.1, 0.0001), cell(-0.3, 0.0001, generation="hopper", bits=8, pipelined=False)
    low, high = factors([near, far], REGIME)
    swapped_low, swapped_high = factors([near, far], far.regime)
    assert low > swapped_low
    assert high > swapped_high


def test_many_runs_of_one_publication_do_not_drown_the_others() -> None:
    few = factors([cell(0.0, 0.0001, count=40), cell(0.3, 0.0001)], REGIME)
    many = factors([cell(0.0, 0.0001, count=40000), cell(0.3, 0.0001)], REGIME)
    assert few == pytest.approx(many, rel=0.05)


def test_without_measurements_nothing_is_known() -> None:
    assert factors([], REGIME) == (0.0, inf)


@given(
    st.lists(
        st.tuples(st.floats(-0.5, 0.5), st.floats(0, 0.1), st.integers(1, 50), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_the_prediction_lies_inside(cells: list[tuple[float, float, int, bool]]) -> None:
    low, high = factors([cell(m, v, count=n, pipelined=p) for m, v, n, p in cells], REGIME)
    assert 0 < low <= 1 <= high < inf


def test_an_interval_says_what_it_rests_on() -> None:
    low, high, notes = interval(*planned("vtrain-multi-node"))
    assert low <= 1 <= high
    assert notes[0].startswith(f"{LEVEL:.0%} interval from ")
    assert len(notes) == 1


def test_extrapolation_is_said() -> None:
    scenario, plan = planned("torchtitan-a100")
    known = shipped_residuals()
    assert extrapolations(scenario, plan, known) == ()

    low_precision = replace(scenario, job=replace(scenario.job, precision="fp8"))
    assert extrapolations(low_precision, plan, known) == (
        "no measured run with fp8 on a100-sxm-80gb",
    )
    longer = replace(scenario, job=replace(scenario.job, seq_length=10**6))
    assert "tokens a sequence" in extrapolations(longer, plan, known)[0]
    assert extrapolations(scenario, replace(plan, schedule="zb-v"), known) == (
        "no measured run with schedule zb-v",
    )
    profile = scenario.job.software.model_copy(update={"name": "my-fork"})
    forked = replace(scenario, job=replace(scenario.job, software=profile))
    assert extrapolations(forked, plan, known) == ("no measured run with software profile my-fork",)


def test_an_unknown_device_is_said_and_widens_the_interval() -> None:
    run = some_run("vtrain-multi-node")
    group = run.cluster.node_groups[0]
    other = group.device.model_copy(update={"name": "x1"})
    cluster = replace(run.cluster, node_groups=(replace(group, device=other),))
    known, unknown = plan_run(run), plan_run(replace(run, cluster=cluster))
    before = interval(known.scenario, known.plan)
    after = interval(unknown.scenario, unknown.plan)
    assert "no measured run on x1" in after.notes
    assert before.notes != after.notes


def test_plans_of_one_job_tie_by_what_differs_among_them() -> None:
    """At a standard deviation of 5 % the order is right nine times in ten from 9.5 % on."""
    known = replace(shipped_residuals(), within_groups=0.05)
    margin = 1.2816 * 2**0.5 * 0.05
    assert tied(1.0, exp(0.99 * margin), residuals=known)
    assert tied(exp(0.99 * margin), 1.0, residuals=known)
    assert not tied(1.0, exp(1.01 * margin), residuals=known)
    assert 0.005 < shipped_residuals().within_groups < 0.2


def test_memory_has_its_own_interval() -> None:
    scenario, plan = planned("bloom-a100")
    device = memory_interval(scenario, plan)
    allocated = memory_interval(scenario, plan, kind="allocated")
    assert device.low <= 1 <= device.high
    assert "device memory" in device.notes[0]
    assert (device.low, device.high) != (allocated.low, allocated.high)


def test_regimes_of_known_runs() -> None:
    small = regime("vtrain-single-node")
    assert (small.generation, small.bits, small.networked) == ("ampere", 16, False)
    mixed = regime("amp-v100-t4")
    assert (mixed.generation, mixed.networked) == ("mixed", True)
    rack = regime("bridge-gb300")
    assert (rack.generation, rack.networked) == ("blackwell", False)


@pytest.mark.parametrize(
    ("name", "generation"),
    [("gb200", "blackwell"), ("H100-sxm", "hopper"), ("mi300x", "cdna"), ("tpu", "other")],
)
def test_generations_by_name(name: str, generation: str) -> None:
    assert device_generation(name) == generation


def test_a_tiny_model_waits_for_the_host_unless_graphs_are_recorded(write_runs: WriteRuns) -> None:
    small = {"hidden_size": 128, "num_attention_heads": 4, "vocab_size": 512}
    tiny = {"model": small, "devices": 1, "seq_length": 64}
    one = plan_run(load_runs(write_runs(tiny)).runs[0])
    scenario, plan = one.scenario, one.plan
    assert host_share(estimate(scenario, plan)) > 0.1
    graphs = scenario.job.software.model_copy(update={"cuda_graphs": True})
    recorded = replace(scenario, job=replace(scenario.job, software=graphs))
    assert host_share(estimate(recorded, plan)) == 0.0


def test_most_measured_times_lie_inside_intervals_made_without_their_publication() -> None:
    """The test of the method: a publication judged by the others."""
    validation = validate_files([resolve("runs", name) for name in list_shipped("runs")])
    outcomes = [
        (
            publication(source.source),
            regime_of(result.scenario, result.plan, result.estimate),
            log(result.step.measured / result.step.predicted),
        )
        for source in validation.sources
        for result in source.results
        if result.step is not None
    ]
    assert held_out_coverage(residuals_of(validation), outcomes) > LEVEL - 0.08
