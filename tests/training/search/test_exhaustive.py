"""The search against the naive one that estimates every combination."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import RuleError
from planner.training.search.hosts.placement import placement_on
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import EVERY_INSTANCE, instances
from tests.training.search.conftest import KEPT
from tests.training.search.pricing import Pricing

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.plan import Estimate, Plan
    from planner.training.scenario import Scenario

    Naive = Callable[[Scenario, Restrictions], tuple[int, list[tuple[Plan, Estimate]]]]

NOTHING = Restrictions()
FEW = Restrictions(micro_batch_size=(1, 2))
SIX = {"devices_per_node": 6, "heads": 12, "groups": 6, "hidden": 1536, "batch": 12, "layers": 7}
MIXED = {"nodes": 2, "devices_per_node": 2, "second_device": "h100-sxm-80gb"}
FABRIC = [{"name": "leaf", "nodes": 2}, {"name": "wide", "bandwidth": "2 GB/s"}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "restrictions"),
    [
        ({"length": 4096}, NOTHING),
        ({"length": 4096, "memory_gib": 3}, NOTHING),
        ({"length": 4096, "memory_gib": 4, "tie": True}, NOTHING),
        ({**SIX, "length": 4096, "memory_gib": 6}, FEW),
        ({"experts": 4, "length": 2048, "memory_gib": 3.5, "batch": 8}, FEW),
        ({"experts": 4, "first_dense": 2, "length": 2048, "memory_gib": 3, "batch": 4}, FEW),
        ({"length": 8192, "memory_gib": 3.5, "batch": 4}, FEW),
        ({"length": 4096, "memory_gib": 3.5, "batch": 32}, Restrictions(recompute=("full",))),
        (
            {"memory_gib": 3},
            Restrictions(context=(1, 2), virtual_stages=(1, 3), micro_batch_size=(1, 2)),
        ),
        ({"software": "megatron-lm-2021", "length": 2048, "memory_gib": 3.5}, NOTHING),
        ({"software": "torchtitan", "memory_gib": 3}, Restrictions(tensor=(1, 2, 8))),
        (
            {"memory_gib": 3, "layers": 8, "length": 2048},
            Restrictions(
                schedule=("1f1b", "zb-h1", "zb-h2", "v-half", "v-min", "zb-v"),
                tensor=(1, 2),
                micro_batch_size=(1,),
            ),
        ),
        (
            {"memory_gib": 3, "layers": 8, "length": 2048, "batch": 32, "tie": True},
            Restrictions(
                schedule=("1f1b-vocab-1", "1f1b-vocab-2", "interlaced-vocab", "1f1b"),
                tensor=(1, 2),
                micro_batch_size=(1, 4),
            ),
        ),
        (
            {"software": "torchtitan", "memory_gib": 4, "layers": 8, "batch": 32},
            Restrictions(
                schedule=("dualpipe", "dualpipe-v", "looped-bfs"),
                tensor=(1, 2),
                micro_batch_size=(1, 2),
            ),
        ),
        (
            {"memory_gib": 4, "layers": 8, "batch": 16},
            Restrictions(schedule=("1f1b-balanced", "1f1b"), recompute=("none", "full")),
        ),
    ],
)
def test_finds_what_trying_everything_finds(
    scenario_of: Callable[..., Scenario],
    every_plan: Naive,
    size: dict[str, Any],
    restrictions: Restrictions,
) -> None:
    agree(scenario_of(**size), restrictions, every_plan)


@pytest.mark.slow
@settings(max_examples=instances(6, 12), deadline=None)
@given(data=st.data())
def test_finds_what_trying_everything_finds_anywhere(
    scenario_of: Callable[..., Scenario], every_plan: Naive, data: st.DataObject
) -> None:
    draw = data.draw
    scenario = scenario_of(
        devices_per_node=draw(st.sampled_from([2, 3, 4, 6])),
        nodes=draw(st.sampled_from([1, 2])),
        layers=draw(st.integers(2, 7)),
        heads=12,
        groups=draw(st.sampled_from([2, 12])),
        hidden=1536,
        batch=draw(st.sampled_from([6, 8, 12])),
        memory_gib=draw(st.sampled_from([3.5, 4, 5, 6, 8, 40])),
        length=draw(st.sampled_from([1024, 4096])),
        tie=draw(st.booleans()),
        experts=draw(st.sampled_from([0, 0, 6])),
        first_dense=draw(st.sampled_from([0, 1])),
    )
    restrictions = Restrictions(
        recompute=draw(st.sampled_from([None, ("none",), ("full",)])),
        sequence_parallel=draw(st.sampled_from([None, (True,)])),
        micro_batch_size=draw(st.sampled_from([None, (1, 2), (2, 4)])),
        data_sharding=draw(st.sampled_from([None, ("optimizer",)])),
    )
    agree(scenario, restrictions, every_plan)


@pytest.mark.slow
@pytest.mark.parametrize(
    "size",
    [
        {**MIXED, "memory_gib": 4, "length": 2048},
        {"nodes": 4, "devices_per_node": 2, "memory_gib": 4, "length": 2048, "fabric": FABRIC},
    ],
)
def test_no_order_of_the_hosts_is_better_than_claimed(
    scenario_of: Callable[..., Scenario], every_plan: Naive, size: dict[str, Any]
) -> None:
    scenario = scenario_of(**size)
    restrictions = Restrictions(
        sequence_parallel=(False,), recompute=("none",), micro_batch_size=(1, 2)
    )
    result = search(scenario, restrictions=restrictions, top=1, improve=None)
    found_s = result.plans[0].estimate.step_s
    _, listed = every_plan(scenario, restrictions)
    assert found_s <= listed[0][1].step_s
    names = scenario.cluster.host_names()

    def counts(hosts: tuple[str, ...]) -> bool:
        """One of the orders that differ in hosts alone which have the same device and leaf."""
        first, second, third, last = (hosts.index(name) for name in names)
        return EVERY_INSTANCE or (first < second and third < last)

    orders = [placement_on(scenario, hosts) for hosts in permutations(names) if counts(hosts)]
    price = Pricing(scenario)
    least_s = min(
        cost.step_s
        for plan, _ in listed
        for order in orders
        if (cost := price(replace(plan, placement=order))).memory.fits
    )
    assert found_s * (1 - max(result.gap, result.placement_gap)) <= least_s * (1 + 1e-9)
    assert found_s <= least_s * 1.001


def agree(scenario: Scenario, restrictions: Restrictions, every_plan: Naive) -> None:
    """Same numbers of valid and of fitting combinations, same best times, in the same order; every
    combination with its default stage layout. Mixtures have one dispatcher: of several, those that
    another beats are left out and not counted."""
    restrictions = replace(restrictions, **KEPT)
    if scenario.model.moe is not None:
        restrictions = replace(restrictions, dispatcher=("alltoall",), expert_overlap=(False,))
    number, expected = every_plan(scenario, restrictions)
    if not number:
        with pytest.raises(RuleError):
            search(scenario, restrictions=restrictions)
        return
    result = search(scenario, restrictions=restrictions, top=5, improve=None, idle=False)
    assert result.candidates == number
    assert result.fitting == len(expected)
    assert result.proven
    assert result.combination_gap == 0.0
    times = [ranked.estimate.step_s for ranked in result.plans]
    assert times == pytest.approx([cost.step_s for _, cost in expected[:5]], rel=1e-12)
    assert result.refined <= result.fitting <= result.candidates
