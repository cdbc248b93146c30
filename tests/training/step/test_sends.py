"""How sends are made and over which links, by framework and schedule."""

from __future__ import annotations

import numpy as np
import pytest

from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.batch import Batch
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import parse_restrictions
from planner.training.step.sends import boundary_sends, send_mode
from planner.workload.stages import stage_load


@pytest.mark.parametrize(
    ("profile", "schedule", "overlap", "mode"),
    [
        ("megatron-lm-2021", "1f1b", (), "blocking"),
        ("megatron-lm-2021", "interleaved", (), "paired"),
        ("megatron-core", "interleaved", ("pipeline",), "overlapped"),
        ("megatron-core", "1f1b", ("pipeline",), "blocking"),
        ("megatron-core", "1f1b-balanced", (), "blocking"),
        ("megatron-core", "1f1b-vocab-1", (), "blocking"),
        ("megatron-core", "zb-h1", (), "asynchronous"),
        ("megatron-core", "v-min", (), "asynchronous"),
        ("megatron-core", "dualpipe-v", (), "paired"),
        ("torchtitan", "1f1b", (), "asynchronous"),
        ("torchtitan", "interleaved", (), "asynchronous"),
        ("torchtitan", "dualpipe", ("pipeline",), "paired"),
        ("deepspeed-3d-2021", "1f1b", (), "blocking"),
        ("internevo", "interleaved", (), "paired"),
    ],
)
def test_mode(profile: str, schedule: str, overlap: tuple[str, ...], mode: str) -> None:
    software = load_software(profile).model_copy(update={"overlap": overlap})
    assert send_mode(software, schedule) == mode


def batch(schedule: str) -> tuple[Scenario, Batch]:
    """Four stages on two nodes: only the boundary between stages 1 and 2 crosses the network."""
    model = load_model("gpt-7.5b")
    job = build_job(
        model, load_software("megatron-core"), devices=16, global_batch_size=64, precision="bf16"
    )
    of = build_scenario(load_cluster("dgx-a100-8"), model, job)
    flags = {"tensor": "4", "pipeline": "4", "schedule": schedule}
    if schedule == "interleaved":
        flags["virtual_stages"] = "2"
    plan = plan_from_flags(of, parse_restrictions(flags))
    load = stage_load(model, of.kinds, plan.stages)
    return of, batch_of_one(plan, 0, load)


def slow_boundaries(schedule: str) -> tuple[list[int], list[int]]:
    of, one = batch(schedule)
    table = cost_table(of, [shard_of(plan_from_flags(of, parse_restrictions({"tensor": "4"})))])
    found = boundary_sends(of, table, one)
    slowest = found.forward_s.max()
    np.testing.assert_allclose(found.backward_s, found.forward_s)
    return (
        np.flatnonzero(found.forward_s[0] == slowest).tolist(),
        np.flatnonzero(found.forward_s[0] == 0).tolist(),
    )


def test_every_boundary_takes_the_link_between_its_stages() -> None:
    assert slow_boundaries("1f1b") == ([1], [])
    assert slow_boundaries("interleaved") == ([1, 3, 5], [])
    assert slow_boundaries("v-half") == ([1, 5], [3])
