"""`planner estimate --serving`: one replica of an engine under a load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOAD = "requests: {input: 1024, output: 256, spread: 0.1}\nconcurrency: 16\n"
PLAN = ("--cluster", "dgx-h100-16", "--model", "llama-3-70b", "--tensor", "8", "--weights", "fp8")


def load(folder: Path, text: str = LOAD) -> str:
    path = folder / "load.yaml"
    path.write_text(text)
    return str(path)


def test_a_replica_is_estimated(planner: Callable[..., Any], tmp_path: Path) -> None:
    told = planner("estimate", *PLAN, "--serving", load(tmp_path), "--json")
    assert told.code == 0
    document = json.loads(told.stdout)
    assert document["job"] == "serving"
    (pool,) = document["pools"]
    assert (pool["tensor"], pool["role"]) == (8, "aggregated")
    assert pool["kv_tokens"] > 100_000
    found = document["estimate"]
    assert 0.005 < found["tpot"]["mean_s"] < 0.02
    assert found["ttft"]["p50_s"] <= found["ttft"]["p99_s"]
    served = 16 / (found["ttft"]["mean_s"] + 256 * found["tpot"]["mean_s"]) * 256 / 8
    assert found["output_tokens_per_s_per_device"] == pytest.approx(served, rel=0.1)


def test_a_missed_limit_is_named(planner: Callable[..., Any], tmp_path: Path) -> None:
    path = load(tmp_path, LOAD + "slo: {tpot: {mean: 1 ms}, ttft: {p99: 60 s}}\n")
    told = planner("estimate", *PLAN, "--serving", path)
    assert told.code == 1
    assert "tpot mean:" in told.stdout
    assert "the limit is 1 ms" in told.stdout
    assert "ttft" not in told.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--micro-batch-size", "2"), "--micro-batch-size is for training"),
        (("--seq-length", "2048"), "--seq-length is for training"),
        (("--engine", "vlm"), "did you mean vllm?"),
        (("--weights", "fp7"), "--weights: 'fp7' is not one of"),
        (("--weights", "nvfp4"), "vllm has no products in nvfp4"),
        (("--attention-data", "4"), "more than the 8 devices of a node"),
        (("--expert", "2"), "--expert 2: llama-3-70b is no mixture of experts"),
        (("--pipeline", "17"), "--pipeline 17: the replica has 136 devices, group h100 has 128"),
        (("--kv-format", "int4"), "--kv-format: 'int4' is not one of bf16, fp8"),
    ],
)
def test_what_is_not_of_serving_is_refused(
    planner: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    plan = PLAN[:-2] if arguments[0] == "--weights" else PLAN
    told = planner("estimate", *plan, "--serving", load(tmp_path), *arguments)
    assert told.code == 2
    assert message in told.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LOAD + "offline: 10\n", "state either concurrency or offline"),
        (LOAD.replace("spread: 0.1", "spread: 1.5"), "spread"),
        (LOAD.replace("output", "outputs"), "outputs"),
        (LOAD.replace("16", "0"), "load.yaml:2:14"),
        (LOAD.replace("1024", "-1"), "load.yaml:1:19"),
        (LOAD.replace("1024", "9000000"), "load.yaml:1:19"),
        (LOAD + "slo: {ttft: {p99: 5}}\n", "load.yaml:3:19"),
        (LOAD + "slo: {ttft: {p96: 5 s}}\n", "p96"),
    ],
)
def test_a_wrong_load_is_refused_at_its_place(
    planner: Callable[..., Any], tmp_path: Path, text: str, message: str
) -> None:
    told = planner("estimate", *PLAN, "--serving", load(tmp_path, text))
    assert told.code == 2
    assert "load.yaml" in told.stderr
    assert message in told.stderr


def test_a_replica_without_room_says_what_would_make_some(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    asked = ("estimate", *PLAN[:4], "--tensor", "1", "--serving", load(tmp_path))
    told = planner(*asked)
    assert told.code == 1
    assert "Does not fit: weights take" in told.stdout
    assert "--tensor 2" in told.stdout
    found = json.loads(planner(*asked, "--json").stdout)["estimate"]
    assert (found["fits"], found["changes"]) == (False, ["--tensor 2", "--weights fp8-block"])
    assert found["memory"]["weight_bytes"] > found["memory"]["capacity_bytes"]


@pytest.mark.parametrize(
    ("cluster", "degrees", "message"),
    [
        (
            "dgx-h100-16",
            ("--tensor", "3"),
            "tensor degree 3 does not divide the 64 attention heads",
        ),
        ("dgx-h100-16", ("--pipeline", "81"), "--pipeline 81 is more than the 80 layers"),
        ("dgx-h100-16", ("--tensor", "0"), "--tensor: '0' is not a whole number"),
        ("pipette-v100-16", ("--tensor", "8"), "vllm has no kernels for v100-sxm-32gb"),
    ],
)
def test_what_no_engine_can_run_is_refused(
    planner: Callable[..., Any],
    tmp_path: Path,
    cluster: str,
    degrees: tuple[str, ...],
    message: str,
) -> None:
    asked = ("--cluster", cluster, *PLAN[2:4], *degrees, "--serving", load(tmp_path))
    told = planner("estimate", *asked)
    assert told.code == 2
    assert message in told.stderr


def test_kv_heads_are_whole(planner: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(
        "name: odd\narchitecture: llama\nnum_layers: 4\nhidden_size: 6144\n"
        "ffn_hidden_size: 8192\nnum_attention_heads: 48\nnum_query_groups: 8\nvocab_size: 32000\n"
    )
    plan = ("--cluster", "dgx-h100-16", "--model", str(path), "--tensor", "6")
    told = planner("estimate", *plan, "--serving", load(tmp_path))
    assert told.code == 2
    assert "tensor degree 6 and 8 KV heads: one has to divide the other" in told.stderr


def test_ranges_and_assumptions_are_said(planner: Callable[..., Any], tmp_path: Path) -> None:
    told = planner("estimate", *PLAN, "--serving", load(tmp_path))
    assert "90% ranges of the means: first token" in told.stdout
    assert "KV cache in bf16, as vllm has it" in told.stdout
    assert "weights in" not in told.stdout.partition("Assumptions")[2]
    document = json.loads(planner("estimate", *PLAN, "--serving", load(tmp_path), "--json").stdout)
    low, high = document["estimate"]["ranges"]["tpot_mean_s"]
    assert low < document["estimate"]["tpot"]["mean_s"] < high
    assert any("inferred" in one for one in document["inputs"]["assumptions"])


def test_long_waits_are_in_seconds_and_small_rates_keep_their_digits(
    planner: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    slow = load(tmp_path, "requests: {input: 30000, output: 2}\noffline: 200\n")
    told = planner("estimate", *PLAN, "--serving", slow)
    assert told.code == 0
    assert "first token (TTFT), s " in told.stdout
    assert "requests of 30,002 tokens, although llama-3-70b is made for 8,192" in " ".join(
        told.stdout.replace("\n   ", " ").split()
    )
    assert max(map(len, told.stdout.splitlines())) <= 60


def test_options_of_serving_need_a_load(planner: Callable[..., Any]) -> None:
    told = planner("estimate", *PLAN)
    assert told.code == 2
    assert "--weights is for serving; it needs --serving" in told.stderr


def test_devices_without_measured_kernels_are_told(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    cluster = tmp_path / "cards.yaml"
    cluster.write_text(
        "node_groups:\n  - {name: cards, count: 1, device: rtx-4090, devices_per_node: 1,\n"
        "     intra_node: {bandwidth: 31.5 GB/s}, network: {cards: 1, bandwidth: 12.5 GB/s}}\n"
    )
    told = planner(
        "estimate", "--cluster", str(cluster), "--model", "llama-3-8b", "--serving", load(tmp_path)
    )
    assert told.code == 0
    said = " ".join(told.stdout.split())
    assert "kernels of vllm on rtx-4090 reach the same shares of its rates as on l40s" in said
    assert "at most 2,048 prompt tokens in a step, 256 requests at a time" in said


def test_plans_of_a_release_are_exported_as_its_engine(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    cluster, out = ("--cluster", "dgx-a100-16", "--model", "llama-3-8b"), tmp_path / "plan.json"
    arguments = (*cluster, "--serving", load(tmp_path), "--devices", "1", "-o", str(out))
    told = planner("search", *arguments, "--engine", "vllm-0.16")
    assert told.code == 0
    written = planner("export", str(out), "--format", "vllm")
    assert written.code == 0
    assert "--tensor-parallel-size=1" in written.stdout
    assert "engine vllm-0.16" in planner("export", str(out), "--format", "sglang").stderr
