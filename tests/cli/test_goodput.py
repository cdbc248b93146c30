"""Failures and the length of a job, as a user meets them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

GROUP = {
    "name": "h100",
    "count": 8,
    "device": "h100-sxm-80gb",
    "devices_per_node": 8,
    "intra_node": {"bandwidth": "450 GB/s"},
    "network": {"cards": 8, "bandwidth": "50 GB/s"},
}
BLOCK = {
    "device_mtbf": "3000 h",
    "restart": "20 min",
    "repair": "12 h",
    "spares": 1,
    "checkpoint": {"write_bandwidth": "20 GB/s", "read_bandwidth": "40 GB/s"},
}
PLAN = ("--model", "llama-3-8b", "--tensor", "2", "--pipeline", "1", "--micro-batch-size", "1")
BATCH = ("--global-batch-size", "512")


def cluster(tmp_path: Path, reliability: dict[str, Any] | None) -> str:
    file = tmp_path / "cluster.yaml"
    content: dict[str, Any] = {"node_groups": [GROUP]}
    if reliability is not None:
        content["reliability"] = reliability
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(file)


def estimated(planner: Run, file: str, *more: str) -> dict[str, Any]:
    done = planner("estimate", "--cluster", file, *PLAN, *BATCH, *more, "--json")
    assert done.code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["plans"][0]["estimate"]
    return found


def test_figures_follow_from_the_block(planner: Run, tmp_path: Path) -> None:
    found = estimated(planner, cluster(tmp_path, BLOCK), "--tokens", "15T")
    goodput, job = found["goodput"], found["whole_job"]
    size_bytes = 8_030_261_248 * 14
    assert goodput["checkpoint"]["bytes"] == size_bytes
    assert goodput["checkpoint"]["stall_s"] == pytest.approx(size_bytes / 20e9)
    assert goodput["restart_s"] == pytest.approx(1200 + size_bytes / 40e9)
    assert goodput["between_failures_s"] == pytest.approx(3000 * 3600 / 64)
    assert goodput["spares"] == {"needed": 2, "given": 1, "chance": 0.99}
    assert goodput["tokens_per_day"] == pytest.approx(
        found["tokens_per_s"] * goodput["share"] * 86400
    )
    assert job["wall_s"] == pytest.approx(15e12 / (found["tokens_per_s"] * goodput["share"]))
    assert job["device_hours"] == pytest.approx(64 * job["wall_s"] / 3600)
    step = found["confidence"]["step_s"]
    assert job["low_s"] / job["wall_s"] == pytest.approx(step["low"] / found["step_s"])
    assert job["high_s"] / job["wall_s"] == pytest.approx(step["high"] / found["step_s"])


def test_without_the_block_nothing_is_said_of_failures(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, None)
    found = estimated(planner, file)
    assert not {"goodput", "whole_job"} & set(found)
    told = planner("estimate", "--cluster", file, *PLAN, *BATCH, "--tokens", "15T").stdout
    assert "if nothing ever fails" in " ".join(told.split())
    assert "Goodput" not in told


def test_checkpoints_in_the_background_cost_less(planner: Run, tmp_path: Path) -> None:
    def share(**changed: Any) -> float:
        block = {**BLOCK, "checkpoint": {**BLOCK["checkpoint"], **changed}}  # type: ignore[dict-item]
        found: float = estimated(planner, cluster(tmp_path, block))["goodput"]["share"]
        return found

    assert share(asynchronous=True) > share(asynchronous=True, stall="2 s") > share()
    assert share() > share(interval="5 h")


def test_what_the_block_leaves_out_is_said(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, {"checkpoint": {"write_bandwidth": "20 GB/s", "asynchronous": True}})
    told = planner("estimate", "--cluster", file, *PLAN, *BATCH).stdout
    said = " ".join(told.split())
    assert "reliability: a device fails once in 50,000 hours (Grattafiori et al. 2024" in said
    assert "reliability: a restart takes 15 minutes" in said
    assert "devices copy to hosts over PCI Express 4.0" in said
    assert "spare node" not in said


def test_a_search_says_it_of_the_best_plan(planner: Run, tmp_path: Path) -> None:
    plans = tmp_path / "plans.json"
    file = cluster(tmp_path, BLOCK)
    options = (
        "--cluster",
        file,
        "--model",
        "llama-3-8b",
        *BATCH,
        "--tensor",
        "2",
        "--recompute",
        "none",
    )
    done = planner("search", *options, "--tokens", "1T", "--output", str(plans))
    said = " ".join(done.stdout.split())
    assert "a failure every" in said
    assert "1T tokens take" in said
    again = planner("estimate", "--cluster", file, *PLAN[:2], "--plan", f"{plans}#1")
    assert "1T tokens take" in " ".join(again.stdout.split())
    document = json.loads(plans.read_text(encoding="utf-8"))
    assert document["inputs"]["job"]["tokens"] == 10**12
    assert planner("report", str(plans), "-o", str(tmp_path / "page.html")).code == 0


def test_a_model_may_state_its_tokens(planner: Run, tmp_path: Path) -> None:
    model = yaml.safe_load(planner("show", "llama-3-8b").stdout)
    model.setdefault("training", {})["tokens"] = "15T"
    file = tmp_path / "model.yaml"
    file.write_text(yaml.safe_dump(model), encoding="utf-8")
    done = planner(
        *("estimate", "--cluster", cluster(tmp_path, None), "--model", str(file), *PLAN[2:]),
        *BATCH,
        "--json",
    )
    assert json.loads(done.stdout)["plans"][0]["estimate"]["whole_job"]["tokens"] == 15 * 10**12


@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ({**BLOCK, "device_mtbf": "3000"}, "duration needs a unit, found '3000'"),
        ({**BLOCK, "device_mtbf": "3000 weeks"}, "'weeks' is not a unit of duration"),
        ({**BLOCK, "restart": "-5 min"}, "must be positive"),
        ({**BLOCK, "spares": -1}, "spares"),
        ({"device_mtbf": "3000 h"}, "checkpoint"),
        ({**BLOCK, "checkpoint": {"asynchronous": True}}, "write_bandwidth"),
        ({**BLOCK, "checkpoints": {}}, "unknown key"),
    ],
)
def test_a_wrong_block_is_refused_with_its_place(
    planner: Run, tmp_path: Path, block: dict[str, Any], wrong: str
) -> None:
    done = planner("estimate", "--cluster", cluster(tmp_path, block), *PLAN, *BATCH)
    assert done.code == 2
    assert wrong in done.stderr
    assert "cluster.yaml:" in done.stderr


@pytest.mark.parametrize("tokens", ["15x", "0", "-3T", "1.5", "", "2000P", "T"])
def test_no_number_of_tokens(planner: Run, tmp_path: Path, tokens: str) -> None:
    file = cluster(tmp_path, None)
    done = planner("estimate", "--cluster", file, *PLAN, *BATCH, "--tokens", tokens)
    assert done.code == 2
    assert "--tokens" in done.stderr
