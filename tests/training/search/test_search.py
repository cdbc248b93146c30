"""The search as its callers see it: ranking, proof, limits, repeatability, nothing that fits."""

from __future__ import annotations

from itertools import count, pairwise
from typing import TYPE_CHECKING

import pytest

from planner.budget import Budget
from planner.training.estimate import estimate
from planner.training.search.best_first import queue
from planner.training.search.plans.build import check_plan, plan_values
from planner.training.search.search import Progress, search
from planner.training.search.space.restrictions import Restrictions
from tests.training.search.conftest import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario


@pytest.fixture(scope="module")
def scenario(scenario_of: Callable[..., Scenario]) -> Scenario:
    return scenario_of(length=4096, memory_gib=4, batch=32)


@pytest.fixture(scope="module")
def hopeless(scenario_of: Callable[..., Scenario]) -> Scenario:
    return scenario_of(length=4096, memory_gib=2.2)


def test_plans_are_ranked_valid_distinct_and_priced_as_estimate_does(scenario: Scenario) -> None:
    result = search(scenario, top=8)
    assert [ranked.rank for ranked in result.plans] == list(range(1, 9))
    assert all(a.estimate.step_s <= b.estimate.step_s for a, b in pairwise(result.plans))
    combinations = {tuple(plan_values(scenario, ranked.plan).items()) for ranked in result.plans}
    assert len(combinations) == 8
    for ranked in result.plans:
        check_plan(scenario, ranked.plan)
        assert estimate(scenario, ranked.plan) == ranked.estimate
        assert ranked.estimate.memory.fits


def test_the_same_search_gives_the_same_result(scenario: Scenario) -> None:
    assert search(scenario, top=6) == search(scenario, top=6)


def test_more_plans_begin_with_the_fewer(scenario: Scenario) -> None:
    few, many = search(scenario, top=3), search(scenario, top=12)
    assert many.plans[:3] == few.plans
    assert few.refined <= many.refined


def test_all_refined_leaves_no_bound(scenario: Scenario) -> None:
    result = search(scenario, restrictions=Restrictions(tensor=(8,), micro_batch_size=(1,)), top=99)
    assert result.refined == result.fitting == len(result.plans) > 0
    assert result.bound_s is None
    assert result.proven


def test_restrictions_narrow_the_answer(scenario: Scenario) -> None:
    restrictions = Restrictions(
        pipeline=(2, 3), recompute=("full",), sequence_parallel=(False,), virtual_stages=(1,)
    )
    for ranked in search(scenario, restrictions=restrictions).plans:
        assert ranked.plan.degrees.pipeline == 2
        assert ranked.plan.recompute.granularity == "full"
        assert not ranked.plan.sequence_parallel
        assert ranked.plan.virtual_stages == 1


def test_sequence_parallel_on_leaves_tensor_one_in(scenario_of: Callable[..., Scenario]) -> None:
    result = search(scenario_of(), restrictions=Restrictions(sequence_parallel=(True,)), top=500)
    plans = [ranked.plan for ranked in result.plans]
    assert any(plan.degrees.tensor == 1 for plan in plans)
    assert all(plan.sequence_parallel == (plan.degrees.tensor > 1) for plan in plans)


def test_progress_is_told(scenario: Scenario) -> None:
    told: list[Progress] = []
    result = search(scenario, top=2, progress=told.append)
    assert list(dict.fromkeys(one.phase for one in told)) == [
        "bounding",
        "refining",
        "layouts",
        "modules",
    ]
    assert told[-1].candidates == result.candidates
    assert told[-1].fitting == result.fitting
    assert told[-1].refined == result.refined
    assert told[-1].best_step_s == result.plans[0].estimate.step_s
    assert told[-1].bound_s is not None


class Interrupting:
    """A progress callback that stands for Ctrl-C at a certain call of a phase."""

    def __init__(self, phase: str, refined: int = 0) -> None:
        self.phase, self.refined = phase, refined

    def __call__(self, progress: Progress) -> None:
        if progress.phase == self.phase and progress.refined >= self.refined:
            raise KeyboardInterrupt


def test_interrupted_refinement_returns_the_best_so_far(scenario: Scenario) -> None:
    result = search(scenario, top=5, progress=Interrupting("refining", refined=3))
    assert result.stopped == "interrupted"
    assert not result.proven
    assert result.refined == len(result.plans) == 3
    assert result.bound_s is not None
    worst = result.plans[-1].estimate.step_s
    assert result.combination_gap == pytest.approx(max(0.0, 1 - result.bound_s / worst))
    best = search(scenario, top=1, improve=None).plans[0].estimate.step_s
    assert result.bound_s <= best or result.plans[0].estimate.step_s == best


