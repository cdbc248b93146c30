"""`planner search --serving`: plans for a load, driven as a user drives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from planner import api
from planner.budget import OutOfTime
from planner.plan_document.serving.read import read_serving_plan

if TYPE_CHECKING:
    from collections.abc import Callable

LOAD = "requests: {input: 512, output: 128, spread: 0.1}\nconcurrency: 32\n"
WHAT = ("--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "1", "--pipeline", "1")


def load(folder: Path, text: str = LOAD) -> str:
    path = folder / "load.yaml"
    path.write_text(text)
    return str(path)


def test_plans_are_found_written_and_read_back(planner: Callable[..., Any], tmp_path: Path) -> None:
    path, out = load(tmp_path), str(tmp_path / "plans.json")
    told = planner("search", *WHAT, "--serving", path, "--top", "3", "--json", "-o", out)
    assert told.code == 0
    document = json.loads(told.stdout)
    assert told.stdout == Path(out).read_text()
    assert not list(Draft202012Validator(api.schema("serving-plan")).iter_errors(document))
    assert document["job"] == "serving"
    assert [plan["rank"] for plan in document["plans"]] == [1, 2, 3]
    assert document["search"]["gap"] < 0.05
    rates = [plan["estimate"]["output_tokens_per_s"] for plan in document["plans"]]
    assert rates == sorted(rates, reverse=True)
    assert document["search"]["bound"] >= rates[0] * (1 - 1e-6)
    front = [
        (
            one["estimate"]["tokens_per_s_per_user"],
            one["estimate"]["output_tokens_per_s_per_device"],
        )
        for one in document["front"]
    ]
    assert front == sorted(front, key=lambda point: (-point[0], point[1]))
    assert read_serving_plan(f"{out}#3").plan.devices <= 8
    again = planner("search", *WHAT, "--serving", path, "--top", "3", "--json")
    assert again.stdout == told.stdout


def test_requests_longer_than_the_model_is_made_for_are_told(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    path = load(tmp_path, "requests: {input: 8000, output: 500}\nconcurrency: 4\n")
    out = str(tmp_path / "plans.json")
    told = planner("search", *WHAT, "--serving", path, "--tensor", "8", "--top", "1", "-o", out)
    assert told.code == 0
    assert "8,500 tokens, although llama-3-8b is made for 8,192" in told.stderr
    assert "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1" in planner("export", out, "--format", "vllm").stderr


def test_the_report_names_pools_gap_and_front(planner: Callable[..., Any], tmp_path: Path) -> None:
    told = planner("search", *WHAT, "--serving", load(tmp_path), "--disaggregated", "on")
    assert told.code == 0
    assert "prefill and" in told.stdout
    assert "decode replica" in told.stdout
    assert "of the best" in told.stdout or "proven best" in told.stdout
    assert "Throughput of a device against interactivity" in told.stdout


def test_limits_that_none_keeps_are_said(planner: Callable[..., Any], tmp_path: Path) -> None:
    text = LOAD + "slo: {tpot: {mean: 0.1 ms}, ttft: {p99: 60 s}}\n"
    told = planner("search", *WHAT, "--serving", load(tmp_path, text))
    assert told.code == 1
    assert "No plan keeps the limits of the load." in told.stdout
    assert "tpot mean: no replica reaches less than" in told.stdout
    assert "ttft" not in told.stdout.split("What stands in the way")[1].split("Throughput")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--micro-batch-size", "2"), "--micro-batch-size is for training"),
        (("--robust", "10%"), "--robust is for training"),
        (("--cloud",), "--cloud is for training"),
        (("--engine", "vlm"), "did you mean vllm?"),
        (("--objective", "speed"), "--objective: 'speed' is not one of throughput, cost"),
        (("--objective", "cost"), "--objective cost needs what devices cost"),
        (("--weights", "fp8,fp7"), "--weights: 'fp7' is not one of"),
        (("--weights", "nvfp4"), "vllm has no products in nvfp4"),
        (("--tensor", "0"), "--tensor"),
        (("--tensor", "7"), "must divide the 32 attention heads"),
        (("--tensor", "7"), "valid with --tensor 1,2,4,8"),
        (("--tensor", "16"), "divide the 8 devices that share a fast fabric"),
        (("--expert", "2"), "has no experts"),
        (("--tensor", "4", "--devices", "3"), "a replica with it takes 4 devices at least"),
        (("--tensor", "4", "--pipeline", "8"), "valid with --tensor 1 or --pipeline 1,2"),
        (("--disaggregated", "maybe"), "--disaggregated"),
    ],
)
def test_what_is_wrong_is_refused(
    planner: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    what = WHAT[:-2] if "--pipeline" in arguments else WHAT
    told = planner("search", *what, "--serving", load(tmp_path), *arguments)
    assert told.code == 2
    assert message in told.stderr
    assert len(told.stderr.splitlines()) <= 2


def test_what_leaves_no_room_and_what_would(planner: Callable[..., Any], tmp_path: Path) -> None:
    what = ("--cluster", "dgx-a100-8", "--model", "deepseek-v3", "--nodes", "1")
    told = planner("search", *what, "--serving", load(tmp_path))
    assert told.code == 1
    said = " ".join(told.stdout.split())
    assert (
        "memory: weights of deepseek-v3 in bf16 on 8 x a100-sxm-80gb take 156.2 GiB of the" in said
    )
    assert "--weights int4 makes room for it" in said
    stages = said.split("--pipeline ")[1].split()[0]
    told = planner(
        "search", *what[:-1], stages, "--serving", load(tmp_path), "--tensor", "8",
        "--pipeline", stages, "--disaggregated", "off",
    )  # fmt: skip
    assert told.code == 0


def test_files_of_a_load_that_are_not_there(planner: Callable[..., Any], tmp_path: Path) -> None:
    for text, where in (
        ("requests: {trace: none.csv}\n", "load.yaml:1:19: requests.trace"),
        (LOAD + "routing: none.json\n", "load.yaml:3:10: routing"),
    ):
        told = planner("search", *WHAT, "--serving", load(tmp_path, text))
        assert told.code == 2
        assert f"{where}: there is no file" in told.stderr


def test_few_requests_on_few_devices_are_proven(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    few = load(tmp_path, "requests: {input: 512, output: 16}\nconcurrency: 8\n")
    told = planner("search", *WHAT, "--serving", few, "--disaggregated", "off", "--json")
    assert json.loads(told.stdout)["search"]["gap"] == 0.0


def test_options_of_serving_need_a_load(planner: Callable[..., Any]) -> None:
    told = planner("search", *WHAT, "--engine", "vllm")
    assert told.code == 2
    assert "--engine is for serving; it needs --serving" in told.stderr


def test_prices_rank_by_the_cost_of_a_token(planner: Callable[..., Any], tmp_path: Path) -> None:
    text = planner("show", "dgx-h100-16").stdout
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(text + "prices: {devices: {h100-sxm-80gb: 3 $/h}}\n")
    what = ("--cluster", str(cluster), *WHAT[2:], "--disaggregated", "off")
    told = planner("search", *what, "--serving", load(tmp_path), "--objective", "cost", "--json")
    assert told.code == 0
    best = json.loads(told.stdout)["plans"][0]["estimate"]
    each = 3 * best["devices"] / 3600 / best["output_tokens_per_s"] * 1e6
    assert best["price_per_million_tokens"] == pytest.approx(each)
    assert best["devices"] < 8


def test_a_plan_of_pools_is_estimated_again(planner: Callable[..., Any], tmp_path: Path) -> None:
    out = str(tmp_path / "plans.json")
    what = ("--serving", load(tmp_path), "--disaggregated", "on", "--top", "1", "--json", "-o", out)
    found = json.loads(planner("search", *WHAT, *what).stdout)
    told = planner("estimate", "--cluster", "dgx-h100-16", "--plan", out, "--json")
    assert told.code == 0
    again = json.loads(told.stdout)
    (before,), (after,) = found["plans"], again["plans"]
    assert after["estimate"]["tpot"]["mean_s"] == pytest.approx(
        before["estimate"]["tpot"]["mean_s"], rel=1e-4
    )
    assert "search" not in again
    shown = planner("estimate", "--cluster", "dgx-h100-16", "--plan", out)
    assert "prefill and" in shown.stdout
    other = planner("estimate", "--cluster", "dgx-a100-8", "--plan", out)
    assert other.code == 2
    assert "has no node group h100" in other.stderr
    training = planner("estimate", "--cluster", "dgx-h100-16", "--plan", out, "--tensor", "2")
    assert training.code == 2


MIXED = "name: two-types\nnode_groups:\n" + "".join(
    f"  - {{name: {name}, count: 1, device: {device}, devices_per_node: 4, "
    "intra_node: {bandwidth: 450 GB/s}, network: {cards: 4, bandwidth: 50 GB/s}}\n"
    for name, device in (("h100", "h100-sxm-80gb"), ("h200", "h200-sxm"))
)
PRICES = "prices: {devices: {h100-sxm-80gb: 2 $/h, h200-sxm: 3.5 $/h}}\n"


def test_tight_limits_leave_a_plan_and_a_gap(planner: Callable[..., Any], tmp_path: Path) -> None:
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(MIXED + PRICES)
    text = LOAD + "slo: {ttft: {p99: 150 ms}, tpot: {mean: 8 ms}}\n"
    what: tuple[str, ...] = ("--cluster", str(cluster), "--model", "llama-3-8b")
    what += ("--max-step-tokens", "8192", "--pipeline", "1", "--top", "1", "--json")
    what += ("--serving", load(tmp_path, text))
    values = {}
    for objective in ("cost", "devices"):
        told = planner("search", *what, "--objective", objective)
        assert told.code == 0
        document = json.loads(told.stdout)
        assert document["plans"][0]["estimate"]["missed"] == []
        search = document["search"]
        assert search["gap"] is not None
        assert search["bound"] <= search["value"] * (1 + 1e-6)
        assert (search["stopped"] == "proven") == (search["gap"] == 0)
        values[objective] = document["plans"][0]["estimate"]
    prices = [one["price_per_million_tokens"] for one in values.values()]
    assert prices[0] <= prices[1] * (1 + search["gap"])


def test_without_a_plan_nothing_is_proven_unless_it_is_ruled_out(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    text = LOAD + "slo: {tpot: {mean: 0.1 ms}}\n"
    told = planner("search", *WHAT, "--serving", load(tmp_path, text), "--json")
    search = json.loads(told.stdout)["search"]
    assert told.code == 1
    assert (search["proven"], search["gap"], search["bound"]) == (False, None, None)


@pytest.mark.parametrize(("cut", "code"), [("time limit", 0), ("interrupted", 130)])
def test_a_search_that_is_cut_shows_what_it_knows(
    planner: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: str,
    code: int,
) -> None:
    """Time runs out, or Ctrl-C is pressed, in the program of pools."""
    from planner.serving.search import mixing

    def ends(*_: object, **__: object) -> None:
        raise OutOfTime if cut == "time limit" else KeyboardInterrupt

    monkeypatch.setattr(mixing, "solve_pools", ends)
    what: tuple[str, ...] = (*WHAT, "--serving", load(tmp_path), "--json")
    what += ("--max-step-tokens", "8192", "--disaggregated", "off")
    told = planner("search", *what, "--time-limit", "600")
    assert told.code == code
    document = json.loads(told.stdout)
    search = document["search"]
    assert search["stopped"] == cut
    assert document["plans"]
    assert 0 < search["gap"] < 1
    assert search["bound"] > search["value"]
    monkeypatch.undo()
    whole = json.loads(planner("search", *what).stdout)
    assert search["bound"] >= whole["search"]["value"]


def test_a_short_time_limit_says_that_time_ran_out(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    told = planner("search", *WHAT, "--serving", load(tmp_path), "--time-limit", "0.01")
    assert "time ran out" in (told.stdout + told.stderr).lower()
    assert told.code in (0, 1)
