"""`planner search --serving` for requests that come at times of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from planner import api
from tests.cli.test_serving_loads import MOONCAKE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHAT = ("--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "1", "--pipeline", "1")
NARROW = ("--max-step-tokens", "8192", "--disaggregated", "off", "--tensor", "1,2")
LENGTHS = "requests: {input: 512, output: 64}\n"
LIMITS = "slo: {ttft: {p99: 200 ms}, tpot: {mean: 9 ms}}\n"


@pytest.fixture(autouse=True)
def _few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.serving.load.arrivals.DRAWN", 200)
    monkeypatch.setattr("planner.serving.open_estimate._SATURATED", 200)


@pytest.fixture
def told(planner: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    def run(load: str, *options: str) -> Any:
        (tmp_path / "load.yaml").write_text(load)
        return planner("search", *WHAT, "--serving", str(tmp_path / "load.yaml"), *options)

    return run


def test_a_rate_asks_for_the_fewest_devices_and_is_estimated_again(
    told: Callable[..., Any], planner: Callable[..., Any], tmp_path: Path
) -> None:
    out = str(tmp_path / "plans.json")
    answer = told(LENGTHS + "arrivals: {rate: 60 /s}\n" + LIMITS, *NARROW, "--json", "-o", out)
    assert answer.code == 0
    document = json.loads(answer.stdout)
    assert not list(Draft202012Validator(api.schema("serving-plan")).iter_errors(document))
    assert document["search"]["objective"] == "devices"
    best = document["plans"][0]["estimate"]
    assert best["requests_per_s"] == pytest.approx(60)
    assert best["ttft"]["p99_s"] <= 0.2
    again = planner("estimate", "--cluster", "dgx-h100-16", "--plan", out, "--json")
    assert again.code == 0
    assert json.loads(again.stdout)["plans"][0]["estimate"]["ttft"] == pytest.approx(best["ttft"])
    assert planner("check", out).code == 0
    assert "--tensor-parallel-size" in planner("export", out, "--format", "vllm").stdout
    most = told(LENGTHS + "arrivals: {rate: 1 /s}\n" + LIMITS, *NARROW, "--objective", "throughput")
    assert "requests per second with" in " ".join(most.stdout.split())


def test_a_trace_is_dealt_in_turn(told: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "trace.txt").write_text("\n".join(MOONCAKE) + "\n")
    load = "requests: {trace: trace.txt}\narrivals: {rate: 20 /s}\nslo: {tpot: {p99: 9 ms}}\n"
    answer = told(load, *NARROW, "--json")
    assert answer.code == 0
    document = json.loads(answer.stdout)
    assert document["inputs"]["load"]["requests"]["trace"] == str(tmp_path / "trace.txt")
    assert any("in turn" in one for one in document["inputs"]["assumptions"])
    assert document["plans"][0]["estimate"]["tpot"]["p99_s"] <= 9e-3


def test_a_rate_without_a_plan_says_what_stands_in_the_way(told: Callable[..., Any]) -> None:
    answer = told(LENGTHS + "arrivals: {rate: 5000 /s}\n" + LIMITS, *NARROW[:4], "--tensor", "1")
    said = " ".join(answer.stdout.split())
    assert answer.code == 1
    assert "rate: within the limits 8 devices answer at most" in said
    assert "without this limit they answer" in said
    fast = "slo: {tpot: {mean: 0.1 ms}}\n"
    answer = told(LENGTHS + "arrivals: {rate: 5 /s}\n" + fast, *NARROW[:4], "--tensor", "1")
    assert answer.code == 1
    assert "tpot mean: no replica reaches less than" in answer.stdout


def test_replicas_that_hand_nothing_over_are_refused(
    told: Callable[..., Any], planner: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "plans.json"
    load = LENGTHS + "arrivals: {rate: 20 /s}\n"
    what = ("--disaggregated", "on", "--tensor", "1,2", "--top", "1", "--json", "-o", str(out))
    document = json.loads(told(load, *what).stdout)
    for pool in document["plans"][0]["pools"]:
        pool["tensor"] = 2 if pool["role"] == "prefill" else 1
        pool["replicas"] = 1
    out.write_text(json.dumps(document))
    message = "vllm takes a decode degree that is a multiple of the other"
    checked = planner("check", str(out))
    assert checked.code == 1
    assert "PL502" in checked.stdout
    assert message in " ".join(checked.stdout.split())
    for command in (("estimate", "--cluster", "dgx-h100-16", "--plan"), ("export",)):
        extra = ("--format", "vllm") if command == ("export",) else ()
        told_ = planner(*command, str(out), *extra)
        assert told_.code == 2
        assert message in told_.stderr


@pytest.mark.parametrize(
    ("load", "options", "message"),
    [
        ("arrivals: {rate: 0 /s}\n", (), "load.yaml:2:"),
        ("arrivals: {process: poisson}\n", (), "rate"),
        ("arrivals: {rate: 5 /s, process: burst}\n", (), "load.yaml:2:"),
        ("arrivals: {rate: 5 /s}\nconcurrency: 3\n", (), "state either"),
        ("arrivals: {rate: 5 /s}\n", ("--objective", "cost"), "needs what devices cost"),
        ("", ("--objective", "devices"), "needs concurrency, offline or arrivals"),
    ],
)
def test_what_is_wrong_is_refused(
    told: Callable[..., Any], load: str, options: tuple[str, ...], message: str
) -> None:
    answer = told(LENGTHS + load, *options)
    assert answer.code == 2
    assert message in answer.stderr
    assert len(answer.stderr.splitlines()) <= 2


def test_a_limit_that_no_replica_keeps_at_any_rate(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    load = tmp_path / "load.yaml"
    load.write_text(
        "requests: {input: 1024, output: 32, spread: 0.2}\narrivals: {rate: 2 /s}\n"
        "slo: {ttft: {p95: 1 ms}}\n"
    )
    told = planner(
        "search", "--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "1",
        "--serving", str(load), "--tensor", "8", "--pipeline", "1", "--max-step-tokens", "8192",
    )  # fmt: skip
    assert told.code == 1
    assert "ttft p95: no replica reaches less than" in " ".join(told.stdout.split())
