"""The closed-form bound of pools against the program that it bounds."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from planner.api import load_cluster, load_model
from planner.budget import UNLIMITED
from planner.serving.load.lengths import ClosedLoad
from planner.serving.search.apart import apart_of
from planner.serving.search.columns import Column, PoolSpace, carried_of, columns_of, pool_space
from planner.serving.search.goal import Goal, goal_of
from planner.serving.search.job import ServingJob
from planner.serving.search.relaxed import Relaxation
from planner.serving.search.space import Allowed, space_of
from planner.solver import Solver
from planner.solver.pools import PoolsProblem, solve_pools
from planner.specs.engine import load_engine

LOAD = ClosedLoad(concurrency=24, input_tokens=900, output_tokens=90, least=0.8, rounds=4)
ALLOWED = Allowed(weights=("bf16",), kv_formats=("bf16",), pipeline=(1,), max_step_tokens=(8192,))


def given(cluster: str, clients: float | None) -> tuple[list[Column], PoolSpace, Goal]:
    spec = load_cluster(cluster)
    spec = spec if len(spec.node_groups) > 1 else spec.sized(nodes=1)
    goal = goal_of("throughput", None, spec)
    job = ServingJob(
        cluster=spec,
        model=load_model("llama-3-8b"),
        engine=load_engine("sglang"),
        load=LOAD,
        clients=clients,
        goal=goal,
        allowed=ALLOWED,
    )
    kinds = space_of(spec.node_groups, job.rooms, job.model, job.engine, ALLOWED, LOAD).kinds
    space = pool_space(job, kinds)
    return columns_of(space, LOAD, goal), space, goal


@pytest.mark.parametrize(
    ("cluster", "clients"),
    [("dgx-h100-16", 30.0), ("dgx-h100-16", None), ("mixed-a100-h100-16", 150.0)],
)
def test_no_counts_are_above_the_bound_of_the_kinds_they_use(
    cluster: str, clients: float | None
) -> None:
    columns, space, goal = given(cluster, clients)
    bounds = Relaxation(columns, space, goal, outer=False)
    used = set()
    for seed in range(8):
        kept = Random(seed).sample(range(len(columns)), len(columns) // 2)
        some = [columns[at] for at in kept]
        problem = PoolsProblem(
            workers=tuple(one.workers(goal, outer=False) for one in some),
            rooms=space.rooms,
            clients=clients,
            carried_per_s=carried_of(some),
            apart=apart_of(some),
        )
        answer = solve_pools(problem, Solver(), UNLIMITED)
        if answer is not None:
            assert answer.value <= bounds.bound * (1 + 1e-6)
            for at, count in zip(kept, answer.counts, strict=True):
                if count:
                    used.add(columns[at].role)
                    assert answer.value <= bounds.with_column(at)[0] * (1 + 1e-6)
    assert {"aggregated", "decode"} <= used


def test_a_kind_that_gives_less_has_a_lower_bound() -> None:
    columns, space, goal = given("dgx-h100-16", 24.0)
    alone = [one for one in columns if one.role == "aggregated"]
    bounds = Relaxation(alone, space, goal)
    before = bounds.with_column(1)[0]
    alone[1] = replace(alone[1], rate=alone[1].rate / 2)
    assert Relaxation(alone, space, goal).with_column(1)[0] < before <= bounds.bound
