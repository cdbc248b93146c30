"""Links that disjoint paths cannot avoid: against all covers of a few nodes by paths."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from planner.specs.cluster.spec import BandwidthMatrix
from planner.training.scenario import build_scenario
from tests.training.search.conftest import small_scenario


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("nodes", "columns"), [(4, 1), (4, 2), (6, 2), (6, 3)])
def test_no_cover_by_paths_has_a_wider_narrowest_link(seed: int, nodes: int, columns: int) -> None:
    scenario = small_scenario(nodes=6, devices_per_node=1)
    rates = np.random.default_rng(seed).uniform(1e9, 2e10, (6, 6))
    matrix = BandwidthMatrix(bytes_per_s=tuple(map(tuple, rates.tolist())), path="m.csv")
    job = replace(scenario.job, devices=nodes)
    cluster = replace(scenario.cluster, matrix=matrix)
    topology = build_scenario(cluster, scenario.model, job).ideal.topology
    hop = topology.forest_hop(columns)  # type: ignore[attr-defined]
    assert hop is not None
    both_ways, rows = np.minimum(rates, rates.T), nodes // columns
    widest = 0.0
    for order in permutations(range(6), nodes):
        paths = [order[column * rows :][:rows] for column in range(columns)]
        links = [both_ways[path[at], path[at + 1]] for path in paths for at in range(rows - 1)]
        widest = max(widest, min(links))
    assert widest <= hop.bytes_per_s * (1 + 1e-12)
