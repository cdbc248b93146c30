"""States sharded over a part of the replicas, through the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.answers import document, estimated, parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Command = Callable[..., Outcome]

SLOW = """
name: slow-network
node_groups:
  - name: a100
    count: 4
    device: a100-sxm-80gb
    devices_per_node: 8
    intra_node: {bandwidth: 300 GB/s}
    network: {cards: 1, bandwidth: 2.5 GB/s}
"""
JOB = ("--model", "llama-3-8b", "--global-batch-size", "64")


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """Four nodes of 8 devices behind one card each."""
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW, encoding="utf-8")
    return str(path)


def test_a_group_holds_its_share_of_everything(planner: Command, slow: str) -> None:
    options = ("--cluster", slow, *JOB, "--software", "torchtitan", "--recompute", "full")
    over_all = estimated(planner, *options)
    of_node = estimated(planner, *options, "--shard-over", "node")
    assert of_node["shard_over"] == 8
    for part in ("weights", "gradients", "optimizer"):
        assert parts(of_node)[part] == pytest.approx(4 * parts(over_all)[part], rel=1e-6)
    for part in ("activations", "logits", "buffers"):
        assert parts(of_node)[part] == parts(over_all)[part]


def test_gathers_inside_a_node_spare_a_slow_network(planner: Command, slow: str) -> None:
    options = ("--cluster", slow, *JOB, "--software", "torchtitan", "--recompute", "full")
    over_all = estimated(planner, *options)["estimate"]["time"]["data_comm_s"]
    of_node = estimated(planner, *options, "--shard-over", "node")["estimate"]["time"]
    of_two = estimated(planner, *options, "--shard-over", "16")["estimate"]["time"]
    assert 0 < of_node["data_comm_s"] < 0.9 * over_all
    assert of_node["data_comm_s"] < of_two["data_comm_s"]


@pytest.mark.parametrize("group", ["all", "32"])
def test_one_group_of_all_is_the_plan_without_groups(
    planner: Command, slow: str, group: str
) -> None:
    options = ("estimate", "--cluster", slow, *JOB, "--software", "torchtitan", "--json")
    assert planner(*options, "--shard-over", group).stdout == planner(*options).stdout


def test_a_search_tries_the_replicas_of_a_node(planner: Command, slow: str) -> None:
    options = ("search", "--cluster", slow, *JOB, "--software", "torchtitan", "--data-sharding",
               "full", "--tensor", "1", "--pipeline", "1", "--idle", "off", "--top", "1",
               "--json")  # fmt: skip
    free, all_of_them = (
        document(planner(*options)),
        document(planner(*options, "--shard-over", "all")),
    )
    best, other = free["plans"][0], all_of_them["plans"][0]
    assert best["shard_over"] == 8
    assert "shard_over" not in other
    assert best["estimate"]["step_s"] < 0.95 * other["estimate"]["step_s"]
    named = {one["name"]: one["values"] for one in free["search"]["space"]["dimensions"]}
    assert named["shard_over"] == ["node", "all"]


def test_a_copy_of_the_weights_alone(planner: Command, slow: str, tmp_path: Path) -> None:
    """DeepSpeed's hpZ and MiCS: the one holds 2 bytes a parameter more on 8 devices, the other a
    copy of everything."""
    found = {}
    for key in (None, "zero_hpz_partition_size", "mics_shard_size"):
        path = tmp_path / f"{key}.json"
        zero = {"stage": 3} if key is None else {"stage": 3, key: 8}
        path.write_text(
            json.dumps({"bf16": {"enabled": True}, "train_micro_batch_size_per_gpu": 1,
                        "zero_optimization": zero}),
            encoding="utf-8",
        )  # fmt: skip
        found[key] = estimated(
            planner, "--cluster", slow, "--model", "llama-3-8b", "--plan", str(path),
            "--recompute", "full",
        )  # fmt: skip
    plain, weights, states = (parts(plan) for plan in found.values())
    parameters = 8_030_261_248
    assert weights["weights"] - plain["weights"] == pytest.approx(2 * parameters / 8, rel=1e-3)
    assert weights["optimizer"] == plain["optimizer"]
    assert states["optimizer"] == pytest.approx(4 * plain["optimizer"], rel=1e-6)
    times = [plan["estimate"]["step_s"] for plan in found.values()]
    assert times[2] < times[1] < times[0]


@pytest.mark.parametrize(
    ("software", "options", "export", "words"),
    [
        ("deepspeed", ("--data-sharding", "full"), "deepspeed", '"zero_hpz_partition_size": 8'),
        ("megatron-core", ("--tensor", "2"), "megatron-lm",
         "--num-distributed-optimizer-instances"),
    ],
)  # fmt: skip
def test_what_is_exported_reads_back(
    planner: Command,
    slow: str,
    tmp_path: Path,
    software: str,
    options: tuple[str, ...],
    export: str,
    words: str,
) -> None:
    plan = tmp_path / "plan.json"
    asked = ("--cluster", slow, *JOB, "--software", software, *options, "--shard-over", "8")
    plan.write_text(planner("estimate", *asked, "--json").stdout, encoding="utf-8")
    assert estimated(planner, *asked)["shard_over"] == 8
    launch = tmp_path / "launch.sh"
    shell = export == "megatron-lm"
    done = planner("export", str(plan), "--format", export, "-o",
                   str(launch), "--cluster", slow)  # fmt: skip
    assert done.code == 0, done.stderr
    assert words in launch.read_text(encoding="utf-8")
    model = ("--devices", "32") if shell else ("--model", "llama-3-8b", "--seq-length", "8192")
    back = estimated(planner, "--cluster", slow, "--plan", str(launch), *model)
    assert back["shard_over"] == 8
    assert back["degrees"] == estimated(planner, *asked)["degrees"]


def test_torchtitan_replicates_groups(planner: Command, slow: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    done = planner("estimate", "--cluster", slow, *JOB, "--software", "torchtitan", "--shard-over",
                   "node", "--json")  # fmt: skip
    plan.write_text(done.stdout, encoding="utf-8")
    text = planner("export", str(plan), "--format", "torchtitan", "--cluster", slow).stdout
    assert "data_parallel_replicate_degree=4" in text.replace(" ", "")
    assert "data_parallel_shard_degree=8" in text.replace(" ", "")


@pytest.mark.parametrize(
    ("software", "group", "message"),
    [
        ("torchtitan", "3", "groups of one size, and as many groups must divide"),
        ("torchtitan", "1", "at least 2 of the data · context replicas (1 where only the"),
        ("megatron-core", "0", "neither all nor node nor a whole number from 1"),
        ("torchtitan", "nod", "did you mean node?"),
        ("megatron-lm-2021", "8", "replicas cannot shard in groups"),
    ],
)
def test_groups_that_cannot_be(
    planner: Command, slow: str, software: str, group: str, message: str
) -> None:
    done = planner("estimate", "--cluster", slow, *JOB, "--software", software, "--shard-over",
                   group)  # fmt: skip
    assert done.code == 2
    assert message in " ".join(done.stderr.split())


def test_a_copy_of_the_optimizer_for_each_replica(
    planner: Command, slow: str, tmp_path: Path
) -> None:
    """Megatron-LM with as many optimizer instances as replicas divides nothing among them."""
    asked = ("--cluster", slow, *JOB, "--tensor", "8", "--data-sharding")
    whole = estimated(planner, *asked, "none")
    alone = estimated(planner, *asked, "optimizer", "--shard-over", "1")
    assert alone["shard_over"] == 1
    assert parts(alone)["optimizer"] == parts(whole)["optimizer"]
    plan, launch = tmp_path / "plan.json", tmp_path / "launch.sh"
    done = planner("estimate", *asked, "optimizer", "--shard-over", "1", "--json")
    plan.write_text(done.stdout, encoding="utf-8")
    done = planner("export", str(plan), "--format", "megatron-lm", "-o", str(launch),
                   "--cluster", slow)  # fmt: skip
    assert done.code == 0, done.stderr
    assert "--num-distributed-optimizer-instances 4" in launch.read_text(encoding="utf-8")
    back = estimated(planner, "--cluster", slow, "--plan", str(launch), "--devices", "32")
    assert back["shard_over"] == 1
    assert parts(back) == parts(alone)
