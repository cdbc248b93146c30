"""Devices whose estimates would be guesses are refused by name, with the reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JOB = ("--model", "gpt-1.7b", "--global-batch-size", "8")
FIGURES = {"memory": {"capacity": "95 GiB", "bandwidth": "2765 GB/s"}, "peak": "459 TFLOP/s"}


def cluster(folder: Path, device: Any, **more: Any) -> str:
    group = {"count": 1, "device": device, "devices_per_node": 4, **more}
    path = folder / "cluster.yaml"
    path.write_text(
        yaml.safe_dump({"node_groups": [{**group, "intra_node": {"bandwidth": "90 GB/s"}}]})
    )
    return str(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gaudi2", "Intel gaudi2 is not priced: its matrix engines"),
        ("Gaudi-3", "Intel Gaudi-3 is not priced"),
        ("tpu-v5p", "Google tpu-v5p is not priced: its chips form a torus"),
        ("trainium2", "AWS trainium2 is not priced"),
    ],
)
def test_a_name_is_refused_with_the_reason(
    planner: Callable[..., Any], tmp_path: Path, name: str, said: str
) -> None:
    asked = (
        planner("init", name),
        planner("size", "--device", name, *JOB),
        planner("estimate", "--cluster", cluster(tmp_path, name), *JOB),
        planner("estimate", "--cluster", cluster(tmp_path, {"name": name, **FIGURES}), *JOB),
        planner("estimate", "--cluster", cluster(tmp_path, {"like": name}), *JOB),
    )
    for told in asked:
        assert told.code == 2
        assert said in told.stderr
    assert "cluster.yaml:" in asked[2].stderr


def test_figures_of_ones_own_library_are_taken(planner: Callable[..., Any], tmp_path: Path) -> None:
    path = cluster(tmp_path, {"name": "tpu-v5p", **FIGURES}, collectives="nccl")
    assert planner("estimate", "--cluster", path, *JOB, "--tensor", "4").code in (0, 1)


def test_a_row_of_a_serving_table_says_why(planner: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(
        "id,model,device,devices,mode,tensor,framework,weight_format,input_length,output_length,"
        "load_kind,load,tpot_mean_ms\n"
        "a,llama-3-8b,gaudi3,1,agg,1,vllm,bf16,128,128,concurrency,4,9\n"
    )
    (error,) = json.loads(planner("validate", str(path), "--json").stdout)["errors"]
    assert "Intel gaudi3 is not priced" in error["message"]
