"""Load files of `planner estimate --serving`: arrivals, distributions, traces, shared prefixes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAN = ("--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--tensor", "1")
LENGTHS = "requests: {input: 512, output: 32}\n"
OPEN = LENGTHS + "arrivals: {rate: 6 /s}\n"
MOONCAKE = [
    f'{{"timestamp": {1000 * at}, "input_length": 1600, "output_length": 20, '
    f'"hash_ids": [7, 8, 9, {10 + at}]}}'
    for at in range(20)
]
AZURE = ["TIMESTAMP,ContextTokens,GeneratedTokens"] + [
    f"2023-11-16 18:17:{at:02}.9799600,{1600 + at},20" for at in range(20)
]
BURSTGPT = ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"] + [
    f"{at}.0,ChatGPT,1600,{20 if at != 3 else 0},1620,Conversation log" for at in range(20)
]
TRACES = {"Mooncake": MOONCAKE, "Azure": AZURE, "BurstGPT": BURSTGPT}


@pytest.fixture
def told(planner: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    def run(load: str, *options: str, trace: list[str] | None = None) -> Any:
        (tmp_path / "load.yaml").write_text(load)
        if trace is not None:
            (tmp_path / "trace.txt").write_text("\n".join(trace) + "\n")
        return planner("estimate", *PLAN, "--serving", str(tmp_path / "load.yaml"), *options)

    return run


def figures(answer: Any) -> dict[str, Any]:
    assert answer.code in (0, 1), answer.stderr
    return dict(json.loads(answer.stdout)["estimate"])


def test_requests_at_a_rate_wait_in_a_queue_and_twice_the_same(told: Callable[..., Any]) -> None:
    first, again = told(OPEN, "--json"), told(OPEN, "--json")
    assert first.stdout == again.stdout
    found = figures(first)
    assert found["keeps_up"]
    assert found["output_tokens_per_s_per_device"] == pytest.approx(6 * 32)
    ttft = [found["ttft"][name] for name in ("p50_s", "p90_s", "p95_s", "p99_s")]
    assert ttft == sorted(ttft)
    busy = figures(told(OPEN.replace("6 /s", "30 /s"), "--json"))
    even = figures(told(OPEN.replace("6 /s", "30 /s, process: even"), "--json"))
    other = figures(told(OPEN.replace("6 /s", "30 /s, seed: 2"), "--json"))
    assert even["ttft"]["mean_s"] < busy["ttft"]["mean_s"] != other["ttft"]["mean_s"]
    assert busy["ttft"]["mean_s"] > found["ttft"]["mean_s"]


def test_a_replica_that_cannot_keep_up_says_by_how_much(told: Callable[..., Any]) -> None:
    answer = told(OPEN.replace("6 /s", "900 /s"))
    assert answer.code == 1
    assert "Does not keep up: 900 requests come in a second" in answer.stdout
    found = figures(told(OPEN.replace("6 /s", "900 /s"), "--json"))
    assert found["fits"]
    assert not found["keeps_up"]
    assert "ttft" not in found
    assert 20 < found["highest_requests_per_s"] < 900


@pytest.mark.parametrize("name", TRACES)
def test_traces_are_read(told: Callable[..., Any], name: str) -> None:
    load = "requests: {trace: trace.txt}\n"
    said = " ".join(told(load, trace=TRACES[name]).stdout.split())
    empty = name == "BurstGPT"
    assert f"all {19 if empty else 20} requests of a trace in the format of {name}" in said
    assert ("1 requests without tokens" in said) == empty
    found = figures(told(load, "--json", trace=TRACES[name]))
    assert found["requests_per_s"] == pytest.approx(1, rel=0.06)
    faster = figures(told(load + "arrivals: {rate: 4 /s}\n", "--json", trace=TRACES[name]))
    assert faster["requests_per_s"] == 4
    closed = figures(told(load + "concurrency: 4\n", "--json", trace=TRACES[name]))
    assert closed["tpot"]["p90_s"] > 0


def test_blocks_with_the_same_name_are_read_once(told: Callable[..., Any]) -> None:
    load = "requests: {trace: trace.txt}\n"
    shared = figures(told(load, "--json", trace=MOONCAKE))
    apart = [line.split(', "hash_ids"')[0] + "}" for line in MOONCAKE]
    whole = figures(told(load, "--json", trace=apart))
    assert shared["ttft"]["p50_s"] < whole["ttft"]["p50_s"]
    assert shared["highest_requests_per_s"] > 1.05 * whole["highest_requests_per_s"]
    assert shared["ttft"]["p99_s"] == pytest.approx(whole["ttft"]["p99_s"])


def test_a_shared_prefix_answers_sooner(told: Callable[..., Any]) -> None:
    closed = "requests: {input: 4000, output: 8%s}\nconcurrency: 4\n"
    whole = figures(told(closed % "", "--json"))
    kept = figures(told(closed % ", shared_prefix: 3000", "--json"))
    assert kept["ttft"]["mean_s"] < 0.6 * whole["ttft"]["mean_s"]
    said = told(closed % ", shared_prefix: 3000").stdout
    assert "the first 2,992 tokens of all prompts" in said


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (OPEN + "concurrency: 4\n", "state either concurrency or arrivals, not both"),
        (
            LENGTHS + "arrivals: {rate: 6}\n",
            "load.yaml:2:18: arrivals.rate: request rate needs a unit",
        ),
        (LENGTHS + "arrivals: {rate: 0 /s}\n", "load.yaml:2:18"),
        (LENGTHS + "arrivals: {rate: 1e-9 /s}\n", "at least 0.0001 /s"),
        (LENGTHS + "arrivals: {rate: 6 /s, process: bursty}\n", "load.yaml:2:33"),
        ("requests: {input: {mean: 10, p95: 90}, output: 3}\noffline: 2\n", "load.yaml:1:35"),
        ("requests: {input: {mean: 10, p95: 9}, output: 3}\noffline: 2\n", "lognormal p95"),
        ("requests: {input: {p95: 90}, output: 3}\noffline: 2\n", "state either mean"),
        ("requests: {input: {tokens: [1, 2], shares: [1]}, output: 3}\noffline: 2\n", "1 shares"),
        (
            "requests: {input: {tokens: [1, 2], shares: [30%, 30%]}, output: 3}\noffline: 2\n",
            "shares add up to 100%, found 0.6",
        ),
        ("requests: {input: 9}\noffline: 2\n", "state output, or a trace"),
        ("requests: {input: 9, output: 3, shared_prefix: 9}\noffline: 2\n", "load.yaml:1:48"),
        ("requests: {trace: none.csv}\n", "requests.trace: there is no file"),
        ("requests: {trace: trace.txt, spread: 0.1}\n", "a trace states the lengths"),
        ("requests: {trace: trace.txt}\narrivals: {rate: 1 /s, seed: 2}\n", "leave out seed"),
        ("requests: {trace: trace.txt, shared_prefix: 8}\n", "hash_ids of the trace"),
    ],
)
def test_a_wrong_load_is_refused(told: Callable[..., Any], load: str, message: str) -> None:
    answer = told(load, trace=MOONCAKE)
    assert answer.code == 2
    assert message in answer.stderr


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ([""], "trace.txt:1:1: a trace begins with"),
        (["a,b", "1,2"], "trace.txt:1:1: not a trace that is known"),
        ([MOONCAKE[0], "{"], "trace.txt:2:2: not a JSON object"),
        ([MOONCAKE[0].replace("1600", '"x"')], "trace.txt:1:18: input_length is a number"),
        ([MOONCAKE[0].replace("1600", "-1")], "trace.txt:1:18: input_length is from 0"),
        ([MOONCAKE[0].replace("input_l", "l")], "trace.txt:1:1: input_length is missing"),
        ([MOONCAKE[1], MOONCAKE[0]], "trace.txt:2:1: comes before the request above it"),
        ([MOONCAKE[0].replace("[7", '["a"')], "trace.txt:1:61: hash_ids is a list"),
        ([AZURE[0], "yesterday,5,5"], "trace.txt:2:1: TIMESTAMP is a date and time"),
        ([AZURE[0], "2023-11-16 18:17:03,5"], "trace.txt:2:1: 2 cells, the header has 3"),
        ([AZURE[0], "2023-11-16 18:17:03,5,x"], "trace.txt:2:23: GeneratedTokens is a whole"),
        ([AZURE[0].replace("Gen", "")], "trace.txt:1:1: no column GeneratedTokens"),
        ([BURSTGPT[0], "0,GPT-4,1.5,3,5,x"], "trace.txt:2:9: Request tokens is a whole number"),
        ([BURSTGPT[0], "0,GPT-4,5,0,5,x"], "no request with tokens"),
        (MOONCAKE[:1], "all requests of the trace come at once"),
    ],
)
def test_a_wrong_trace_is_refused_at_its_place(
    told: Callable[..., Any], trace: list[str], message: str
) -> None:
    answer = told("requests: {trace: trace.txt}\n", trace=trace)
    assert answer.code == 2
    assert message in answer.stderr


def test_only_the_first_requests_of_a_long_trace_are_read(told: Callable[..., Any]) -> None:
    lines = [BURSTGPT[0], *(f"{at},m,64,1,65,x" for at in range(10_001)), "broken"]
    said = " ".join(
        told("requests: {trace: trace.txt}\nconcurrency: 2\n", trace=lines).stdout.split()
    )
    assert "the first 10,000 requests of a trace" in said
