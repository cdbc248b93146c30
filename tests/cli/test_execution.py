"""How software runs a plan, as the command line prices it: exchanges beside another microbatch,
blocking launches, early stops, number formats, products that leave the tensor cores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

SOFTWARE = Path(__file__).parents[2] / "software"


@pytest.fixture
def estimate(planner: Callable[..., Outcome], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The estimate of a plan by a shipped profile of which some keys are changed."""

    def call(software: str, *flags: str, **changed: Any) -> dict[str, Any]:
        tree = yaml.safe_load((SOFTWARE / f"{software}.yaml").read_text(encoding="utf-8"))
        profile = tmp_path / "profile.yaml"
        profile.write_text(yaml.safe_dump(tree | changed), encoding="utf-8")
        done = planner("estimate", "--json", "--software", str(profile), *flags)
        assert done.code in (0, 1), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["plans"][0]["estimate"]
        return found

    return call


MIXTURE = (
    *("--cluster", "dgx-h100-16", "--model", "qwen3-30b-a3b", "--expert", "16", "--tensor", "1"),
    *("--global-batch-size", "512", "--seq-length", "4096", "--nodes", "2"),
)


def test_exchanges_run_beside_another_microbatch(
    estimate: Callable[..., dict[str, Any]],
) -> None:
    usual = estimate("megatron-core-perf", *MIXTURE)
    paired = estimate("megatron-core-perf", *MIXTURE, overlap=["gradient_reduce", "expert"])
    time, before = paired["time"], usual["time"]
    assert 0.55 < time["expert_comm_s"] / before["expert_comm_s"] < 0.7
    assert time["compute_s"] > before["compute_s"]
    hidden_s = before["expert_comm_s"] - time["expert_comm_s"]
    assert time["compute_s"] - before["compute_s"] < hidden_s


def test_a_short_pipeline_of_microbatches_pairs_few(
    estimate: Callable[..., dict[str, Any]],
) -> None:
    """The warm-up of an interleaved schedule has nothing beside it: with as many microbatches as
    stages most of the exchange stays even on the last."""
    pipeline = (
        *("--cluster", "dgx-h100-16", "--model", "qwen3-30b-a3b", "--expert", "8"),
        *("--pipeline", "4", "--virtual-stages", "2", "--seq-length", "4096", "--nodes", "4"),
    )

    def left(batch: int) -> float:
        flags = (*pipeline, "--global-batch-size", str(batch))
        usual = estimate("megatron-core-perf", *flags)["time"]["expert_comm_s"]
        overlap = ["gradient_reduce", "parameter_gather", "pipeline", "expert"]
        paired = estimate("megatron-core-perf", *flags, overlap=overlap)["time"]["expert_comm_s"]
        return float(paired / usual)

    assert left(32) > 0.75
    assert left(1024) < 0.62


def test_a_repeated_mixture_sends_its_tokens_again(
    estimate: Callable[..., dict[str, Any]],
) -> None:
    """Megatron-LM `moe_layer.py`, `moe_layer_recompute`: dispatch and combination are inside the
    checkpoint, so a step has three exchanges each way instead of two."""

    def redone(*modules: str) -> tuple[float, float]:
        switch = {"default": "selective", "choices": ["selective"], "selective_modules": modules}
        found = estimate("megatron-core-perf", *MIXTURE, recompute=switch)["time"]
        return float(found["recompute_s"]), float(found["expert_comm_s"])

    (few_s, sent_s), (all_s, same_s) = redone("layernorm"), redone("layernorm", "moe")
    assert same_s == sent_s
    assert all_s > few_s + 0.45 * sent_s


DENSE = (
    *("--cluster", "dgx-a100-8", "--nodes", "1", "--tensor", "1", "--seq-length", "2048"),
    *("--global-batch-size", "64", "--model", "gpt-1.7b"),
)


def test_a_host_that_waits_adds_its_time(estimate: Callable[..., dict[str, Any]]) -> None:
    usual = estimate("megatron-deepspeed-2022", *DENSE)
    waiting = estimate("megatron-deepspeed-2022", *DENSE, launch_blocking=True)
    added_s = waiting["time_detail"]["host_bound_s"]
    assert added_s > 0.05 * usual["step_s"]
    passes = ("compute_s", "recompute_s")
    assert sum(waiting["time"][one] for one in passes) == pytest.approx(
        sum(usual["time"][one] for one in passes) + added_s, rel=0.02
    )


