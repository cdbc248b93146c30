"""Prices, energy and carbon, as a user meets them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from planner.plan import Spending

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

PLAN = ("--model", "llama-3-8b", "--tensor", "2", "--micro-batch-size", "1")
BATCH = ("--global-batch-size", "256")
PRICES = {
    "devices": {"h100-sxm-80gb": "2.95 $/h", "site-b": "2.5 $/h"},
    "egress": {"wide-area": "0.02 $/GB"},
}
POWER = {
    "load": "90%",
    "node_overhead": 1.8,
    "pue": 1.1,
    "carbon": "380 g/kWh",
    "tariff": "0.1 $/kWh",
}


def cluster(tmp_path: Path, **blocks: Any) -> str:
    groups = [
        {
            "name": name,
            "count": 2,
            "device": "h100-sxm-80gb",
            "devices_per_node": 8,
            "intra_node": {"bandwidth": "450 GB/s"},
            "network": {"cards": 8, "bandwidth": "50 GB/s"},
        }
        for name in ("site-a", "site-b")
    ]
    tiers = [{"name": "site", "nodes": 2}, {"name": "wide-area", "bandwidth": "5 GB/s"}]
    content = {"node_groups": groups, "fabric": {"tiers": tiers}, **blocks}
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(file)


def estimated(planner: Run, file: str, *more: str) -> dict[str, Any]:
    done = planner("estimate", "--cluster", file, *PLAN, *BATCH, *more, "--json")
    assert done.code in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["plans"][0]["estimate"]
    return found


def test_amounts_follow_from_the_file(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, prices=PRICES, power=POWER)
    found = estimated(planner, file, "--pipeline", "2", "--tokens", "1T")
    spending, step_s = found["spending"], found["step_s"]
    assert spending["devices_per_hour"] == pytest.approx(16 * 2.95 + 16 * 2.5)
    assert spending["power_w"] == pytest.approx(32 * 700 * 0.9 * 1.8 * 1.1)
    # 32 microbatches of 8,192 tokens of 4,096 numbers of 16 bits cross the boundary of the sites
    # in each of 8 replicas, there and back.
    sent_gb = 2 * 32 * 8 * 8192 * 4096 * 2 / 1e9
    assert spending["egress_per_step"] == pytest.approx(0.02 * sent_gb)
    kwh = spending["power_w"] / 1000 * step_s / 3600
    step = spending["step"]["expected"]
    assert step["energy_kwh"] == pytest.approx(kwh)
    assert step["carbon_kg"] == pytest.approx(0.38 * kwh)
    rent = spending["devices_per_hour"] * step_s / 3600
    assert step["price"] == pytest.approx(rent + 0.1 * kwh + 0.02 * sent_gb)
    steps = 1e12 / (256 * 8192)
    whole = spending["whole_job"]
    assert whole["expected"]["price"] == pytest.approx(step["price"] * steps)
    times = found["whole_job"]
    for name in ("low", "high"):
        share = times[f"{name}_s"] / times["wall_s"]
        assert whole[name]["energy_kwh"] == pytest.approx(whole["expected"]["energy_kwh"] * share)


def test_replicas_on_both_sites_pay_for_their_gradients(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, prices=PRICES)
    found = estimated(planner, file, "--pipeline", "1", "--data-sharding", "none")
    # A ring over 16 replicas crosses twice; each tensor rank adds up half of the parameters in
    # 32 bits, (n - 1)/n of them on every link and twice.
    gradient_gb = 8_030_261_248 * 4 / 1e9
    crossing_gb = 2 * 2 * 15 / 16 * gradient_gb
    egress = found["spending"]["egress_per_step"]
    assert egress == pytest.approx(0.02 * crossing_gb, rel=0.01)
    assert found["spending"]["power_w"] is None


def test_nothing_is_said_without_the_blocks(planner: Run, tmp_path: Path) -> None:
    found = estimated(planner, cluster(tmp_path), "--pipeline", "2")
    assert "spending" not in found
    said = planner("estimate", "--cluster", cluster(tmp_path), *PLAN, "--pipeline", "2").stdout
    assert "A step takes" not in said


def test_a_report_says_it_and_what_is_left_out(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, prices=PRICES, power={"carbon": "380 g/kWh"})
    done = planner("estimate", "--cluster", file, *PLAN, *BATCH, "--pipeline", "2")
    said = " ".join(done.stdout.split())
    assert "A step takes 0." in said
    assert "is for traffic between sites" in said
    assert "power: nothing is counted for cooling (no pue given)" in said


@pytest.mark.parametrize(
    ("blocks", "wrong"),
    [
        ({"prices": {"devices": {"h100": "3 $/h"}}}, "no device or node group is named h100"),
        ({"prices": {"devices": {"site-a": "3 $/h"}}}, "group site-b has no price"),
        ({"prices": {"devices": {"h100-sxm-80gb": "3"}}}, 'write it like "2.95 $/h"'),
        ({"prices": {"devices": {"h100-sxm-80gb": "3 $/d"}}}, "is not a price per h"),
        ({"prices": {"devices": {}}}, "devices"),
        ({"prices": {**PRICES, "egress": {"spine": "1 $/GB"}}}, "no tier of the fabric"),
        ({"prices": {**PRICES, "egress": {"site": "1 EUR/GB"}}}, "in one currency"),
        ({"prices": PRICES, "power": {"tariff": "1 EUR/kWh"}}, "in one currency"),
        ({"power": {"pue": 0.9}}, "pue"),
        ({"power": {"carbon": "380"}}, "carbon intensity needs a unit"),
    ],
)
def test_wrong_blocks_are_refused_with_their_place(
    planner: Run, tmp_path: Path, blocks: dict[str, Any], wrong: str
) -> None:
    done = planner("estimate", "--cluster", cluster(tmp_path, **blocks), *PLAN, "--pipeline", "2")
    assert done.code == 2
    assert wrong in done.stderr
    assert "cluster.yaml:" in done.stderr


@pytest.mark.parametrize(
    ("device_hours", "tons"), [(1.46e6, 420), (7.0e6, 2040), (30.84e6, 8930), (39.3e6, 11390)]
)
def test_carbon_of_llama_3_1(device_hours: float, tons: float) -> None:
    """Device hours and location-based emissions of the 8B, 70B and 405B models and of all together:
    meta-llama/Llama-3.1-405B, model card, "Hardware and Software", on devices of 700 W. The factors
    are of other sources: the U.S. grid, 0.86 pounds per kWh (EIA, State Electricity Profiles 2022),
    and Meta's PUE of 1.08 (Meta, Environmental Data Index 2024)."""
    spending = Spending(power_w=700 * 1.08, carbon_g_per_kwh=0.86 * 453.592)
    spent = spending.over(device_hours * 3600, 0)
    assert spent.energy_kwh == pytest.approx(device_hours * 0.756)
    assert spent.carbon_kg is not None
    assert spent.carbon_kg / 1000 == pytest.approx(tons, rel=0.05)
