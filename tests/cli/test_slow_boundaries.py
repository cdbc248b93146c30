"""A pipeline over two sites: the schedule that runs ahead, from the estimate to the launch."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

CLUSTER = """\
name: two-sites
node_groups:
  - name: node
    count: 4
    device: a100-sxm-80gb
    devices_per_node: 4
    intra_node: {bandwidth: 300 GB/s}
    network: {cards: 4, bandwidth: 25 GB/s}
fabric:
  tiers:
    - {name: site, nodes: 2}
    - {name: wide-area, bandwidth: 1.09 GB/s, latency: 17 ms}
"""
JOB = (
    *("--model", "llama-3-8b", "--software", "torchtitan"),
    *("--global-batch-size", "64", "--seq-length", "8192"),
)
PLAN = (
    *("--tensor", "4", "--pipeline", "2", "--data", "2"),
    *("--micro-batch-size", "1", "--data-sharding", "none"),
)


@pytest.fixture
def cluster(tmp_path: Path) -> str:
    path = tmp_path / "two-sites.yaml"
    path.write_text(CLUSTER)
    return str(path)


def estimated(
    planner: Callable[..., Outcome], cluster: str, schedule: str, *more: str
) -> dict[str, Any]:
    answer = planner(
        *("estimate", "--cluster", cluster, *JOB, *PLAN, "--schedule", schedule, "--json", *more)
    )
    assert answer.code == 0, answer.stderr
    plan: dict[str, Any] = json.loads(answer.stdout)["plans"][0]
    return plan


def test_running_ahead_hides_the_slow_boundary_and_keeps_more(
    planner: Callable[..., Outcome], cluster: str, tmp_path: Path
) -> None:
    plain, ahead = (
        estimated(planner, cluster, name)["estimate"] for name in ("1f1b", "1f1b-ahead")
    )
    assert plain["step_s"] / ahead["step_s"] > 1.3
    # m·T, and the pipeline filled and drained once over the slow boundary
    per_microbatch_s = plain["time_detail"]["slowest_stage_busy_s"] / 32
    assert ahead["step_s"] < 32 * per_microbatch_s + 4 * per_microbatch_s
    kept = [
        [stage["components"]["activations"] for stage in one["memory"]["per_stage"]]
        for one in (plain, ahead)
    ]
    forwards = next(said for said in ahead["assumptions"] if "before their first backward" in said)
    warmup = int(re.findall(r"\d+", forwards)[0])
    assert warmup > 1
    assert kept[1][0] == pytest.approx(kept[0][0] * (warmup + 1) / 2, rel=0.05)
    assert kept[1][1] == kept[0][1]

    trace = tmp_path / "trace.json"
    estimated(planner, cluster, "1f1b-ahead", "--timeline", str(trace))
    assert trace.stat().st_size > 1000


def test_where_no_link_is_slow_it_is_1f1b(planner: Callable[..., Outcome], tmp_path: Path) -> None:
    near = tmp_path / "near.yaml"
    near.write_text(CLUSTER.replace("1.09 GB/s, latency: 17 ms", "25 GB/s, latency: 5 us"))
    plain, ahead = (estimated(planner, str(near), name) for name in ("1f1b", "1f1b-ahead"))
    assert plain["estimate"]["step_s"] == ahead["estimate"]["step_s"]
    assert plain["estimate"]["memory"] == ahead["estimate"]["memory"]


def test_a_search_finds_it_and_its_export_is_the_order_that_was_priced(
    planner: Callable[..., Outcome], cluster: str, tmp_path: Path
) -> None:
    found = planner("search", "--cluster", cluster, *JOB, *PLAN, "--recompute", "none", "--json")
    assert found.code == 0, found.stderr
    first = json.loads(found.stdout)["plans"][0]
    assert first["schedule"] == "1f1b-ahead"
    plans = tmp_path / "plans.json"
    plans.write_text(found.stdout)

    order = planner("export", str(plans), "--cluster", cluster, "--format", "torch-pipelining")
    assert order.code == 0, order.stderr
    assert "pipeline_parallel_schedule_csv" in order.stderr
    rows = list(csv.reader(order.stdout.splitlines()))
    said = next(one for one in first["estimate"]["assumptions"] if "first backward" in one)
    warmups = [int(number) for number in re.findall(r"\d+", said)]
    for stage, (row, warmup) in enumerate(zip(rows, warmups, strict=True)):
        m = first["num_microbatches"]
        expected = [f"{stage}F{i}" for i in range(m)], [f"{stage}B{i}" for i in range(m)]
        assert [one for one in row if "F" in one] == expected[0]
        assert [one for one in row if "B" in one] == expected[1]
        assert row.index(f"{stage}B0") == warmup + 1

    recipe = planner("export", str(plans), "--cluster", cluster, "--format", "torchtitan")
    assert 'pipeline_parallel_schedule_csv = "torch-pipelining.csv"' in recipe.stdout
    assert "--format torch-pipelining" in recipe.stderr


def test_other_layouts_and_hosts_of_a_plan_that_runs_ahead_are_bounded(
    planner: Callable[..., Outcome], cluster: str
) -> None:
    answer = planner(
        *("search", "--cluster", cluster, *JOB, "--schedule", "1f1b-ahead", "--top", "2"),
        *("--tensor", "2", "--pipeline", "2", "--context", "1", "--data-sharding", "none"),
        *("--recompute", "none,selective", "--json"),
    )
    assert answer.code == 0, answer.stderr
    found = json.loads(answer.stdout)["search"]
    assert found["gap"] < 0.2
    assert found["placement_gap"] < 0.02


def test_frameworks_that_wait_for_messages_do_not_run_it(
    planner: Callable[..., Outcome], cluster: str
) -> None:
    answer = planner(
        *("estimate", "--cluster", cluster, "--model", "llama-3-8b", "--pipeline", "2"),
        *("--schedule", "1f1b-ahead"),
    )
    assert answer.code == 2
    assert "torchtitan" in answer.stderr
