"""Which nodes exchange what, against every group written out rank by rank."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest

import planner.training.traffic as module
from planner import api
from planner.exporters.ranks import grids, positions
from planner.training.traffic import (
    INSIDE_DOMAIN,
    INSIDE_NODE,
    NETWORK,
    JobLinks,
    stages_of_ranks,
    traffic,
)

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("two-site-a100-32", "llama-2-70b", {"tensor": 8, "pipeline": 4}),
    ("mixed-a100-h100-16", "llama-2-13b", {"tensor": 4, "pipeline": 4, "virtual_stages": 2}),
    ("dgx-a100-16", "gpt-7.5b", {"tensor": 16, "pipeline": 2, "context": 2}),
    ("dgx-h100-16", "mixtral-8x7b", {"tensor": 2, "pipeline": 4, "expert": 8}),
    ("gb200-nvl72-18", "llama-3-8b", {"nodes": 16, "tensor": 2, "pipeline": 4}),
]


@pytest.mark.parametrize(("cluster", "model", "flags"), CASES, ids=lambda one: str(one))
def test_pairs_are_those_of_every_group_written_out(
    cluster: str, model: str, flags: dict[str, Any]
) -> None:
    priced = api.estimate(cluster, model, **flags)
    plan, topology = priced.plan, priced.scenario.topology
    grid = dict(zip(("dense", "expert"), grids(plan), strict=True))
    found = {one.axis: one for one in traffic(priced.scenario, plan)}
    for axis, of in (
        ("tensor", "dense"),
        ("context", "dense"),
        ("data", "dense"),
        ("pipeline", "dense"),
        ("expert", "expert"),
    ):
        groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
        for rank in range(topology.devices):
            at = positions(grid[of], rank)
            at.pop(axis)
            groups.setdefault(tuple(at.items()), []).append(rank)
        size = len(next(iter(groups.values())))
        if size == 1:
            assert axis not in found
            continue
        wanted = set()
        for ranks in groups.values():
            nodes = [topology.node_of(rank) for rank in ranks]
            linked = list(pairwise(nodes))
            if axis == "expert":
                linked = list(combinations(nodes, 2))
            elif axis != "pipeline" or plan.virtual_stages > 1:
                linked.append((nodes[-1], nodes[0]))
            wanted |= {(min(pair), max(pair)) for pair in linked if pair[0] != pair[1]}
        assert found[axis].group == size
        assert set(found[axis].pairs) == wanted
        assert (found[axis].reach == INSIDE_NODE) == (not wanted)


def test_stages_of_ranks_are_those_of_the_rank_table() -> None:
    plan = api.estimate("dgx-h100-16", "mixtral-8x7b", tensor=2, pipeline=4, expert=8).plan
    dense, _ = grids(plan)
    stages = [positions(dense, rank)["pipeline"] for rank in range(plan.degrees.devices)]
    assert stages_of_ranks(plan).tolist() == stages


def test_the_narrowest_link_and_how_far_traffic_goes() -> None:
    priced = api.estimate("two-site-a100-32", "llama-2-70b", tensor=8, pipeline=4)
    kinds = {one.axis: one for one in traffic(priced.scenario, priced.plan)}
    assert kinds["pipeline"].reach == "wide-area"
    assert kinds["pipeline"].narrowest_bytes_per_s == 3.125e9
    assert kinds["data"].reach == "site"
    assert kinds["tensor"].narrowest_bytes_per_s is None


def test_a_rack_that_is_one_domain_has_no_network_traffic() -> None:
    priced = api.estimate("gb200-nvl72-18", "llama-3-8b", nodes=16, tensor=2, pipeline=4)
    kinds = traffic(priced.scenario, priced.plan)
    assert {one.reach for one in kinds} == {INSIDE_NODE, INSIDE_DOMAIN}
    assert {one.narrowest_bytes_per_s for one in kinds} == {None}


def test_without_tiers_nodes_meet_in_one_network() -> None:
    links = JobLinks.of(api.estimate("dgx-a100-16", "gpt-7.5b", tensor=8).scenario)
    assert links.tier((0, 1)) == NETWORK
    assert links.bytes_per_s[0, 1] == pytest.approx(8 * 25e9)


@pytest.mark.parametrize("cluster", ["two-site-a100-32", "mixed-a100-h100-16", "pipette-v100-16"])
def test_links_of_large_jobs_are_those_of_small_ones(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced = api.estimate(cluster, "gpt-7.5b", tensor=2, pipeline=4)
    small = traffic(priced.scenario, priced.plan)
    monkeypatch.setattr(module, "MATRIX", 1)
    assert traffic(priced.scenario, priced.plan) == small