@pytest.mark.parametrize("pricing", range(1, 6))
def test_a_step_cut_short_claims_nothing_of_what_it_worked_on(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, pricing: int
) -> None:
    """An interrupt while the n-th plan is priced: that plan may still be the best."""
    best_s = search(scenario, top=1, improve=None).plans[0].estimate.step_s
    calls = count(1)

    def interrupted(*arguments: object, **named: object) -> object:
        if next(calls) == pricing:
            raise KeyboardInterrupt
        return estimate(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("planner.training.search.best_first.refine.estimate", interrupted)
    result = search(scenario, top=5, improve=None)
    assert result.stopped == "interrupted"
    assert result.bound_s is not None
    found = [plan.estimate.step_s for plan in result.plans]
    assert len(found) == pricing - 1
    assert min([result.bound_s, *found]) <= best_s
    if found:
        assert result.combination_gap == pytest.approx(max(0.0, 1 - result.bound_s / found[-1]))


def test_interrupted_bounding_returns_no_plans_and_no_claim(scenario: Scenario) -> None:
    result = search(scenario, progress=Interrupting("bounding"))
    assert result.stopped == "interrupted"
    assert result.plans == ()
    assert result.bound_s is None
    assert result.gap == 1.0
    assert not result.proven


def test_an_interrupt_while_explaining_keeps_what_is_known(hopeless: Scenario) -> None:
    kept = Restrictions(**KEPT)
    result = search(hopeless, restrictions=kept, progress=Interrupting("explaining"))
    assert result.stopped == "interrupted"
    assert result.nothing_fits
    assert result.fitting == 0
    assert result.candidates > 0


class Clock:
    """A clock that stands still until `after` says that a search is far enough."""

    def __init__(self, after: Callable[[Progress], bool]) -> None:
        self.now_s, self._after = 0.0, after

    @property
    def budget(self) -> Budget:
        return Budget(deadline_s=1.0, clock=lambda: self.now_s)

    def told(self, progress: Progress) -> None:
        if self._after(progress):
            self.now_s = 100.0


def test_the_time_limit_still_gives_a_plan(scenario: Scenario) -> None:
    clock = Clock(lambda progress: progress.fitting > 0)
    result = search(scenario, top=5, budget=clock.budget, progress=clock.told)
    assert result.stopped == "time limit"
    assert not result.proven
    assert len(result.plans) == 1
    assert result.gap == 1.0
    assert result.bound_s is None


def test_the_time_limit_in_refinement_states_the_gap(scenario: Scenario) -> None:
    """With nothing else left to bound: choices of modules would need time for theirs."""
    clock = Clock(lambda progress: progress.refined >= 2)
    stated = Restrictions(recompute=("none", "selective", "full"))
    result = search(scenario, restrictions=stated, top=5, budget=clock.budget, progress=clock.told)
    assert result.stopped == "time limit"
    assert result.refined == 2
    assert result.bound_s is not None
    assert 0.0 <= result.gap < 1.0


def test_windows_do_not_change_the_answer(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(scenario, top=5)
    monkeypatch.setattr(queue, "FIRST_WINDOW", 1)
    assert search(scenario, top=5).plans == whole.plans


def test_nothing_fits_says_what_is_missing(hopeless: Scenario) -> None:
    result = search(hopeless, restrictions=Restrictions(**KEPT))
    assert result.plans == ()
    assert result.fitting == 0
    assert result.stopped == "proven"
    assert len(result.nearest) == 3
    lacking = [-miss.estimate.memory.binding.spare_bytes for miss in result.nearest]
    assert lacking == sorted(lacking)
    assert lacking[0] > 0
    nearest = result.nearest[0]
    binding = nearest.estimate.memory.binding
    assert nearest.reason.startswith(
        f"stage {binding.stage} needs {binding.peak_bytes / 2**30:.1f} GiB of 2.2 (2.1 after"
    )
    for miss in result.nearest:
        check_plan(hopeless, miss.plan)
        assert estimate(hopeless, miss.plan) == miss.estimate


def test_the_closest_miss_lacks_the_least(
    hopeless: Scenario, every_combination: Callable[..., list[int]]
) -> None:
    closest = search(hopeless, restrictions=Restrictions(**KEPT)).nearest[0]
    assert -closest.estimate.memory.binding.spare_bytes == min(every_combination(hopeless))


def test_changes_that_would_fit_do_fit(hopeless: Scenario) -> None:
    changes = search(hopeless, restrictions=Restrictions(recompute=("none",), **KEPT)).changes
    assert changes
    assert any("nodes instead of 1" in change.description for change in changes)
    assert any(change.description.startswith("--seq-length") for change in changes)
    assert all(change.estimate.memory.fits for change in changes)


def test_taking_an_option_back_is_proposed_first(scenario_of: Callable[..., Scenario]) -> None:
    scenario = scenario_of(length=4096, memory_gib=4, batch=32)
    restrictions = Restrictions(tensor=(1,), micro_batch_size=(8,))
    result = search(scenario, restrictions=restrictions)
    assert result.plans == ()
    assert result.changes[0].description.startswith(("--tensor ", "--micro-batch-size "))
    options = [c for c in result.changes if c.description.startswith(("--tensor", "--micro"))]
    assert [c.estimate.step_s for c in options] == sorted(c.estimate.step_s for c in options)


def test_a_smaller_headroom_is_proposed_where_it_helps(
    scenario_of: Callable[..., Scenario],
) -> None:
    one = Restrictions(
        tensor=(8,),
        micro_batch_size=(1,),
        recompute=("none",),
        sequence_parallel=(True,),
        **KEPT,
    )
    roomy = search(scenario_of(length=4096), restrictions=one).plans[0]
    needed_gib = roomy.estimate.memory.binding.peak_bytes / 2**30
    scenario = scenario_of(length=4096, memory_gib=needed_gib / 0.9, headroom=0.2)
    result = search(scenario, restrictions=one)
    assert result.plans == ()
    described = [change.description for change in result.changes]
    assert "--headroom 9.9%" in described or "--headroom 10.0%" in described
