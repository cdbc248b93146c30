"""Intervals: what they follow from, and what they say about unknown ground."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import exp, inf, log
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.hardware.described import device_from_spec
from planner.plan import Confidence, Interval, Plan
from planner.specs.files.catalog import list_shipped, resolve
from planner.specs.load import load_device, parse_cluster
from planner.specs.runs.build import load_runs
from planner.specs.runs.spec import Run
from planner.training.confidence.interval import (
    DEVIATIONS,
    DEVICE,
    LEVEL,
    confidence_of,
    constants_variance,
    extrapolations,
    factors,
    more_experts,
    tied,
    unmeasured_kinds,
)
from planner.training.confidence.regimes import Regime, device_family, host_share, regime_of
from planner.training.confidence.residuals import STEP, Cell, Residuals, shipped_residuals
from planner.training.estimate import estimate
from planner.training.scenario import Scenario
from planner.validation.planned import plan_run
from planner.validation.residuals import held_out, held_out_coverage
from planner.validation.statistics import likeliest_spread
from planner.validation.validate import validate_files

if TYPE_CHECKING:
    from tests.conftest import WriteRuns

REGIME = Regime(
    family="ampere",
    bits=16,
    host_bound=False,
    long=False,
    size="9 to 64 devices",
    schedule="1f1b",
    networked=True,
    experts=False,
    fully_sharded=False,
)


FOUR_FIGURES = {
    "name": "mine",
    "memory": {"capacity": "24 GiB", "bandwidth": "936 GB/s"},
    "peak": "71 TFLOP/s",
}


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


def ends(cells: list[Cell], regime: Regime = REGIME, quantity: str = STEP) -> tuple[float, float]:
    found = factors(cells, regime, quantity)
    return found.low, found.high


def sureness(name: str, index: int = 0, *, known: Residuals | None = None) -> Confidence:
    scenario, plan = planned(name, index)
    return confidence_of(scenario, plan, estimate(scenario, plan), residuals=known)


def test_one_cell_gives_its_own_spread() -> None:
    """One voice: the spread of a new observation is that of the cell times √2, and
    as wide as two degrees of freedom make it: Student's quantile is 2.920."""
    low, high = ends([cell(0.0, 0.01)])
    reach = 2.920 * 0.1 * 2**0.5
    assert low == pytest.approx(exp(-reach), rel=0.03)
    assert high == pytest.approx(exp(reach), rel=0.03)


def test_publications_with_the_same_numbers_narrow_it() -> None:
    """Student's quantiles with 2, 8 and many degrees of freedom are 2.920, 1.860 and 1.645."""

    def reach(publications: int, measured: bool = True) -> float:
        cells = [replace(cell(0.0, 0.01), publication=f"p{i}") for i in range(publications)]
        voices = (1 + 1 / publications) ** 0.5
        return float(log(factors(cells, REGIME, STEP, measured=measured).high) / (0.1 * voices))

    assert reach(3) == pytest.approx(1.860, rel=0.02)
    assert reach(60) == pytest.approx(1.645, rel=0.02)
    assert reach(60, measured=False) == pytest.approx(2.920, rel=0.06)


def test_uncertain_constants_add_to_the_spread() -> None:
    """Variances add: 0.1² of the cell's and 0.3² of the estimate's own."""
    cells = [replace(cell(0.0, 0.01), publication=f"p{i}") for i in range(60)]
    found = factors(cells, REGIME, STEP, own=0.09)
    assert log(found.high) == pytest.approx(1.645 * 0.1**0.5, rel=0.02)


