"""Replicas send over links of their own, and the slowest of them ends the step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.plan import Plan
from planner.specs.cluster.spec import LinkOverride
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, estimate, shard_of
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import parse_restrictions
from planner.training.step.sends import replica_sends
from planner.workload.stages import stage_load

FLAGS = {"tensor": "8", "pipeline": "2"}


def scenario(*slow: tuple[int, int]) -> Scenario:
    model = load_model("gpt-7.5b")
    job = build_job(
        model, load_software("megatron-core"), devices=64, global_batch_size=64, precision="bf16"
    )
    overrides = tuple(LinkOverride(between=pair, bandwidth_bytes_per_s=1e9) for pair in slow)
    cluster = replace(load_cluster("dgx-a100-8"), overrides=overrides)
    return build_scenario(cluster, model, job)


def step_s(of: Scenario, hosts: list[int] | None = None) -> float:
    plan = plan_from_flags(
        of,
        parse_restrictions(FLAGS),
        hosts=None if hosts is None else [f"a100-{host}" for host in hosts],
    )
    return estimate(of, plan).step_s


def sends(of: Scenario) -> int:
    plan: Plan = plan_from_flags(of, parse_restrictions(FLAGS))
    load = stage_load(of.model, of.kinds, plan.stages)
    batch = batch_of_one(plan, 0, load)
    return len(replica_sends(of, cost_table(of, [shard_of(plan)]), batch).forward_s)


def test_replicas_with_equal_links_are_one() -> None:
    assert sends(scenario()) == 1
    assert sends(scenario((0, 4))) == 1
    assert sends(scenario((0, 4), (1, 5))) == 1


def test_the_slowest_replica_ends_the_step() -> None:
    one, two = step_s(scenario((0, 4))), step_s(scenario((0, 4), (1, 5)))
    assert one > 1.2 * step_s(scenario())
    assert two == pytest.approx(one)


def test_each_stage_reduces_over_its_own_links() -> None:
    """A slow link inside either stage costs the step the same reduction, up to the time by which
    the second stage ends earlier."""
    fast, first, second = (step_s(scenario(*pairs)) for pairs in ((), ((0, 1),), ((4, 5),)))
    assert fast < second <= first


def test_a_placement_takes_the_slow_link_off_the_pipeline() -> None:
    """Nodes 0 and 4 no longer meet: they hold the same stage without being neighbours in its
    ring."""
    slow = scenario((0, 4))
    assert step_s(slow, [0, 1, 4, 2, 3, 5, 6, 7]) == pytest.approx(step_s(scenario()))
