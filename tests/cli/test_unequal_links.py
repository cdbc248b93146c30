"""Searches on clusters whose links differ, as a user runs them: what is printed as proven holds."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cli.conftest import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GROUP = """\
  - name: {name}
    count: {count}
    device: a100-sxm-80gb
    devices_per_node: 8
    intra_node: {{bandwidth: 300 GB/s}}
    network: {{cards: 8, bandwidth: {bandwidth}}}
"""
TIERS = """\
fabric:
  tiers:
    - {name: leaf, nodes: 4}
    - {name: spine, oversubscription: 2.8}
"""
OVERRIDE = """\
links:
  overrides:
    - {between: [0, 3], bandwidth: 3 GB/s}
"""
WIDE = """\
fabric:
  tiers:
    - {name: site, nodes: 1}
    - {name: wide, bandwidth: 20 MB/s, latency: 50 ms}
"""
SPACE = ("--model", "gpt-7.5b", "--global-batch-size", "64", "--tensor", "8", "--recompute", "none")


def cluster(folder: Path, groups: list[tuple[int, str]], more: str = "") -> str:
    """A cluster file of groups of nodes (count, bandwidth of a card)."""
    text = "name: unequal\nnode_groups:\n"
    for number, (count, bandwidth) in enumerate(groups):
        text += GROUP.format(name=f"g{number}", count=count, bandwidth=bandwidth)
    path = folder / "unequal.yaml"
    path.write_text(text + more, encoding="utf-8")
    return str(path)


def found(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.stderr
    document: dict[str, Any] = json.loads(outcome.stdout)
    return document


@pytest.mark.parametrize(
    ("groups", "more"),
    [
        ([(8, "25 GB/s")], TIERS),
        ([(3, "25 GB/s"), (1, "8 GB/s"), (4, "25 GB/s")], ""),
        ([(3, "25 GB/s"), (1, "8 GB/s"), (4, "25 GB/s")], TIERS),
        ([(4, "25 GB/s")], OVERRIDE),
    ],
    ids=["tiers", "slow card", "slow card and tiers", "override"],
)
def test_no_estimate_is_below_what_a_search_calls_a_bound(
    planner: Callable[..., Outcome], tmp_path: Path, groups: list[tuple[int, str]], more: str
) -> None:
    """The best plan on its hosts turned round and mixed: what `estimate` says is no less than what
    the search says no order is faster than."""
    file = cluster(tmp_path, groups, more)
    searched = found(planner("search", "--cluster", file, *SPACE, "--top", "2", "--json"))
    for rank, plan in enumerate(searched["plans"], start=1):
        gap = plan["proofs"][0]["gap"]
        bound_s = plan["estimate"]["step_s"] * (1 - gap)
        hosts = plan["placement"]["hosts"]
        half = len(hosts) // 2
        for order in (hosts[::-1], hosts[half:] + hosts[:half], hosts[::2] + hosts[1::2]):
            plan["placement"]["hosts"] = order
            mixed = tmp_path / "mixed.json"
            mixed.write_text(json.dumps(searched), encoding="utf-8")
            options = ("--cluster", file, "--model", "gpt-7.5b", "--plan", f"{mixed}#{rank}")
            priced = found(planner("estimate", *options, "--json"))
            assert priced["plans"][0]["estimate"]["step_s"] >= bound_s * (1 - 1e-9)


def test_pipelines_stay_below_one_switch_where_that_is_faster(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    file = cluster(tmp_path, [(16, "25 GB/s")], TIERS)
    options = (*SPACE, "--pipeline", "4", "--schedule", "interleaved", "--top", "1", "--json")
    best = found(planner("search", "--cluster", file, *options))["plans"][0]
    assert best["proofs"][0]["gain"] > 0
    hosts = [int(host.rsplit("-", 1)[1]) for host in best["placement"]["hosts"]]
    columns = len(hosts) // 4
    for column in range(columns):
        assert len({hosts[row * columns + column] // 4 for row in range(4)}) == 1


def test_plans_leave_nodes_idle_where_that_is_faster(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Where links are slow as where all nodes are alike; `--idle off` says what it leaves out."""
    file = cluster(tmp_path, [(4, "25 GB/s")], WIDE)
    plans = tmp_path / "plans.json"
    options = ("--model", "gpt-1.7b", "--global-batch-size", "64", "--tensor", "1", "--top", "1",
               "--micro-batch-size", "1,2", "--recompute", "none")  # fmt: skip
    document = found(planner("search", "--cluster", file, *options, "--json"))
    best, nodes = document["plans"][0], document["search"]["nodes"]
    assert len(best["placement"]["hosts"]) == 1
    assert (nodes["given"], len(nodes["idle_hosts"])) == (4, 3)
    assert "fewer_nodes" not in document["search"]
    every = ("--cluster", file, *options, "--idle", "off")
    said = planner("search", *every, "--output", str(plans))
    assert "Fewer nodes are faster: 1 node " in " ".join(said.stdout.split())
    document = json.loads(plans.read_text(encoding="utf-8"))
    fewer, slower = document["search"]["fewer_nodes"], document["plans"][0]
    assert fewer["nodes"] == 1
    assert best["estimate"]["step_s"] <= fewer["step_s"] < slower["estimate"]["step_s"]
    alone = found(planner("search", *every, "--nodes", "1", "--json"))
    assert alone["plans"][0]["estimate"]["step_s"] == best["estimate"]["step_s"]


def test_a_job_that_needs_its_nodes_is_left_alone(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    file = cluster(tmp_path, [(4, "25 GB/s")])
    document = found(planner("search", "--cluster", file, *SPACE, "--top", "1", "--json"))
    assert "fewer_nodes" not in document["search"]


def test_few_nodes_whose_bounds_stay_low_take_no_search(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Four nodes have 24 orders: however far bounds stay below them, no more need to be tried."""
    group = {
        "name": "g",
        "count": 4,
        "device": "h200-nvl",
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "450 GB/s", "latency": "1 us"},
        "network": {"cards": 8, "bandwidth": "12.5 GB/s"},
    }
    faster = [{"between": [0, other], "bandwidth": "40 GB/s"} for other in (1, 2)]
    sizes = {"num_layers": 13, "hidden_size": 640, "num_attention_heads": 8, "vocab_size": 999}
    model = {"architecture": "bloom", "ffn_hidden_size": 4480, "num_query_groups": 1, **sizes}
    files = {
        "cluster": {"node_groups": [group], "links": {"overrides": faster}},
        "model": model,
    }
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    began = time.process_time()
    done = planner("search", f"--cluster={tmp_path}/cluster.yaml", f"--model={tmp_path}/model.yaml",
                   "--global-batch-size=4", "--seq-length=512", "--precision=fp8",
                   "--context=2,4,1", "--schedule=interleaved", "--top=10", "--json")  # fmt: skip
    assert done.code == 0, done.stderr
    assert time.process_time() - began < 15
    assert json.loads(done.stdout)["search"]["placement_gap"] < 0.01