def test_a_share_that_waits_for_its_host_widens_the_range() -> None:
    """Half of the step at 27 %; a quarter in fixed costs at 60 %."""
    scenario, plan = planned("megatron-sc21")
    cost = estimate(scenario, plan)
    calm = constants_variance(scenario, cost)
    waiting = {**cost.time_detail, "host_bound_s": cost.step_s / 2}
    waits = constants_variance(scenario, replace(cost, time_detail=waiting))
    assert waits - calm == pytest.approx(0.135**2)
    fixed = scenario.job.software.step_overhead.model_copy(update={"value": cost.step_s / 4})
    software = scenario.job.software.model_copy(update={"step_overhead": fixed})
    slow = replace(scenario, job=replace(scenario.job, software=software))
    assert constants_variance(slow, cost) == pytest.approx(0.15**2, rel=0.01)


def test_orders_of_pairs_say_how_close_is_a_tie() -> None:
    """Of pairs that differ by d, Φ(d / (√2 s)) are ordered rightly: with s of 0.1, 76 of 100 at 0.1
    and 92 of 100 at 0.2."""
    pairs = [(0.1, number < 76) for number in range(100)] + [(0.2, n < 92) for n in range(100)]
    assert likeliest_spread(pairs) == pytest.approx(0.1, abs=0.01)
    assert likeliest_spread([]) == 0.0


def test_a_bias_moves_the_interval_but_never_past_the_prediction() -> None:
    low, high = ends([cell(0.5, 0.0001)])
    assert low == 1.0
    assert high > exp(0.5)


def test_cells_that_disagree_widen_it() -> None:
    alike = ends([cell(0.0, 0.01), cell(0.0, 0.01)])
    apart = ends([cell(-0.2, 0.01), cell(0.2, 0.01)])
    assert apart[0] < alike[0]
    assert apart[1] > alike[1]


def test_runs_of_the_same_regime_count_most() -> None:
    near, far = (
        cell(0.1, 0.0001),
        cell(-0.3, 0.0001, family="hopper", bits=8, schedule="one stage"),
    )
    low, high = ends([near, far])
    swapped_low, swapped_high = ends([near, far], far.regime)
    assert low > swapped_low
    assert high > swapped_high


def test_many_runs_of_one_publication_do_not_drown_the_others() -> None:
    few = ends([cell(0.0, 0.0001, count=40), cell(0.3, 0.0001)])
    many = ends([cell(0.0, 0.0001, count=40000), cell(0.3, 0.0001)])
    assert few == pytest.approx(many, rel=0.05)


def test_without_measurements_nothing_is_known() -> None:
    assert ends([]) == (0.0, inf)


