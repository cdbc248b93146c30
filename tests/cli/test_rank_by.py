"""Plans ranked by goodput or cost, within limits, as a user meets them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from planner.plan import Degrees, Placement, Plan, Recompute
from planner.training.lifetime.shortage import expected_speed, replicas_on_node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

PRICES = {"devices": {"h100": "3 $/h"}}
RELIABILITY = {
    "device_mtbf": "500 h",
    "repair": "12 h",
    "checkpoint": {"write_bandwidth": "20 GB/s"},
}
SPACE = ("--tensor", "8", "--pipeline", "1,2", "--context", "1", "--recompute", "full",
         "--micro-batch-size", "1", "--schedule", "1f1b")  # fmt: skip


def cluster(tmp_path: Path, **blocks: Any) -> str:
    group = {
        "name": "h100",
        "count": 4,
        "device": "h100-sxm-80gb",
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "450 GB/s"},
        "network": {"cards": 8, "bandwidth": "10 GB/s"},
    }
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({"node_groups": [group], **blocks}), encoding="utf-8")
    return str(file)


def searched(planner: Run, file: str, *more: str, nodes: int = 4) -> dict[str, Any]:
    options = ("--cluster", file, "--model", "llama-3-8b", "--global-batch-size", "48")
    done = planner("search", *options, *SPACE, "--nodes", str(nodes), *more, "--json")
    assert done.code in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cost(plan: dict[str, Any]) -> float:
    found: float = plan["estimate"]["spending"]["step"]["expected"]["price"]
    return found


def test_cost_is_least_over_all_numbers_of_nodes(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, prices=PRICES)
    alone = [
        searched(planner, file, "--top", "1", "--idle", "off", nodes=nodes)["plans"]
        for nodes in (1, 2, 3, 4)
    ]
    every = [plans[0] for plans in alone if plans]
    rates = [plan["estimate"]["tokens_per_s"] for plan in every]
    cheapest = min(map(cost, every))
    best = searched(planner, file, "--top", "1", "--rank-by", "cost")
    assert cost(best["plans"][0]) == pytest.approx(cheapest)
    assert best["search"]["ranked"]["values"] == [pytest.approx(cheapest)]
    floor = sorted(rates)[-2] * 1.01
    fast = searched(planner, file, "--top", "1", "--rank-by", "cost", "--at-least", f"{floor:.0f}")
    enough = [plan for plan in every if plan["estimate"]["tokens_per_s"] >= floor]
    assert cost(fast["plans"][0]) == pytest.approx(min(map(cost, enough)))
    limit = sorted(map(cost, every))[1] * 1.001
    within = searched(planner, file, "--top", "1", "--budget", f"{limit:.9f}/step")
    allowed = [plan["estimate"]["step_s"] for plan in every if cost(plan) <= limit]
    assert within["plans"][0]["estimate"]["step_s"] == pytest.approx(min(allowed))
    assert cost(within["plans"][0]) <= limit


def test_no_plan_within_the_limits_is_said(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, prices=PRICES)
    options = ("--cluster", file, "--model", "llama-3-8b", "--global-batch-size", "48", *SPACE)
    dear = planner("search", *options, "--budget", "1", "--tokens", "1T")
    assert dear.code == 1
    said = " ".join(dear.stdout.split())
    assert "No plan has at most 1 $ for the job." in said
    assert "the closest is t" in said
    assert said.split("tokens/s, ")[1].endswith("$ for the job.")
    slow = planner("search", *options, "--at-least", "1B")
    assert "No plan has at least 1,000,000,000 tokens/s." in " ".join(slow.stdout.split())


def test_goodput_ranks_by_what_lasts(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, reliability=RELIABILITY)
    found = searched(planner, file, "--top", "20", "--rank-by", "goodput")
    rates = [
        plan["estimate"]["tokens_per_s"] * plan["estimate"]["goodput"]["share"]
        for plan in found["plans"]
    ]
    assert rates == sorted(rates, reverse=True)
    assert found["search"]["ranked"]["by"] == "goodput"
    steps = [plan["estimate"]["step_s"] for plan in found["plans"]]
    assert steps != sorted(steps)
    said = planner("search", "--cluster", file, "--model", "llama-3-8b", "--global-batch-size",
                   "48", *SPACE, "--top", "1", "--rank-by", "goodput")  # fmt: skip
    assert "Ranked by the step with failures" in " ".join(said.stdout.split())


def test_a_loss_that_costs_one_replica_is_better_than_one_that_stops_the_job() -> None:
    def plan(tensor: int, pipeline: int, data: int) -> Plan:
        return Plan(
            degrees=Degrees(tensor=tensor, pipeline=pipeline, data=data),
            micro_batch_size=1,
            num_microbatches=1,
            schedule="1f1b",
            virtual_stages=1,
            sequence_parallel=True,
            data_sharding="optimizer",
            recompute=Recompute(granularity="none", layers_per_stage=()),
            stages=(),
            placement=Placement(order="tp-cp-ep-dp-pp", hosts=(), ranks=""),
        )

    assert replicas_on_node(plan(8, 4, 4), 8) == 1
    assert replicas_on_node(plan(2, 16, 4), 8) == 4
    assert replicas_on_node(plan(1, 1, 4), 8) == 4
    stops, shrinks = expected_speed(1.0, 16, 0.5, 0), expected_speed(0.25, 16, 0.5, 0)
    assert stops == pytest.approx(0.6065, abs=1e-4)  # e^-0.5: nobody is away
    assert shrinks == pytest.approx(1 - 0.25 * 0.5, abs=1e-3)
    assert expected_speed(1.0, 16, 0.5, 3) > 0.998


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (("--rank-by", "cost"), "states no prices"),
        (("--rank-by", "goodput"), "does not say how often it fails"),
        (("--rank-by", "price"), "--rank-by"),
        (("--budget", "1M"), "states no prices"),
        (("--budget", "much"), "is no amount"),
        (("--budget", "0"), "is no amount"),
        (("--at-least", "-3"), "no number of tokens per second"),
        (("--at-least", "1M", "--cloud"), "go without --cloud"),
    ],
)
def test_what_the_file_does_not_say(
    planner: Run, tmp_path: Path, options: tuple[str, ...], wrong: str
) -> None:
    file = cluster(tmp_path)
    done = planner("search", "--cluster", file, "--model", "llama-3-8b", *SPACE, *options)
    assert done.code == 2
    assert wrong in " ".join(done.stderr.split())
