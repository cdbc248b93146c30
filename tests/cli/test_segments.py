"""Segments of scale-up domains, as a user meets them in a cluster file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

JOB = ("--model", "llama-3-8b", "--tensor", "8", "--pipeline", "1", "--data", "32")
BATCH = ("--global-batch-size", "32", "--micro-batch-size", "1", "--devices", "256")


def cluster(tmp_path: Path, count: int, **scale_up: Any) -> str:
    group = {
        "name": "rack",
        "count": count,
        "device": "gb200",
        "devices_per_node": 4,
        "intra_node": {"bandwidth": "900 GB/s"},
        "network": {"cards": 4, "bandwidth": "50 GB/s"},
        "scale_up": {"nodes": 18, "bandwidth": "900 GB/s", **scale_up},
    }
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({"node_groups": [group]}), encoding="utf-8")
    return str(file)


def estimate(planner: Callable[..., Outcome], file: str) -> tuple[dict[str, Any], list[str]]:
    done = planner("estimate", "--cluster", file, *JOB, *BATCH, "--json")
    document = json.loads(done.stdout)
    return document["plans"][0], document["inputs"]["assumptions"]


def test_a_job_on_four_racks_takes_sixteen_nodes_of_each(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    plan, said = estimate(planner, cluster(tmp_path, 72))
    assert "cluster: 16 of the 18 nodes of a scale-up domain are used (a segment)" in said
    hosts = plan["placement"]["hosts"]
    assert hosts[15:17] == ["rack-15", "rack-18"]
    assert len(hosts) == 64


def test_a_stated_segment_is_kept(planner: Callable[..., Outcome], tmp_path: Path) -> None:
    usual, _ = estimate(planner, cluster(tmp_path, 72))
    whole, said = estimate(planner, cluster(tmp_path, 72, segment=18))
    assert not any("segment" in one for one in said)
    assert whole["placement"]["hosts"][:18] == [f"rack-{index}" for index in range(18)]
    assert usual["estimate"]["step_s"] != pytest.approx(whole["estimate"]["step_s"], rel=1e-6)


def test_without_nodes_to_leave_over_hosts_stay_as_listed(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    plan, said = estimate(planner, cluster(tmp_path, 64))
    assert any("16 of the 18" in one for one in said)
    assert plan["placement"]["hosts"] == [f"rack-{index}" for index in range(64)]


def test_domains_that_hold_too_few_segments_stay_whole(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Two racks of 18 nodes: 35 nodes are five segments of seven, of which a rack holds two. Four
    racks hold the seven segments of 49 nodes, which leave four nodes of each rack over."""
    job = ("--model", "llama-3-8b", "--tensor", "4", "--pipeline", "1", "--micro-batch-size", "1")

    def priced(racks: int, nodes: int) -> tuple[dict[str, Any], str]:
        many = ("--nodes", str(nodes), "--global-batch-size", str(nodes))
        file = cluster(tmp_path, 18 * racks)
        done = planner("estimate", "--cluster", file, *job, *many, "--json")
        document = json.loads(done.stdout)
        plan.write_text(done.stdout, encoding="utf-8")
        return document["plans"][0], " ".join(document["inputs"]["assumptions"])

    plan = tmp_path / "plan.json"
    whole, said = priced(2, 35)
    assert "domains of 18 nodes hold too few segments of 7; the hosts as listed" in said
    assert whole["placement"]["hosts"] == [f"rack-{index}" for index in range(35)]
    script = planner("export", str(plan), "--format", "slurm", "--cluster", cluster(tmp_path, 36))
    assert script.code == 2
    assert "18 nodes share a scale-up domain, and cluster cluster does not name its hosts" in (
        script.stderr
    )
    cut, said = priced(4, 49)
    assert "7 of the 18 nodes of a scale-up domain are used (a segment)" in said
    assert cut["placement"]["hosts"][13:15] == ["rack-13", "rack-18"]


