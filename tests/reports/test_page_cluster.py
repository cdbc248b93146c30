"""The map of the cluster and the links of the page, from estimates on clusters of every kind."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest

from planner import api
from planner.reports.page.sections.cluster import SEPARATE, map_cells, stage_range
from planner.reports.page.sections.links import CLASSES, classes
from planner.training.traffic import stages_of_ranks
from tests.reports.pages import Element, read_page


@cache
def page(cluster: str, model: str, **flags: Any) -> Element:
    return read_page(api.report(api.estimate(cluster, model, **flags)))


def cells(root: Element) -> list[str]:
    return [one.text for one in root.one(id="cluster").every("span", class_="cell")]


def test_two_sites_are_two_frames_and_their_link_is_the_slowest() -> None:
    root = page("two-site-a100-32", "llama-2-70b", tensor=8, pipeline=4)
    blocks = list(root.one(id="cluster").every("div", class_="block"))
    assert [block.one("span", class_="name").text for block in blocks] == ["site 0", "site 1"]
    assert cells(root) == [str(stage) for stage in range(4) for _ in range(8)]
    links = root.one(id="links")
    assert [one.text for one in links.one("ul", class_="legend").every("li")] == [
        "3.125 GB/s",
        "200 GB/s",
    ]
    first = next(iter(links.one("tbody").every("tr")))
    assert first.text == "site-a-8 and site-b-0wide-areapipeline3.125"


def test_the_picture_of_links_covers_every_pair_once() -> None:
    root = page("two-site-a100-32", "llama-2-70b", tensor=8, pipeline=4)
    covered = np.zeros((32, 32), dtype=int)
    for path in root.one(id="links").one("svg").every("path"):
        if path.attributes["class"] == "dots":
            dots = len(re.findall("M", path.attributes["d"]))
            continue
        for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path.attributes["d"]):
            covered[int(y), int(x) : int(x) + int(width)] += 1
    assert (covered == 1 - np.eye(32, dtype=int)).all()
    assert dots == 2 * 24


def test_alike_links_have_a_sentence_in_place_of_a_picture() -> None:
    root = page("dgx-a100-16", "gpt-7.5b", tensor=8, pipeline=2)
    assert "All pairs of nodes are alike: 200 GB/s a node each way" in root.one(id="links").text
    assert not list(root.one(id="links").every("svg"))


def test_device_types_are_apart_and_unused_nodes_are_counted() -> None:
    root = page(
        "mixed-a100-h100-16", "llama-2-13b", nodes=12, tensor=4, pipeline=4, global_batch_size=96
    )
    section = root.one(id="cluster")
    assert [one.text for one in section.every("h3", class_="group")] == [
        "a100: 8 devices a node, a100-sxm-80gb",
        "h100: 8 devices a node, h100-sxm-80gb",
    ]
    assert len(cells(root)) == 12
    assert "4 nodes of the cluster are not used." in section.text


def test_one_node_and_one_domain_have_no_links() -> None:
    alone = page("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    assert "One node: there are no links" in alone.one(id="links").text
    rack = page("gb200-nvl72-18", "llama-3-8b", nodes=16, tensor=2, pipeline=4)
    assert "All nodes share one scale-up domain." in rack.one(id="links").text
    device = page("dgx-a100-8", "gpt-1.7b", devices=1)
    assert "there is no communication" in device.one(id="cluster").text


def test_many_nodes_share_cells_and_no_node_is_lost() -> None:
    priced = api.estimate("dgx-h100-2048", "gpt-1t", tensor=8, pipeline=16)
    scenario, plan = priced.scenario, priced.plan
    grouped = map_cells(scenario, plan.placement.hosts, stages_of_ranks(plan))
    assert len(grouped) <= SEPARATE
    assert [host for cell in grouped for host in cell.hosts] == list(plan.placement.hosts)
    assert sorted({stage for cell in grouped for stage in cell.stages}) == list(range(16))


def test_a_hundred_thousand_devices_make_a_page_of_usual_size() -> None:
    group = {
        "count": 12500,
        "device": "h100-sxm-80gb",
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "450 GB/s"},
        "network": {"cards": 8, "bandwidth": "50 GB/s"},
    }
    tiers = [{"name": "leaf", "nodes": 25}, {"name": "spine", "oversubscription": 2}]
    cluster = {"name": "huge", "node_groups": [group], "fabric": {"tiers": tiers}}
    priced = api.estimate(
        cluster, "gpt-1t", tensor=8, pipeline=10, data=1250, global_batch_size=25000
    )
    text = api.report(priced)
    root = read_page(text)
    assert len(text.encode()) < 2**20
    assert sum(1 for _ in root.every()) < 4000
    assert cells(root) == [str(stage) for stage in range(10) for _ in range(50)]
    assert "12,500 nodes are too many for a picture" in root.one(id="links").text
    assert "spine" in root.one(id="cluster").text


@pytest.mark.parametrize(
    ("stages", "text"), [((3,), "3"), ((0, 1, 2, 3), "0–3"), ((0, 4, 5), "0, 4–5"), ((), "")]
)
def test_stages_in_words(stages: tuple[int, ...], text: str) -> None:
    assert stage_range(stages) == text


def test_classes_hold_every_bandwidth_and_are_few() -> None:
    few = np.array([3.0, 1.0, 1.0 + 1e-9, 2.0])
    assert [low for low, _ in classes(few)] == [1.0, 2.0, 3.0]
    many = np.linspace(5.0, 25.0, 1000)
    found = classes(many)
    assert 1 < len(found) <= CLASSES
    held = sum(((many >= low) & (many < end)).sum() for low, end in found)
    assert held == 1000
