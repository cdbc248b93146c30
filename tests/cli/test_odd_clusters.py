"""Clusters that few people have, in processes in which every warning is an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import copysign
from typing import TYPE_CHECKING, Any

import pytest

from planner.cli.progress import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRESS = tuple(PHASES.values())

SMALL = {
    "num_layers": 4,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "vocab_size": 50257,
    "seq_length": 1024,
    "architecture": "gpt",
}
WIDE_MOE = {
    "num_layers": 2,
    "hidden_size": 8192,
    "num_attention_heads": 64,
    "vocab_size": 50257,
    "seq_length": 1024,
    "architecture": "deepseek",
    "ffn_hidden_size": 1,
    "moe": {"num_experts": 4, "top_k": 3, "ffn_hidden_size": 64},
    "mla": {"kv_lora_rank": 512, "qk_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
}


def group(
    count: int,
    device: str = "a100-sxm-80gb",
    *,
    devices: int = 1,
    inside: str = "300 GB/s",
    network: str = "25 GB/s",
    cards: int = 1,
    latency: str | None = None,
) -> dict[str, Any]:
    stated = {} if latency is None else {"latency": latency}
    return {
        "count": count,
        "device": device,
        "devices_per_node": devices,
        "intra_node": {"bandwidth": inside, **stated},
        "network": {"cards": cards, "bandwidth": network, **stated},
    }


TIERS = [
    {"name": "pair", "nodes": 2, "latency": "10 us"},
    {"name": "four", "nodes": 4, "oversubscription": 1.5},
    {"name": "top", "bandwidth": "2.3 GB/s"},
]
SHARDED = ("--software", "deepspeed", "--data-sharding", "full")
CLUSTERS: dict[str, tuple[dict[str, Any], dict[str, Any], int, tuple[str, ...]]] = {
    "mixed, one device in a node, no latency inside": (
        {
            "node_groups": [
                group(9, "b300-sxm", inside="615 GB/s", network="7.2 GB/s"),
                group(13, inside="10 GB/s", network="56 GB/s", cards=2, latency="0 s"),
            ],
            "fabric": {"tiers": TIERS},
        },
        WIDE_MOE,
        88,
        ("--software", "torchtitan", "--data-sharding", "full", "--seq-length", "16384"),
    ),
    "mixed, nothing between nodes takes time alone": (
        {
            "node_groups": [
                group(1, "h100-sxm-80gb", latency="0 s"),
                group(6, latency="0 s"),
            ]
        },
        SMALL,
        28,
        ("--software", "composer-fsdp"),
    ),
    "no latency anywhere": (
        {
            "node_groups": [group(4, devices=2, latency="0 s")],
            "fabric": {"tiers": [{"name": "leaf", "nodes": 2, "latency": "0 s"}, {"name": "top"}]},
            "links": {"overrides": [{"between": [0, 3], "bandwidth": "1 GB/s", "latency": "0 s"}]},
        },
        SMALL,
        16,
        (),
    ),
    "long latencies": (
        {
            "node_groups": [group(6, latency="5 ms")],
            "fabric": {
                "tiers": [{"name": "site", "nodes": 3}, {"name": "wide", "latency": "50 ms"}]
            },
        },
        SMALL,
        24,
        (),
    ),
    "groups of one node": (
        {"node_groups": [group(1), group(1, "h100-sxm-80gb"), group(1, network="1 GB/s")]},
        SMALL,
        12,
        SHARDED,
    ),
    "nodes of different sizes": (
        {"node_groups": [group(2, devices=8), group(3, "h100-sxm-80gb", devices=4)]},
        SMALL,
        28,
        (),
    ),
    "one node that leaves no choice": (
        {"node_groups": [group(1)], "fabric": {"tiers": [{"name": "leaf", "nodes": 8}]}},
        SMALL,
        4,
        (),
    ),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_nothing_but_an_answer_comes_out(tmp_path: Path, name: str) -> None:
    cluster, model, batch, options = CLUSTERS[name]
    (tmp_path / "c.yaml").write_text(json.dumps(cluster), encoding="utf-8")
    (tmp_path / "m.yaml").write_text(json.dumps(model), encoding="utf-8")
    result = subprocess.run(
        [
            *(sys.executable, "-m", "planner", "search"),
            *("--cluster", str(tmp_path / "c.yaml"), "--model", str(tmp_path / "m.yaml")),
            *("--global-batch-size", str(batch), "--top", "1", "--time-limit", "10", "--json"),
            *options,
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        check=False,
    )
    said = [line for line in result.stderr.splitlines() if not line.startswith(PROGRESS)]
    assert (result.returncode, said) == (0, [])
    document = json.loads(result.stdout, parse_constant=_no_number)
    assert document["plans"]
    assert [(path, value) for path, value in numbers(document) if copysign(1, value) < 0] == []


def _no_number(text: str) -> float:
    raise AssertionError(f"{text} is not a number")


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a document and where it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{path}/{index}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


def test_slow_nodes_lengthen_passes_that_hide_reductions(tmp_path: Path) -> None:
    """Context groups of two nodes communicate beside passes. Where half the cards slow them, longer
    passes hide more of what is reduced: a bound that ignores that is above the price, counts as
    none, and leaves a gap of 100%."""
    cluster = {
        "node_groups": [
            group(22, "h100-sxm-80gb", devices=8, inside="450 GB/s", network="50 GB/s", cards=8),
            group(2, "h100-sxm-80gb", devices=8, inside="450 GB/s", network="50 GB/s", cards=4),
        ]
    }
    (tmp_path / "c.yaml").write_text(json.dumps(cluster), encoding="utf-8")
    degrees = {"tensor": 4, "pipeline": 3, "data": 4, "context": 4, "micro-batch-size": 2}
    asked = [word for name, value in degrees.items() for word in (f"--{name}", str(value))]
    command = (sys.executable, "-m", "planner", "search", "--cluster", "c.yaml", "--json")
    result = subprocess.run(
        [*command, "--model", "llama-3-70b", "--recompute", "none", *asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert json.loads(result.stdout)["search"]["gap"] < 0.1