def test_a_segment_is_no_larger_than_a_domain(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    done = planner("estimate", "--cluster", cluster(tmp_path, 72, segment=20), *JOB, *BATCH)
    assert done.code == 2
    assert "a segment of 20 nodes; a domain has 18" in done.stderr


def test_hosts_that_segments_leave_over_may_be_listed(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Two of four racks whole: their groups of 18 nodes are those of the cluster; the plan reads
    back and checks. Listed without them, the usual segments hold."""
    file, hosts = cluster(tmp_path, 72), tmp_path / "hosts"
    listed = [f"rack-{index}" for index in (*range(36), *range(40, 68))]
    hosts.write_text("\n".join(listed), encoding="utf-8")
    where = ("--cluster", file, "--model", "llama-3-8b", "--hosts", str(hosts))
    done = planner("estimate", *where, *JOB[2:], *BATCH, "--json")
    assert done.code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["plans"][0]["placement"]["hosts"] == listed
    assert any("the hosts as listed" in one for one in document["inputs"]["assumptions"])
    plan = tmp_path / "plan.json"
    plan.write_text(done.stdout, encoding="utf-8")
    for command in ("estimate", "check"):
        given = ("--plan", f"{plan}#1") if command == "estimate" else (f"{plan}#1",)
        again = planner(command, "--cluster", file, "--model", "llama-3-8b", *given, "--json")
        assert again.code == 0, again.stderr
    hosts.write_text("\n".join([*listed[:-1], "rack-99"]), encoding="utf-8")
    missing = planner("estimate", *where, *JOB[2:], *BATCH)
    assert missing.code == 2
    assert "has no host 'rack-99'" in missing.stderr


def test_fewer_nodes_may_have_other_segments(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Six nodes hold whole domains of two, half of them do not: that smaller job, which is faster
    on such slow links, leaves every second host over."""
    group = {
        "name": "pair",
        "count": 6,
        "device": "a10",
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "31 GB/s"},
        "network": {"cards": 1, "bandwidth": "6 GB/s", "latency": "10 ms"},
        "scale_up": {"nodes": 2, "bandwidth": "31 GB/s"},
    }
    sizes = {"num_layers": 6, "hidden_size": 16, "num_attention_heads": 1, "vocab_size": 999}
    cluster, model = tmp_path / "pairs.yaml", tmp_path / "small.yaml"
    cluster.write_text(yaml.safe_dump({"node_groups": [group]}), encoding="utf-8")
    model.write_text(yaml.safe_dump({"architecture": "llama", "ffn_hidden_size": 32, **sizes}))
    done = planner("search", f"--cluster={cluster}", f"--model={model}", "--global-batch-size=4",
                   "--seq-length=32768", "--precision=bf16", "--json")  # fmt: skip
    assert done.code == 0, done.stderr
    smaller = json.loads(done.stdout)["search"]["fewer_nodes"]
    assert smaller["nodes"] in (1, 2, 3)


@pytest.mark.parametrize(
    ("command", "nodes"),
    [
        (("search", "--top", "9", "--tensor", "1", "--pipeline", "1"), 5),
        (("search", "--top", "1", "--tensor", "1", "--rank-by", "cost"), 5),
        (("size", "--tokens", "100B", "--within", "1.1d"), 2),
    ],
    ids=["search", "cheapest", "size"],
)
def test_a_plan_on_fewer_nodes_costs_what_it_costs_alone(
    planner: Callable[..., Outcome], tmp_path: Path, command: tuple[str, ...], nodes: int
) -> None:
    """A job on five nodes gets one of each domain of two; one on four gets domains whole."""
    group = {
        "name": "pair",
        "count": 5,
        "device": "a10",
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "31 GB/s"},
        "network": {"cards": 1, "bandwidth": "6 GB/s"},
        "scale_up": {"nodes": 2, "bandwidth": "31 GB/s"},
    }
    sizes = {"num_layers": 6, "hidden_size": 1024, "num_attention_heads": 8, "vocab_size": 999}
    prices = {"devices": {"a10": "1 $/h"}}
    cluster, model, plans = (tmp_path / name for name in ("pairs.yaml", "small.yaml", "plans.json"))
    cluster.write_text(yaml.safe_dump({"node_groups": [group], "prices": prices}))
    model.write_text(yaml.safe_dump({"architecture": "llama", "ffn_hidden_size": 2048, **sizes}))
    where = ("--cluster", str(cluster), "--model", str(model))
    job = ("--global-batch-size=160", "--seq-length=1024", "--precision=bf16")
    done = planner(*command, *where, *job, "--json", "--output", str(plans))
    assert done.code == 0, done.stderr
    found = json.loads(plans.read_text())["plans"]
    fewest = min(found, key=lambda plan: len(plan["placement"]["hosts"]))
    assert len(fewest["placement"]["hosts"]) == nodes
    alone = planner("estimate", *where, "--plan", f"{plans}#{fewest['rank']}", "--json")
    again = json.loads(alone.stdout)["plans"][0]
    assert again["estimate"]["step_s"] == fewest["estimate"]["step_s"]
