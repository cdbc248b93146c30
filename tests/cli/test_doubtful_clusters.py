"""Cluster files with figures that their hardware cannot have: commands say so, and go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from planner.specs.files.catalog import list_shipped
from planner.specs.load import load_cluster, load_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

CLUSTER = {
    "device": "h100-sxm-80gb",
    "devices_per_node": 8,
    "count": 2,
    "intra_node": {"bandwidth": "450 GB/s"},
    "network": {"cards": 8, "bandwidth": "50 GB/s"},
}
JOB = ("--model=llama-3-8b", "--global-batch-size=64", "--tensor=8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"intra_node": {"bandwidth": "900 GB/s"}},
            "node_groups[0].intra_node.bandwidth: 900 GB/s is more than h100-sxm-80gb has in one "
            "direction (450 GB/s); data sheets add up both directions; the file wants one",
        ),
        (
            {"network": {"cards": 8, "bandwidth": "400 GB/s"}},
            "node_groups[0].network.bandwidth: 400 GB/s is more than any network card has in one "
            "direction (100 GB/s, 800 Gbit/s); it is of one card; 400 Gbit/s are 50 GB/s",
        ),
        (
            {"network": {"cards": 3, "bandwidth": "50 GB/s"}},
            "node_groups[0].network.cards: 3 network cards do not go evenly with 8 devices in a "
            "node; only cards that carry the training traffic count",
        ),
        ({}, None),
        ({"network": {"cards": 16, "bandwidth": "50 GB/s"}}, None),
        ({"network": {"cards": 2, "bandwidth": "100 GB/s"}}, None),
    ],
)
def test_a_figure_that_the_hardware_cannot_have(
    planner: Run, tmp_path: Path, changes: dict[str, object], message: str | None
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"node_groups": [{**CLUSTER, **changes}]}, sort_keys=False))
    for command in (("estimate", *JOB, "--json"), ("search", *JOB, "--top=1", "--json")):
        done = planner(command[0], f"--cluster={path}", *command[1:])
        assert done.code == 0
        if message is None:
            assert "doubtful" not in done.stderr
            continue
        assert f"note: doubtful: {path}:" in done.stderr
        assert message in done.stderr
        assert message in json.loads(done.stdout)["inputs"]["assumptions"][0]
        (tmp_path / "plan.json").write_text(done.stdout)
        checked = planner("check", f"--cluster={path}", "--model=llama-3-8b",
                          f"{tmp_path / 'plan.json'}", "--format=concise")  # fmt: skip
        assert (checked.code, "PL211 warning" in checked.stdout) == (0, True)


def test_no_shipped_cluster_is_doubtful() -> None:
    for name in list_shipped("cluster"):
        assert load_cluster(name).doubts == ()


def test_every_shipped_device_says_how_it_reaches_others() -> None:
    for name in list_shipped("device"):
        links = load_device(name).intra_node
        assert links is not None
        assert links.bandwidth.basis == "datasheet"
        assert links.on_board == (links.kind == "nvlink" or links.kind == "xgmi")


@pytest.mark.parametrize(
    ("devices", "cards", "each"),
    [(16, 8, "12.5 GB/s"), (8, 4, "12.5 GB/s"), (8, 32, "3.125 GB/s")],
)
def test_cards_without_a_speed_are_the_usual_ones(
    planner: Callable[..., Outcome], tmp_path: Path, devices: int, cards: int, each: str
) -> None:
    """DGX-2 has eight cards of 100 Gb/s for its 16 V100 (data sheet), DGX-1 four for eight; more
    cards than devices share what one for each device would reach."""
    near = [min(card * devices // cards, devices - 1) for card in range(cards)]
    names = [*(f"GPU{i}" for i in range(devices)), *(f"mlx5_{i}" for i in range(cards))]
    rows = ["\t" + "\t".join(names)]
    for i in range(devices):
        cells = ["X" if i == j else "NV6" for j in range(devices)]
        rows.append("\t".join([f"GPU{i}", *cells, *("PIX" if i == j else "SYS" for j in near)]))
    table = tmp_path / "dgx.txt"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    done = planner("import", "cluster", str(table), "--device", "v100-sxm-32gb")
    assert done.code == 0, done.stderr
    assert f"network: {{cards: {cards}, bandwidth: {each}}}" in done.stdout
