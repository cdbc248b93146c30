"""Searches on clusters with unequal links: `python -m benchmarks.placement --searches`."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from time import process_time
from typing import Any

import numpy as np

from planner.budget import Budget
from planner.specs.cluster.spec import BandwidthMatrix
from planner.specs.job import build_job
from planner.specs.load import load_model, load_software, parse_cluster
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

TIERS = [
    {"name": "leaf", "nodes": 8},
    {"name": "pod", "nodes": 32, "oversubscription": 1.4},
    {"name": "spine", "oversubscription": 2.8},
]
SLOW = (10, 66, 77, 98, 103, 107, 122, 124)
"""Of 128 nodes, those whose cards reach two fifths."""

LARGE_TIERS = [
    {"name": "leaf", "nodes": 32},
    {"name": "pod", "nodes": 256, "oversubscription": 1.4},
    {"name": "spine", "oversubscription": 2.8},
]
SLOW_OF_1024 = (82, 447, 530, 621, 733, 788, 829, 861, 976, 995)

CONTINENTS, REGIONS = 3, 12
NEAR_BYTES_PER_S, FAR_BYTES_PER_S = (60e6, 260e6), (9e6, 35e6)
NEAR_S, FAR_S = (4e-3, 35e-3), (40e-3, 130e-3)
"""One way between regions of a continent and of two: from the slowest to the fastest pair, as
public clouds have them over the internet."""


def scenario(
    model_name: str,
    nodes: int,
    slow: tuple[int, ...],
    *,
    tiers: list[dict[str, Any]] | None,
    links: list[dict[str, Any]] | None = None,
) -> Scenario:
    """Nodes of eight A100; `links` between two of them that differ from the rest."""
    group: dict[str, Any] = {
        "device": "a100-sxm-80gb",
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "300 GB/s"},
    }
    ends = sorted({0, nodes, *slow, *(node + 1 for node in slow)})
    groups = [
        {
            **group,
            "name": f"n{first}",
            "count": last - first,
            "network": {"cards": 8, "bandwidth": "10 GB/s" if first in slow else "25 GB/s"},
        }
        for first, last in pairwise(ends)
    ]
    network: dict[str, Any] = {"fabric": {"tiers": tiers}} if tiers else {}
    if links:
        network["links"] = {"overrides": links}
    cluster = parse_cluster({"name": "unequal", "node_groups": groups, **network}).sized()
    model, software = load_model(model_name), load_software("megatron-core")
    job = build_job(model, software, devices=8 * nodes)
    return build_scenario(cluster, model, job)


def regions() -> Scenario:
    """A node in each of twelve regions of three continents, joined over the internet."""
    rng = np.random.default_rng(7)
    links = []
    for one, two in combinations(range(REGIONS), 2):
        near = one % CONTINENTS == two % CONTINENTS
        rate = rng.uniform(*(NEAR_BYTES_PER_S if near else FAR_BYTES_PER_S))
        latency = rng.uniform(*(NEAR_S if near else FAR_S))
        link = {"bandwidth": f"{rate:.0f} B/s", "latency": f"{latency * 1e3:.1f} ms"}
        links.append({"between": [f"n0-{one}", f"n0-{two}"], **link})
    wide = {"name": "wide-area", "bandwidth": "20 MB/s", "latency": "70 ms"}
    tiers: list[dict[str, Any]] = [{"name": "site", "nodes": 1}, wide]
    return scenario("gpt-1.7b", REGIONS, (), tiers=tiers, links=links)


def measured(base: Scenario, slow: int | None) -> Scenario:
    """Links between nodes of one card each that differ a little, and one slow node."""
    nodes = base.topology.nodes
    rates = np.random.default_rng(7).uniform(16.9e9, 19.7e9, (nodes, nodes))
    if slow is not None:
        rates[slow] *= 0.4
        rates[:, slow] *= 0.4
    matrix = BandwidthMatrix(bytes_per_s=tuple(map(tuple, rates.tolist())), path="measured")
    return build_scenario(replace(base.cluster, matrix=matrix), base.model, base.job)


def searches(limit_s: float | None = None) -> None:
    """Prints a row for each cluster: the best step, the gap of the list and of the best plan alone,
    the parts of the gap, and the best found on fewer nodes."""
    small = scenario("megatron-22b", 16, (), tiers=None)
    every, tensor = Restrictions(), Restrictions(tensor=(8,))
    cases = {
        "128 nodes, tiers, 175B": (scenario("gpt3-175b", 128, (), tiers=TIERS), every),
        "128, tiers, 8 slow, 175B": (scenario("gpt3-175b", 128, SLOW, tiers=TIERS), every),
        "128, tiers, 8 slow, 22B": (scenario("megatron-22b", 128, SLOW, tiers=TIERS), every),
        "1,024, tiers, 10 slow, 175B": (
            scenario("gpt3-175b", 1024, SLOW_OF_1024, tiers=LARGE_TIERS),
            every,
        ),
        "16 measured, 22B, TP 8": (measured(small, None), tensor),
        "16 measured, 1 slow, 22B, TP 8": (measured(small, 5), tensor),
        "12 regions, 1.7B": (regions(), every),
    }
    columns = f"{'best s':>9}{'gap':>8}{'of best':>9}{'others':>8}{'hosts':>8}{'layouts':>9}"
    print(f"{'three best plans':32}{columns}{'CPU s':>7}  fewer nodes")
    for name, (case, restrictions) in cases.items():
        start_s = process_time()
        budget = Budget.lasting(limit_s)
        found = search(case, restrictions=restrictions, top=3, budget=budget)
        fewer = found.fewer_nodes
        parts = (found.combination_gap, found.placement_gap, found.layout_gap)
        print(
            f"{name:32}{found.plans[0].estimate.step_s:9.4f}{max(parts):8.2%}{found.best_gap:9.2%}"
            f"{parts[0]:8.2%}{parts[1]:8.2%}{parts[2]:9.2%}{process_time() - start_s:7.1f}"
            + ("" if fewer is None else f"  {fewer.nodes}: {fewer.step_s:.4g} s"),
            flush=True,
        )