@given(
    st.lists(
        st.tuples(st.floats(-0.5, 0.5), st.floats(0, 0.1), st.integers(1, 50), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_the_prediction_lies_inside(cells: list[tuple[float, float, int, bool]]) -> None:
    low, high = ends([cell(m, v, count=n, networked=p) for m, v, n, p in cells])
    assert 0 < low <= 1 <= high < inf


def test_the_step_time_and_memory_have_cells_of_their_own() -> None:
    cells = [cell(0.0, 0.01), cell(0.5, 0.0, quantity="reserved")]
    assert ends(cells) == ends(cells[:1])
    assert ends(cells, quantity=DEVICE) == ends(cells[1:], quantity=DEVICE)


def test_cells_of_the_same_memory_kind_count_more() -> None:
    cells = [cell(0.3, 0.0, quantity="reserved"), cell(-0.3, 0.0, quantity=DEVICE)]
    low, high = ends(cells, quantity=DEVICE)
    other_low, other_high = ends(cells, quantity="reserved")
    assert low < other_low
    assert high < other_high


def test_an_estimate_says_what_its_ranges_rest_on() -> None:
    scenario, plan = planned("vtrain-multi-node")
    cost = estimate(scenario, plan)
    assert cost.confidence == sureness("vtrain-multi-node")
    assert cost.confidence is not None
    assert cost.confidence.level == LEVEL
    for found in (cost.confidence.step, cost.confidence.memory):
        assert 0 < found.low < 1 < found.high < inf
    assert cost.confidence.notes[0].startswith("the ranges rest on ")
    assert len(cost.confidence.notes) == 1
    assert set(cost.confidence.notes) <= set(cost.assumptions)


def test_other_residuals_than_the_shipped_ones() -> None:
    known = replace(shipped_residuals(), cells=(cell(0.0), cell(0.0, 0.04, quantity=DEVICE)))
    found = sureness("vtrain-multi-node", known=known)
    assert found.step == Interval()
    assert found.memory.high == pytest.approx(exp(DEVIATIONS * 0.2 * 2**0.5))


def test_extrapolation_is_said() -> None:
    scenario, plan = planned("torchtitan-a100")
    known = shipped_residuals()
    assert unmeasured_kinds(scenario, known.coverage) == ()
    assert extrapolations(scenario, plan, known) == ()

    low_precision = replace(scenario, job=replace(scenario.job, precision="fp8"))
    assert unmeasured_kinds(low_precision, known.coverage) == (
        "no measured run with fp8 on a100-sxm-80gb: wide ranges",
    )
    longer = replace(scenario, job=replace(scenario.job, seq_length=2 * 10**6))
    assert "tokens a sequence" in extrapolations(longer, plan, known)[0]
    assert extrapolations(scenario, replace(plan, schedule="zb-v"), known) == (
        "no measured run with schedule zb-v",
    )
    profile = scenario.job.software.model_copy(update={"name": "my-fork"})
    forked = replace(scenario, job=replace(scenario.job, software=profile))
    assert extrapolations(forked, plan, known) == ("no measured run with software profile my-fork",)
    assert unmeasured_kinds(forked, known.coverage) == ()
    foreign = profile.model_copy(update={"framework": "accelerate"})
    other = replace(scenario, job=replace(scenario.job, software=foreign))
    without = replace(known.coverage, frameworks=("megatron-lm", "torchtitan"))
    assert unmeasured_kinds(other, without) == (
        "no measured run with framework accelerate: wide ranges",
    )


def test_more_experts_a_device_than_measured_widen_the_interval() -> None:
    """The run itself is measured; had nobody held 16 experts a device, its range would be wider.
    That of a dense model is not."""
    known = shipped_residuals()
    fewer = {key: count // 2 for key, count in known.coverage.most_experts.items()}
    without = replace(known, coverage=replace(known.coverage, most_experts=fewer))
    scenario, plan = planned("modelzoo-h100", 1)
    assert more_experts(scenario, plan, known) == ()
    assert more_experts(scenario, plan, without) == (
        "no measured run with more than 8 experts a device (hopper in 16 bits): wide ranges",
    )
    none = replace(known, coverage=replace(known.coverage, most_experts={}))
    assert more_experts(scenario, plan, none) == (
        "no measured mixture of experts (hopper in 16 bits): wide ranges",
    )
    usual = sureness("modelzoo-h100", 1, known=known).step
    wide = sureness("modelzoo-h100", 1, known=without).step
    assert wide.high > usual.high
    assert wide.low < usual.low
    assert sureness("torchtitan-a100", known=none) == sureness("torchtitan-a100")


def test_an_unknown_device_is_said_and_changes_the_interval() -> None:
    run = some_run("vtrain-multi-node")
    group = run.cluster.node_groups[0]
    other = group.device.model_copy(update={"name": "x1"})
    cluster = replace(run.cluster, node_groups=(replace(group, device=other),))
    known, unknown = plan_run(run), plan_run(replace(run, cluster=cluster))
    before = estimate(known.scenario, known.plan)
    after = estimate(unknown.scenario, unknown.plan)
    assert "no measured run on x1: wide ranges" in after.assumptions
    assert before.confidence is not None
    assert after.confidence is not None
    assert before.confidence.step != after.confidence.step


def test_plans_of_one_job_tie_by_what_differs_among_them() -> None:
    """At a standard deviation of 5 % the order is right nine times in ten from 9.5 % on."""
    known = replace(shipped_residuals(), within_groups=0.05)
    margin = 1.2816 * 2**0.5 * 0.05
    assert tied(1.0, exp(0.99 * margin), residuals=known)
    assert tied(exp(0.99 * margin), 1.0, residuals=known)
    assert not tied(1.0, exp(1.01 * margin), residuals=known)
    assert 0.005 < shipped_residuals().within_groups < 0.2


def test_regimes_of_known_runs() -> None:
    small = regime("vtrain-single-node")
    assert (small.family, small.bits, small.networked) == ("ampere", 16, False)
    assert small.size == "up to 8 devices"
    mixed = regime("amp-v100-t4")
    assert (mixed.family, mixed.networked) == ("mixed", True)
    rack = regime("bridge-gb300")
    assert (rack.family, rack.networked) == ("blackwell", False)


@pytest.mark.parametrize(
    ("described", "family"),
    [
        ({"like": "gb200"}, "blackwell"),
        ({"like": "h100-sxm-80gb", "name": "mine"}, "hopper"),
        ({"generation": "cdna3", **FOUR_FIGURES}, "cdna"),
        ({"generation": "cdna3", "family": "like none", **FOUR_FIGURES}, "like none"),
        (FOUR_FIGURES, "other"),
        ({**FOUR_FIGURES, "name": "h100-in-name-only"}, "other"),
    ],
)
def test_the_family_of_a_device_is_what_its_file_says(
    described: dict[str, Any], family: str
) -> None:
    group = {
        "count": 1,
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "300 GB/s"},
        "device": described,
    }
    cluster = parse_cluster({"node_groups": [group]})
    assert device_family(device_from_spec(cluster.node_groups[0].device)) == family


@pytest.mark.parametrize("name", list_shipped("device"))
def test_every_shipped_device_states_its_family(name: str) -> None:
    assert load_device(name).family


def test_runs_on_a_family_count_for_a_device_that_says_it_is_of_it() -> None:
    run = some_run("vtrain-multi-node")
    group = run.cluster.node_groups[0]
    ranges = []
    for family in ("ampere", None):
        other = group.device.model_copy(update={"name": "x1", "family": family})
        cluster = replace(run.cluster, node_groups=(replace(group, device=other),))
        planned = plan_run(replace(run, cluster=cluster))
        confidence = estimate(planned.scenario, planned.plan).confidence
        assert confidence is not None
        ranges.append(confidence.step)
    assert ranges[0] != ranges[1]


def test_a_tiny_model_waits_for_the_host_unless_graphs_are_recorded(write_runs: WriteRuns) -> None:
    small = {"hidden_size": 128, "num_attention_heads": 4, "vocab_size": 512}
    tiny = {"model": small, "devices": 1, "seq_length": 64}
    one = plan_run(load_runs(write_runs(tiny)).runs[0])
    scenario, plan = one.scenario, one.plan
    assert host_share(estimate(scenario, plan)) > 0.1
    graphs = scenario.job.software.model_copy(update={"cuda_graphs": True})
    recorded = replace(scenario, job=replace(scenario.job, software=graphs))
    assert host_share(estimate(recorded, plan)) == 0.0


@pytest.mark.slow
def test_most_measured_values_lie_inside_intervals_made_without_their_publication() -> None:
    """The test of the method: a publication judged by the others. Device memory was measured by
    three, one of which reports a rank that is not the fullest (docs/model.md)."""
    validation = validate_files([resolve("runs", name) for name in list_shipped("runs")])
    inside, total = held_out_coverage(validation, STEP)
    assert total > 400
    assert inside / total > LEVEL
    by_family = [found for found in held_out(validation, STEP).values() if found[1] >= 10]
    assert all(inside / total >= LEVEL - 0.1 for inside, total in by_family)
    inside, total = held_out_coverage(validation, DEVICE)
    assert total > 40
    assert inside / total > LEVEL - 0.2