def test_recomputation_stops_before_the_last_product(
    estimate: Callable[..., dict[str, Any]],
) -> None:
    """Of a block with a GELU MLP, attention's projections are 4 h², the MLP's matrices 4 h² each:
    a third of the products is not redone (torch/utils/checkpoint.py)."""
    flags = (*DENSE, "--recompute", "full")
    recompute = {"default": "full", "choices": ["none", "full"], "early_stop": True}
    whole = estimate("composer-fsdp-torch1", *flags)["time"]["recompute_s"]
    early = estimate("composer-fsdp-torch1", *flags, recompute=recompute)["time"]["recompute_s"]
    assert early / whole == pytest.approx(2 / 3, abs=0.07)


def test_tf32_is_a_format_of_its_own(estimate: Callable[..., dict[str, Any]]) -> None:
    single, tensor = (
        estimate("deepspeed", *DENSE, "--precision", precision) for precision in ("fp32", "tf32")
    )
    assert single["time"]["compute_s"] > 2.5 * tensor["time"]["compute_s"]
    assert single["memory"]["peak_bytes"] == tensor["memory"]["peak_bytes"]


def test_heads_of_odd_width_leave_the_tensor_cores(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """bigscience chronicles-prequel.md, "NHEADs comparison": hidden size 13,824 in 128 heads of 108
    takes 162.7 s a step, in 64 heads of 216 121.3 s."""

    def step_s(heads: int) -> float:
        model = tmp_path / "model.yaml"
        shape = {"num_layers": 64, "hidden_size": 13824, "num_attention_heads": heads}
        model.write_text(yaml.safe_dump({"architecture": "bloom", "vocab_size": 250880} | shape))
        done = planner(
            *("estimate", "--json", "--model", str(model), "--cluster", "dgx-a100-128"),
            *("--nodes", "48", "--tensor", "4", "--pipeline", "16", "--precision", "fp16"),
            *("--software", "megatron-deepspeed-2022", "--recompute", "full"),
            *("--seq-length", "2048", "--global-batch-size", "2046"),
        )
        assert done.code in (0, 1), done.stderr
        return float(json.loads(done.stdout)["plans"][0]["estimate"]["step_s"])

    assert step_s(128) / step_s(64) == pytest.approx(162.7 / 121.3, rel=0.08)


def test_devices_without_fused_attention_compute_it_in_parts(
    planner: Callable[..., Outcome],
) -> None:
    given = ("--model", "gpt-1.7b", "--nodes", "1", "--tensor", "8", "--precision", "fp16")
    batch = ("--global-batch-size", "64", "--software", "megatron-core")
    done = planner("estimate", "--cluster", "pipette-v100-16", *given, *batch)
    first = " ".join(done.stdout.split("Time of one step")[0].split())
    assert "unfused attention: v100-sxm-32gb without fused kernels" in first
    other = planner("estimate", "--cluster", "pipette-a100-16", *given, *batch)
    assert "unfused attention" not in other.stdout


def test_context_parallelism_needs_fused_attention(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """In TransformerEngine; heads exchanged as DeepSpeed does it leave any kernel in place."""
    model, path = tmp_path / "model.yaml", tmp_path / "plans.json"
    sizes = {"num_layers": 4, "hidden_size": 256, "num_attention_heads": 8, "vocab_size": 32000}
    model.write_text(yaml.safe_dump({"architecture": "gpt", **sizes}))
    inputs = ("--cluster", "pipette-v100-16", "--model", str(model))
    workload = ("--seq-length", "16384", "--global-batch-size", "4", "--precision", "fp16")
    given = (*inputs, "--nodes", "1", *workload)
    found = planner("search", *given, "--software", "megatron-core", "--output", str(path))
    assert found.code == 0, found.stderr
    plans = json.loads(path.read_text())["plans"]
    assert {plan["degrees"]["context"] for plan in plans} == {1}
    done = planner("export", f"{path}#1", "--format", "megatron-lm")
    assert done.code == 0, done.stderr
    reason = "no context parallelism with unfused attention (v100-sxm-32gb has no fused kernels)"
    asked = ("--context", "2", "--micro-batch-size", "1")
    for command in ("search", "estimate"):
        done = planner(command, *given, *asked, "--software", "megatron-core")
        assert done.code == 2
        assert reason in done.stderr
    done = planner("estimate", *given, *asked, "--software", "deepspeed", "--json")
    assert done.code in (0, 1), done.stderr
    path.write_text(done.stdout.replace('"software": "deepspeed"', '"software": "megatron-core"'))
    done = planner("check", str(path), *inputs)
    assert done.code == 1
    assert reason in " ".join(done.stdout.split())


def test_a_format_that_nobody_measured_is_said_first(planner: Callable[..., Outcome]) -> None:
    given = ("--model", "gpt-1.7b", "--nodes", "1", "--tensor", "8", "--global-batch-size", "64")
    done = planner("estimate", "--cluster", "dgx-h100-16", *given, "--precision", "fp32")
    first = " ".join(done.stdout.split("Time of one step")[0].split())
    assert "no measured run with fp32 on h100-sxm-80gb: wide ranges" in first


def test_more_experts_a_device_than_anybody_measured_are_said_first(
    planner: Callable[..., Outcome],
) -> None:
    """Published runs on Hopper hold 8 experts a device in 8 bits."""
    given = ("--model", "qwen3-30b-a3b", "--cluster", "dgx-h100-16", "--nodes", "2")
    job = ("--precision", "fp8", "--global-batch-size", "64", "--seq-length", "4096")
    note = "no measured run with more than 8 experts a device (hopper in 8 bits): wide ranges"
    for expert, said in (("8", True), ("16", False)):
        done = planner("estimate", *given, *job, "--micro-batch-size", "1", "--expert", expert)
        assert (note in " ".join(done.stdout.split("Time of one step")[0].split())) == said


def test_tf32_gradients_take_longer_than_two_products(
    estimate: Callable[..., dict[str, Any]],
) -> None:
    """eth-easl/sailor: TF32 backward passes take 2.4 to 3.0 times as long as forward ones."""
    detail = estimate("deepspeed", *DENSE, "--precision", "tf32")["time_detail"]
    ratio = detail["microbatch_backward_s"] / detail["microbatch_forward_s"]
    assert 2.4 < ratio < 3.0


def test_the_output_layer_runs_in_8_bits_where_the_framework_does(
    estimate: Callable[..., dict[str, Any]], planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Its three products (128,256 x 4,096) take about half as long: 6 floating-point operations a
    weight and token, by 989 TFLOP/s at most in 16 bits and 1,979 in 8."""
    runs = tmp_path / "runs.yaml"
    job = {"cluster": "dgx-h100-16", "devices": 8, "model": "llama-3-8b", "precision": "fp8",
           "software": "megatron-core-perf", "global_batch_size": 64, "micro_batch_size": 1,
           "seq_length": 8192, "degrees": {"tensor": 1}}  # fmt: skip
    each = [
        {"id": f"run-{on}", "eight_bit_output": on, "measured": {"step_s": 1}}
        for on in (True, False)
    ]
    runs.write_text(yaml.safe_dump({"source": "made up", "defaults": job, "runs": each}))
    done = planner("validate", str(runs), "--json")
    assert done.code == 0, done.stderr
    eight_s, sixteen_s = (one["step_s"]["predicted"] for one in json.loads(done.stdout)["runs"])
    flop = 6 * 128_256 * 4096 * 8192 * 64 / 8
    assert flop / 1979e12 < sixteen_s - eight_s < flop / 989e12


def test_biases_of_experts_are_spread_slowly(estimate: Callable[..., dict[str, Any]]) -> None:
    """One access forward and four backward, 4 bytes each (Megatron-LM
    `TEGroupedMLP._apply_bias`), run at 0.45 of the rate of the others."""
    flags = (
        *("--cluster", "dgx-h100-16", "--nodes", "2", "--model", "gpt-oss-120b", "--expert", "16"),
        *("--seq-length", "4096", "--global-batch-size", "64", "--micro-batch-size", "1"),
    )
    share = {"value": 1, "basis": "default", "source": "as fast as any"}
    tree = yaml.safe_load((SOFTWARE / "megatron-core-perf.yaml").read_text(encoding="utf-8"))
    slow = estimate("megatron-core-perf", *flags)
    fast = estimate(
        "megatron-core-perf", *flags, expert=tree["expert"] | {"broadcast_share": share}
    )
    added_bytes = (4 + 16) * (1 / 0.45 - 1) * 4096 * 4 * 2880 * 36 * 64 / 16
    added_s = slow["time"]["compute_s"] - fast["time"]["compute_s"]
    assert 3.35e12 / 2 < added_bytes / added_s < 3.35e12
