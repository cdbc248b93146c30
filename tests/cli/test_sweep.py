"""`planner sweep`, driven as a user drives it."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.sweeps import series
from planner.training.search.search import search
from tests.reports.pages import read_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Planner = Callable[..., Outcome]


STUDY = """\
name: which
model: gpt-1.7b
job: {tokens: 100B, global_batch_size: 96}
search: {recompute: none, pipeline: [1]}
sweep:
  cluster: [dgx-a100-8, dgx-h100-16]
  nodes: [2, 3, 5]
prices: {devices: {h100-sxm-80gb: 2.95 $/h, a100-sxm-80gb: 9 $/h}}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def _sweep(planner: Planner, study: Path, *more: str) -> dict[str, Any]:
    outcome = planner("sweep", str(study), "--jobs", "1", "--json", *more)
    assert outcome.code == 0, outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_points_that_are_left_out_as_beaten_are_beaten(
    planner: Planner,
    study: Path,
) -> None:
    found, every = _sweep(planner, study), _sweep(planner, study, "--every-point")
    assert found["front"] == every["front"]
    left_out = [one for one in found["points"] if one["outcome"] == "dominated"]
    assert left_out
    for one in left_out:
        searched = every["points"][one["number"] - 1]
        assert searched["outcome"] == "planned"
        assert any(
            other["time_s"] <= searched["time_s"] and other["cost"] < searched["cost"]
            for other in every["points"]
        )
    searched = [one for one in found["points"] if one["outcome"] != "dominated"]
    for one in searched:
        assert one == every["points"][one["number"] - 1]


def test_a_point_is_what_a_search_finds(planner: Planner, study: Path) -> None:
    found = _sweep(planner, study, "--every-point")
    for number, nodes in ((4, 2), (6, 5)):
        outcome = planner(
            *("search", "--cluster", "dgx-h100-16", "--model", "gpt-1.7b", "--nodes", str(nodes)),
            *("--global-batch-size", "96", "--recompute", "none", "--pipeline", "1"),
            *("--tokens", "100B", "--json", "--top", "1"),
        )
        estimate = json.loads(outcome.stdout)["plans"][0]["estimate"]
        point = found["points"][number - 1]
        assert point["step_s"] == pytest.approx(estimate["step_s"], rel=1e-8)
        hours = point["devices"] * point["time_s"] / 3600
        assert point["cost"] == pytest.approx(2.95 * hours, rel=1e-6)
    assert found["points"][5]["nodes_used"] == 4


