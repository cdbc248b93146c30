"""Bounds over all spreads of interleaved layers where a node with slow links cannot be left out,
against random layouts on hosts in random orders, priced in full."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.errors import RuleError
from planner.training.estimate import point_estimate
from planner.training.scenario import build_scenario
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.fitting import batch_of
from planner.training.search.bounding.quick import BELOW
from planner.training.search.bounding.slow_rows import SlowRows
from planner.training.search.hosts.placement import placement_on
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import instances
from tests.training.search.bounding.test_every_layout import (
    LAYERS,
    random_layout,
    spread_anew,
    spread_bounds_s,
)
from tests.training.search.conftest import small_scenario
from tests.training.search.hosts.test_true_bounds import slow_cards

if TYPE_CHECKING:
    from planner.training.scenario import Scenario

SPACE = Restrictions(schedule=("interleaved",), micro_batch_size=(1, 2), virtual_stages=(2, 3))


def slow_cluster(rng: np.random.Generator) -> Scenario:
    """A small job on nodes of which one or two are slow; layers may communicate over nodes."""
    nodes = int(rng.choice([4, 8]))
    size: dict[str, Any] = {
        "devices_per_node": int(rng.choice([1, 2])),
        "layers": LAYERS,
        "batch": int(rng.choice([16, 32])),
        "length": int(rng.choice([1024, 4096])),
        "software": str(rng.choice(["megatron-core", "megatron-lm-2021"])),
        "framework": {
            "overlap": ((), ("gradient_reduce", "parameter_gather"), ("pipeline",))[
                int(rng.integers(3))
            ]
        },
        "tie": bool(rng.integers(2)),
    }
    scenario = small_scenario(nodes=nodes, **size)
    cluster = slow_cards(scenario.cluster, (1, nodes - 1)[: int(rng.integers(1, 3))])
    return build_scenario(cluster, scenario.model, scenario.job)


def check(seed: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Checks one combination; returns whether the slow node raises its bound."""
    rng = np.random.default_rng(seed)
    scenario = slow_cluster(rng)
    run = SearchRun(scenario=scenario, restrictions=SPACE, top=1)
    try:
        run.bound()
    except RuleError:
        return False
    groups = [*run.space.fitting, *run.space.elsewhere]
    if not groups:
        return False
    group = groups[int(rng.integers(len(groups)))]
    index = int(rng.integers(len(group)))
    table = run.space.growing.table
    batch = batch_of(scenario.ideal, group, np.array([index]), np.ones(1, dtype=np.int64))
    bound_s = BELOW * float(spread_bounds_s(scenario.ideal, table, batch)[0])
    plan = plan_at(scenario, group, index, 1)
    hosts = np.array(scenario.cluster.host_names())
    for layout in (plan, *(spread_anew(plan, rng) for _ in range(2)), random_layout(plan, rng)):
        for _ in range(2):
            placement = placement_on(scenario, tuple(rng.permutation(hosts).tolist()))
            found = point_estimate(scenario, replace(layout, placement=placement))
            assert not found.memory.fits or found.step_s >= bound_s * (1 - 1e-9), seed
    with monkeypatch.context() as patched:
        patched.setattr(SlowRows, "of", lambda *_: None)
        without_s = BELOW * float(spread_bounds_s(scenario.ideal, table, batch)[0])
    assert bound_s >= without_s * (1 - 1e-3)
    return bound_s > without_s * 1.001


def test_no_layout_on_any_hosts_beats_bounds_with_a_slow_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised = sum(check(seed, monkeypatch) for seed in range(instances(6, 300)))
    assert raised >= instances(2, 60)
