"""Searches that are ended anywhere claim no more than they know."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.budget import Budget, Stopped
from planner.plan_document import plan_schema, to_document
from planner.reports.console import make_console, render
from planner.reports.nothing import nothing_report
from planner.reports.search import search_report
from planner.specs.cluster.spec import LinkOverride
from planner.training.estimate import estimate
from planner.training.scenario import build_scenario, resized
from planner.training.search.plans.build import check_plan
from planner.training.search.robust import search_worst_case
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import instances
from tests.training.search.conftest import small_scenario

if TYPE_CHECKING:
    from planner.training.scenario import Scenario
    from planner.training.search.result import SearchResult
    from tests.conftest import Samples

TOP = 3
FIRST = 3
"""Looks at the clock before there is a search whose end could be told."""
FEW = Restrictions(
    tensor=(1, 2),
    sequence_parallel=(True,),
    recompute=("none", "full"),
    micro_batch_size=(1, 2),
    virtual_stages=(1, 3),
    schedule=("1f1b", "interleaved"),
)


def with_a_slow_link(scenario: Scenario) -> Scenario:
    slow = LinkOverride(between=(0, 2), bandwidth_bytes_per_s=2e9)
    cluster = replace(scenario.cluster, overrides=(slow,))
    return build_scenario(cluster, scenario.model, scenario.job)


@cache
def scenario_named(name: str) -> Scenario:
    small = partial(small_scenario, layers=6, batch=16)
    return {
        "equal": lambda: small(memory_gib=4, length=4096),
        "modules": lambda: small(memory_gib=3.5, length=4096),
        "hopeless": lambda: small(memory_gib=2.2, length=4096),
        "slow link": lambda: with_a_slow_link(small(nodes=4, devices_per_node=2)),
        "mixed": lambda: small(devices_per_node=2, second_device="h100-sxm-80gb"),
        "tiers": lambda: small(
            nodes=4,
            devices_per_node=2,
            fabric=[{"name": "leaf", "nodes": 2}, {"name": "spine", "oversubscription": 8}],
        ),
        "node lost": lambda: small(nodes=7, devices_per_node=1),
    }[name]()


NAMES = ("equal", "modules", "hopeless", "slow link", "mixed", "tiers", "node lost")


def space_of(name: str) -> Restrictions:
    """Modules are chosen where nothing is said of recomputation."""
    return replace(FEW, recompute=None) if name == "modules" else FEW


class Ticks:
    """A clock that moves on by a second whenever somebody looks at it; `pressed`: it is the user's
    patience that ends."""

    def __init__(self, last: float, *, pressed: bool = False) -> None:
        self.looks, self.last, self.pressed = 0, last, pressed

    def __call__(self) -> float:
        self.looks += 1
        if self.pressed and self.looks > self.last:
            self.last = float("inf")
            raise KeyboardInterrupt
        return 0.0 if self.pressed else float(self.looks)

    @property
    def budget(self) -> Budget:
        return Budget(deadline_s=1e9 if self.pressed else self.last, clock=self)


@cache
def whole(name: str) -> tuple[SearchResult, int]:
    """The search to its end, and how often it looks at its clock."""
    ticks = Ticks(1e9)
    known = search(scenario_named(name), restrictions=space_of(name), top=TOP, budget=ticks.budget)
    return known, ticks.looks


@pytest.mark.parametrize("name", NAMES)
def test_a_time_limit_that_is_not_reached_changes_nothing(name: str) -> None:
    assert whole(name)[0] == search(scenario_named(name), restrictions=space_of(name), top=TOP)


def test_modules_are_chosen_late() -> None:
    assert whole("modules")[0].plans[0].plan.chooses_modules


def test_searches_look_at_their_clock_in_every_phase() -> None:
    assert all(whole(name)[1] > 100 for name in NAMES)


@settings(max_examples=instances(16, 40), deadline=None)
@given(name=st.sampled_from(NAMES), share=st.floats(0.0, 1.05), pressed=st.booleans())
def test_a_search_cut_anywhere_claims_what_is_true(
    samples: Samples, name: str, share: float, pressed: bool
) -> None:
    scenario, (known, looks) = scenario_named(name), whole(name)
    ticks = Ticks(max(FIRST, round(share * looks)), pressed=pressed)
    found = search(scenario, restrictions=space_of(name), top=TOP, budget=ticks.budget)
    assert_true(scenario, found, known)
    assert_said(samples, found)


def assert_true(scenario: Scenario, found: SearchResult, known: SearchResult) -> None:
    """What a search found is valid, and nothing it claims is refuted by the one to the end."""
    steps_s = [one.estimate.step_s for one in found.plans]
    assert all(before <= after for before, after in pairwise(steps_s))
    for one in found.plans:
        own = resized(scenario, one.plan.degrees.devices)
        check_plan(own, one.plan)
        assert one.estimate.memory.fits
        assert estimate(own, one.plan) == one.estimate
    best_s = [one.estimate.step_s for one in known.plans]
    if found.bound_s is not None and best_s:
        placed_s = [one.estimate.step_s * (1 - (one.proofs[0].gap or 0.0)) for one in found.plans]
        layouts_s = [step_s * (1 - found.layout_gap) for step_s in steps_s[-1:]]
        assert min([found.bound_s, *placed_s, *layouts_s]) <= best_s[0] * (1 + 1e-9)
    if steps_s and best_s:
        assert steps_s[0] * (1 - found.best_gap) <= best_s[0] * (1 + 1e-9)
        assert found.best_gap <= found.gap
    if found.nothing_fits:
        assert known.plans == ()
    if found.settled and not found.combination_gap:
        assert len(steps_s) == len(best_s)
    if found.stopped is Stopped.PROVEN:
        assert found.proven
    if found.proven:
        assert (found.gap, found.layout_gap, found.placement_gap) == (0, 0, 0)
        assert steps_s == pytest.approx(best_s)
    if not found.plans and not found.nothing_fits:
        assert found.gap == 1
        assert found.stopped is not Stopped.PROVEN


@cache
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(plan_schema())


def assert_said(samples: Samples, found: SearchResult) -> None:
    """Report and document say the same."""
    document = to_document(samples.inputs(), found.plans, search=found)
    schema().validate(document)
    said = document["search"]
    parts = {one: said[f"{one}_gap"] for one in ("combination", "layout", "placement")}
    assert said["gap"] == max(parts.values())
    known = {**parts, "modules": parts["combination"]}
    assert known.get(said["gap_from"], 0.0) == said["gap"]
    gaps = [*parts.values()]
    gaps += [proof["gap"] for plan in document["plans"] for proof in plan["proofs"]]
    assert not (said["proven"] and any(gaps))
    assert said["stopped"] == str(found.stopped)
    report = search_report if found.plans else nothing_report
    text = " ".join(render(report(samples.inputs(), found), make_console()).split())
    assert ("proven best" in text) == bool(found.plans and found.proven)
    assert text.startswith("Nothing fits") == found.nothing_fits
    assert text.startswith("No answer yet") == (not found.plans and not found.nothing_fits)


@cache
def worst_case() -> tuple[SearchResult, int]:
    """The search for the worst case to its end, and how often it looks at its clock."""
    ticks = Ticks(1e9)
    run = partial(search, restrictions=FEW, top=TOP)
    return search_worst_case(scenario_named("slow link"), 0.2, run, ticks.budget), ticks.looks


@settings(max_examples=instances(4, 8), deadline=None)
@given(share=st.floats(0.0, 1.05), pressed=st.booleans())
def test_a_worst_case_cut_anywhere_claims_what_is_true(
    samples: Samples, share: float, pressed: bool
) -> None:
    scenario = scenario_named("slow link")
    run = partial(search, restrictions=FEW, top=TOP)
    known, looks = worst_case()
    cut = Ticks(max(FIRST, round(share * looks)), pressed=pressed)
    found = search_worst_case(scenario, 0.2, run, cut.budget)
    assert_said(samples, found)
    assert found.robustness is not None
    for one in found.plans:
        assert estimate(scenario, one.plan) == one.estimate
        assert one.worst_step_s is not None
    if found.proven:
        assert [one.plan for one in found.plans] == [one.plan for one in known.plans]
    if found.plans and found.plans[0].plan == known.plans[0].plan:
        assert found.robustness.link is None or found.robustness == known.robustness
