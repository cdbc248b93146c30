"""Searches on clusters with unequal links: `python -m benchmarks.placement --searches`."""

from __future__ import annotations

from dataclasses import replace
from time import process_time
from typing import Any

import numpy as np

from planner.specs.cluster.spec import BandwidthMatrix
from planner.specs.job import build_job
from planner.specs.load import load_model, load_software, parse_cluster
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.search import search

TIERS = [
    {"name": "leaf", "nodes": 8},
    {"name": "pod", "nodes": 32, "oversubscription": 1.4},
    {"name": "spine", "oversubscription": 2.8},
]
SLOW = (10, 66, 77, 98, 103, 107, 122, 124)
"""Of 128 nodes, those whose cards reach two fifths."""


def scenario(model_name: str, nodes: int, slow: tuple[int, ...], *, tiers: bool) -> Scenario:
    """Nodes of eight A100."""
    group: dict[str, Any] = {
        "device": "a100-sxm-80gb",
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "300 GB/s"},
    }
    groups = [
        {
            **group,
            "name": f"n{node}",
            "count": 1,
            "network": {"cards": 8, "bandwidth": "10 GB/s" if node in slow else "25 GB/s"},
        }
        for node in range(nodes)
    ]
    network = {"fabric": {"tiers": TIERS}} if tiers else {}
    cluster = parse_cluster({"name": "unequal", "node_groups": groups, **network}).sized()
    model, software = load_model(model_name), load_software("megatron-core")
    job = build_job(model, software, devices=8 * nodes)
    return build_scenario(cluster, model, job)


def measured(base: Scenario, slow: int | None) -> Scenario:
    """Links between nodes of one card each that differ a little, and one slow node."""
    nodes = base.topology.nodes
    rates = np.random.default_rng(7).uniform(16.9e9, 19.7e9, (nodes, nodes))
    if slow is not None:
        rates[slow] *= 0.4
        rates[:, slow] *= 0.4
    matrix = BandwidthMatrix(bytes_per_s=tuple(map(tuple, rates.tolist())), path="measured")
    return build_scenario(replace(base.cluster, matrix=matrix), base.model, base.job)


def searches() -> None:
    """Prints a row for each cluster."""
    small = scenario("megatron-22b", 16, (), tiers=False)
    cases = {
        "128 nodes, tiers, 175B": scenario("gpt3-175b", 128, (), tiers=True),
        "128 nodes, tiers, 8 slow, 175B": scenario("gpt3-175b", 128, SLOW, tiers=True),
        "128 nodes, tiers, 8 slow, 22B": scenario("megatron-22b", 128, SLOW, tiers=True),
        "16 nodes measured, 22B": measured(small, None),
        "16 nodes measured, 1 slow, 22B": measured(small, 5),
    }
    print(f"{'three best plans':34}{'best s':>9}{'gap':>8}{'hosts':>8}{'layouts':>9}{'CPU s':>7}")
    for name, case in cases.items():
        start_s = process_time()
        found = search(case, top=3)
        print(
            f"{name:34}{found.plans[0].estimate.step_s:9.4f}{found.combination_gap:8.2%}"
            f"{found.placement_gap:8.2%}{found.layout_gap:9.2%}{process_time() - start_s:7.1f}",
            flush=True,
        )