def test_a_sweep_that_was_ended_goes_on_without_repeating_a_point(
    planner: Planner,
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[int] = []

    def counted(scenario: Any, **options: Any) -> Any:
        searched.append(scenario.job.devices)
        if len(searched) == 2:
            raise KeyboardInterrupt
        return search(scenario, **options)

    monkeypatch.setattr(series, "search", counted)
    out = tmp_path / "results"
    options = ("sweep", str(study), "--jobs", "1", "--out", str(out), "--every-point", "--json")
    assert planner(*options).code == 130
    assert len(list((out / "points").iterdir())) == 1
    resumed = json.loads(planner(*options).stdout)
    assert len(searched) == 2 + 5
    assert resumed == _sweep(planner, study, "--every-point")
    searched.clear()
    again = planner(*options[:-1])
    assert not searched
    assert "6 were known before" in again.stdout.replace("\n", " ")


def test_tables_and_plans_are_kept(planner: Planner, study: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    found = _sweep(planner, study, "--out", str(out))
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [row["outcome"] for row in rows] == [one["outcome"] for one in found["points"]]
    assert [row["nodes"] for row in rows] == ["2", "3", "5", "2", "3", "5"]
    lines = (out / "points.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found["points"]
    front = list(csv.DictReader((out / "front.csv").read_text().splitlines()))
    assert [int(row["point"]) for row in front] == found["front"]
    for row in front:
        plan = json.loads((out / "plans" / f"{row['digest']}.json").read_text())
        assert plan["plans"][0]["estimate"]["step_s"] == pytest.approx(float(row["step_s"]))


def test_the_page_shows_the_front_and_the_curves(
    planner: Planner, study: Path, tmp_path: Path
) -> None:
    study.write_text(study.read_text().replace("name: which", "name: <b>which</b>"))
    assert planner("sweep", str(study)).code == 2
    study.write_text(study.read_text().replace("<b>which</b>", "which"))
    out = tmp_path / "results"
    found = _sweep(planner, study, "--out", str(out), "--every-point")
    page = read_page((out / "report.html").read_text())
    rows = page.one(id="front").one("tbody").every("tr")
    assert [int(row.one("th").text) for row in rows] == found["front"]
    wide = page.one(id="front").one(**{"class": "chart wide"})
    planned = [one for one in found["points"] if one["outcome"] == "planned"]
    assert len(list(wide.every("circle"))) == len(planned)
    curves = page.one(id="scaling").one(**{"class": "chart wide"})
    assert len(list(curves.every("path"))) == 2


def test_any_field_of_a_file_takes_values(planner: Planner, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "cluster: dgx-h100-16\nmodel: gpt-1.7b\njob: {nodes: 2, global_batch_size: 32}\n"
        "search: {recompute: none, pipeline: 1}\n"
        "sweep:\n"
        "  network.bandwidth: [5 GB/s, 50 GB/s]\n"
        "  device.memory.capacity: [80 GiB, 2 GiB]\n"
        "  model.num_layers: {first: 12, last: 24, factor: 2}\n"
        "apart: [network.bandwidth]\n"
        "limits: {devices: 8}\n"
    )
    points = _sweep(planner, study)["points"]
    assert len(points) == 8
    by_axes = {tuple(one["axes"].values()): one for one in points}
    slow, fast = (by_axes[rate, "80 GiB", "12"] for rate in ("5 GB/s", "50 GB/s"))
    assert slow["step_s"] > 1.05 * fast["step_s"]
    assert by_axes["50 GB/s", "80 GiB", "24"]["step_s"] > 1.7 * fast["step_s"]
    small = by_axes["5 GB/s", "2 GiB", "24"]
    assert small["outcome"] == "nothing fits"
    assert "GiB" in small["reason"]
    assert all(one["over_limits"] == ["devices"] for one in points if one["plan"])
    assert not any(one["on_front"] for one in points)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "  network.bandwith: [5 GB/s]",
            "4:3: sweep.network.bandwith: unknown key; allowed: cards, bandwidth, latency, kind; "
            "did you mean bandwidth?",
        ),
        (
            "  network.bandwidth: [5 GB/s, 5]",
            '4:31: sweep.network.bandwidth[1]: bandwidth needs a unit, found 5; write it like "25 '
            'GB/s"',
        ),
        ("  nods: [1]", "4:3: sweep.nods: no field begins with nods; a path begins with"),
        (
            "  nodes: 4",
            "4:10: sweep.nodes: expected a list of values or a range, found the number 4",
        ),
        ("  nodes: 9..4", "4:10: sweep.nodes: counts down from 9 to 4"),
        (
            "  nodes: [2]\nobjectives: [time, carbon]",
            "5:20: objectives[1]: carbon needs power, which",
        ),
        ("  nodes: [2, 2]", "4:14: sweep.nodes[1]: 2 is there twice"),
        ("  cluster: [dgx-a100-8]", "1:10: cluster: cluster is stated, and swept too"),
        ("  search.tensr: [2]", "4:17: sweep.search.tensr: no axis of a search; there are tensor,"),
        ("  search.tensor: [0]", "--tensor: 0 is not a whole number from 1 to 1,000,000"),
        (
            "  nodes: [1]\nsearch: {data: 2, tensor: -1}",
            "5:27: search.tensor: --tensor: -1 is not a whole number",
        ),
        ("  nodes: [1]\nlimits: {cost: 5}", "5:16: limits.cost: cost needs prices, which cluster"),
        (
            "  nodes: [1]\nprices: {devices: {h100-sxm-80gb: 3}}",
            "5:35: prices.devices.h100-sxm-80gb: expected a price per h, found the number 3; "
            'write it like "2.95 $/h"',
        ),
        ("  nodes: {first: 1, last: 1000000}", "4:10: sweep.nodes: are more than 10,000"),
        (
            "  nodes: 1..1000\n  global_batch_size: 1..1000",
            "4:3: sweep: 1,000,000 points are more than 100,000",
        ),
        ("  nodes: []", "4:10: sweep.nodes: expected a list of values or a range, found"),
        ("  precision: [bf16, fp7]", "4:21: sweep.precision[1]: "),
        (
            "  device.memry.capacity: [80 GiB]",
            "study.yaml:4:3: sweep.device.memry.capacity: unknown key",
        ),
        ("  software: [own.yaml]", "4:14: sweep.software[0]: there is no file "),
        ("  software: [megatron]", "4:14: sweep.software[0]: no software file is shipped as"),
        (
            "  fabric.tiers[4].oversubscription: [2]",
            "4:38: sweep.fabric.tiers[4].oversubscription[0]: entry 4 of the path is in no list",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    planner: Planner,
    tmp_path: Path,
    line: str,
    said: str,
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(f"cluster: dgx-h100-16\nmodel: gpt-1.7b\nsweep:\n{line}\n")
    outcome = planner("sweep", str(study))
    assert outcome.code == 2
    assert said in outcome.stderr
    assert str(study) in outcome.stderr


def test_points_that_a_device_cannot_run_keep_their_reason(
    planner: Planner, tmp_path: Path
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "cluster: dgx-a100-8\nmodel: gpt-1.7b\njob: {nodes: 1, global_batch_size: 16}\n"
        "search: {recompute: none, pipeline: 1}\nsweep: {precision: [bf16, fp8]}\n"
    )
    plain, eighth = _sweep(planner, study)["points"]
    assert plain["outcome"] == "planned"
    assert eighth["outcome"] == "refused"
    assert "fp8" in eighth["reason"]
    assert "a100" in eighth["reason"]
    said = " ".join(planner("sweep", str(study), "--jobs", "1").stdout.split())
    assert "1 has a plan" in said
    assert "1 cannot be asked for" in said


def test_prices_are_those_of_the_devices_that_are_swept(planner: Planner, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "cluster: dgx-h100-16\nmodel: gpt-1.7b\njob: {nodes: 1, global_batch_size: 16}\n"
        "sweep: {device: [a100-sxm-80gb, h100-sxm-80gb], power.pue: [1, 2]}\n"
        "power: {tariff: 0.5 $/kWh}\nobjectives: [energy]\n"
        "prices: {devices: {a100-sxm-80gb: 1 $/h, h100-sxm-80gb: 4 $/h}}\n"
    )
    points = _sweep(planner, study, "--every-point")["points"]
    for one, price, kw, pue in zip(
        points, (1, 1, 4, 4), (0.4, 0.4, 0.7, 0.7), (1, 2, 1, 2), strict=True
    ):
        hours = 8 * one["time_s"] / 3600
        assert one["energy_kwh"] == pytest.approx(hours * kw * pue)
        assert one["cost"] == pytest.approx(hours * (price + 0.5 * kw * pue))


def test_two_clusters_are_compared_by_their_own_prices(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, device, price in (
        ("old", "a100-sxm-80gb", "1 $/h"),
        ("new", "h100-sxm-80gb", "9 $/h"),
    ):
        (tmp_path / f"{name}.yaml").write_text(
            f"node_groups: [{{count: 2, device: {device}, devices_per_node: 8, "
            "intra_node: {bandwidth: 300 GB/s}, network: {cards: 8, bandwidth: 25 GB/s}}]\n"
            f"prices: {{devices: {{{device}: {price}}}}}\n"
        )
    clusters = [str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")]
    outcome = planner(
        *("compare-clusters", *clusters, "--model", "gpt-1.7b", "--nodes", "1..2", "--jobs", "1"),
        *("--tokens", "10B", "--global-batch-size", "32", "--json"),
    )
    found = json.loads(outcome.stdout)
    assert found["objectives"] == ["time", "cost"]
    assert [one["axes"]["nodes"] for one in found["points"]] == ["1", "2", "1", "2"]
    costs = [one["cost"] for one in found["points"]]
    assert max(costs[:2]) < min(costs[2:])
    monkeypatch.setenv("COLUMNS", "60")
    small = ("--model", "gpt-1.7b", "--global-batch-size", "32", "--nodes", "1", "--jobs", "1")
    shown = planner("compare-clusters", *clusters, *small).stdout
    assert "…" not in shown
    assert "Front: no other point beats these in time and cost" in shown
    assert "Side by side" in planner("compare-clusters", "dgx-a100-8", "dgx-h100-16", *small).stdout
    missing = planner("compare-clusters", "dgx-a100-8", "--model", "gpt-1.7b", "--nodes", "99")
    assert missing.code == 1
    assert "fewer than the 99" in missing.stdout.replace("\n   ", " ")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (("--precision", "fp7"), "--precision: 'fp7' is not one of"),
        (("--tokens", "many"), "--tokens: 'many' is not a number of tokens"),
        (("--nodes", "8..4"), "--nodes: '8..4' counts down"),
        (("--model", "gpt-1.7c"), "did you mean gpt-1.7b"),
        (("--software", "megatron"), "no software file is shipped as"),
    ],
)
def test_options_of_a_comparison_are_called_by_their_names(
    planner: Planner, options: tuple[str, ...], wrong: str
) -> None:
    model = () if "--model" in options else ("--model", "gpt-1.7b")
    outcome = planner("compare-clusters", "dgx-a100-8", "dgx-h100-16", *model, *options)
    assert outcome.code == 2
    assert wrong in " ".join(outcome.stderr.split())


def test_what_cannot_be_compared_is_refused(planner: Planner, tmp_path: Path) -> None:
    for name, price in (("here", "1 $/h"), ("there", "1 €/h")):
        (tmp_path / f"{name}.yaml").write_text(
            "node_groups: [{count: 1, device: a100-sxm-80gb, devices_per_node: 8, "
            "intra_node: {bandwidth: 300 GB/s}}]\n"
            f"prices: {{devices: {{a100-sxm-80gb: {price}}}}}\n",
            encoding="utf-8",
        )
    files = [str(tmp_path / f"{name}.yaml") for name in ("here", "there")]
    money = planner("compare-clusters", *files, "--model", "gpt-1.7b")
    assert money.code == 2
    assert "cost needs one currency; prices of cluster here are in $" in money.stderr
    twice = planner("compare-clusters", files[0], files[0], "--model", "gpt-1.7b")
    assert twice.code == 2
    assert "is given twice" in twice.stderr
    study = tmp_path / "study.yaml"
    study.write_text("cluster: here.yaml\nmodel: gpt-1.7b\nsweep: {nodes: [1]}\n")
    both = planner("sweep", str(study), "--jobs", "2", "--scheduler", "dask://head:8786")
    assert both.code == 2
    assert "--jobs and --scheduler are both given" in both.stderr
