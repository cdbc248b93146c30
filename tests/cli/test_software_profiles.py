"""A framework is a file: commands do what a profile's switches say, whatever its name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.specs.load import load_software

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]
    Write = Callable[..., str]

SWITCHES = {
    "asynchronous_sends": False,
    "graphs_recompute_experts": True,
    "interleaves_two_stages": True,
    "pipeline_cuts_micro_batch": False,
    "pipeline_with_sharded_gradients": True,
}
"""The switches that took the place of names, and what a profile without them means."""
EIGHT = ("--cluster", "dgx-a100-8", "--nodes", "1", "--global-batch-size", "64")


@pytest.fixture
def homegrown(tmp_path: Path) -> Write:
    """`homegrown(switch=value, …)` writes a profile of a framework nobody has heard of."""

    def write(**changes: Any) -> str:
        profile = load_software("megatron-core").model_dump(mode="json", exclude_none=True)
        for name in SWITCHES:
            del profile[name]
        del profile["expert"]["tensor_parallel_biases"]
        profile["expert"] |= changes.pop("expert", {})
        profile |= {"name": "homegrown", "framework": "homegrown", **changes}
        path = tmp_path / "homegrown.yaml"
        path.write_text(json.dumps(profile), encoding="utf-8")
        return str(path)

    return write


def step_s(outcome: Outcome) -> float:
    assert outcome.code in (0, 1), outcome.stderr
    return float(json.loads(outcome.stdout)["plans"][0]["estimate"]["step_s"])


@pytest.mark.parametrize(
    ("switched", "flags", "sentence"),
    [
        (
            {"interleaves_two_stages": False},
            ("--model", "gpt-7.5b", "--tensor", "4", "--pipeline", "2", "--virtual-stages", "2"),
            "vpp-sends: homegrown interleaves on 2 stages only where pipeline sends overlap",
        ),
        (
            {"cuda_graphs": True, "graphs_recompute_experts": False},
            ("--model", "mixtral-8x7b", "--expert", "8", "--recompute", "full"),
            "graphs: homegrown cannot record CUDA graphs of a mixture of experts with full "
            "recomputation",
        ),
        (
            {"expert": {"tensor_parallel_biases": False}},
            ("--model", "gpt-oss-120b", "--tensor", "2", "--expert", "4", "--expert-tensor", "2"),
            "expert-bias: experts with biases need expert-tensor 1 in homegrown",
        ),
        (
            {
                "pipeline_with_sharded_gradients": False,
                "data_sharding": {"default": "optimizer", "choices": ["optimizer", "full"]},
            },
            ("--model", "gpt-7.5b", "--pipeline", "2", "--data-sharding", "full"),
            "sharded-pipeline: homegrown shards gradients and weights only without a pipeline",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_a_profile_cannot_run_is_refused(
    planner: Run, homegrown: Write, switched: dict[str, Any], flags: tuple[str, ...], sentence: str
) -> None:
    refused = planner("estimate", *EIGHT, *flags, "--software", homegrown(**switched))
    assert refused.code == 2
    assert sentence in " ".join(refused.stderr.split())
    without = {
        name: value for name, value in switched.items() if name not in SWITCHES and name != "expert"
    }
    allowed = planner("estimate", *EIGHT, *flags, "--software", homegrown(**without), "--json")
    assert step_s(allowed) > 0


def test_sends_that_are_waited_for_take_longer(planner: Run, homegrown: Write) -> None:
    flags = ("--model", "gpt-7.5b", "--pipeline", "8", "--json", "--software")
    waiting = step_s(planner("estimate", *EIGHT, *flags, homegrown()))
    going_on = step_s(planner("estimate", *EIGHT, *flags, homegrown(asynchronous_sends=True)))
    assert going_on < waiting


def test_a_replica_s_batch_is_cut_by_the_pipeline(
    planner: Run, homegrown: Write, write_runs: Callable[..., Path]
) -> None:
    run = {"degrees": {"pipeline": 2}, "micro_batch_size": 4, "measured": {"step_s": 1.0}}
    predicted = []
    for cuts in (False, True):
        runs = write_runs(run, software=homegrown(pipeline_cuts_micro_batch=cuts))
        outcome = planner("validate", str(runs), "--json")
        predicted.append(json.loads(outcome.stdout)["runs"][0]["step_s"]["predicted"])
    stated = write_runs({**run, "micro_batch_size": 2}, software=homegrown())
    outcome = planner("validate", str(stated), "--json")
    halved = json.loads(outcome.stdout)["runs"][0]["step_s"]["predicted"]
    assert predicted[1] == halved != predicted[0]


def test_a_plan_for_it_is_searched_and_launched_but_not_by_another_s_exporter(
    planner: Run, homegrown: Write, tmp_path: Path
) -> None:
    profile, plans = homegrown(), str(tmp_path / "plans.json")
    job = (*EIGHT, "--model", "gpt-7.5b", "--software", profile, "--top", "1", "--output", plans)
    assert planner("search", *job).code == 0
    export = ("export", plans, "--software", profile, "--format")
    launched = planner(*export, "torchrun")
    assert launched.code == 0
    assert "torchrun" in launched.stdout
    refused = planner(*export, "megatron-lm")
    assert refused.code == 2
    assert "profile homegrown is of homegrown, Megatron-LM runs megatron-lm" in " ".join(
        refused.stderr.split()
    )


def test_switches_left_out_have_their_stated_defaults(homegrown: Write) -> None:
    profile = load_software(homegrown())
    assert {name: getattr(profile, name) for name in SWITCHES} == SWITCHES
    assert profile.expert.tensor_parallel_biases
    assert profile.schedules.default_for(1) == "1f1b"
    assert profile.schedules.default_for(2) == "interleaved"


def test_a_search_compares_software_profiles(planner: Callable[..., Outcome]) -> None:
    """The plans are those of the fastest; the others are said with what they take."""
    job = ("--cluster", "dgx-h100-16", "--nodes", "1", "--model", "llama-3-8b", "--top", "1",
           "--recompute", "none")  # fmt: skip

    def best(software: str) -> tuple[float, str, list[str]]:
        done = planner("search", "--json", *job, "--software", software)
        assert done.code == 0, done.stderr
        document = json.loads(done.stdout)
        plan = document["plans"][0]
        name = document["inputs"]["job"]["software"]
        return plan["estimate"]["step_s"], name, plan["why"]

    apart = {name: best(name)[0] for name in ("megatron-core", "megatron-core-perf")}
    step_s, name, why = best("megatron-core, megatron-core-perf")
    assert step_s == min(apart.values())
    assert apart[name] == step_s
    slower = max(apart, key=lambda one: apart[one])
    assert any(f"Software profile {slower}: " in sentence for sentence in why)


def test_a_profile_that_allows_nothing_is_said(planner: Callable[..., Outcome]) -> None:
    job = ("--cluster", "dgx-h100-16", "--nodes", "1", "--model", "llama-3-8b", "--top", "1")
    flags = ("--tensor", "2", "--software", "composer-fsdp,megatron-core")
    done = planner("search", *job, *flags)
    assert done.code == 0, done.stderr
    assert "Software profile composer-fsdp: no plan" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("model", "devices", "options", "reported_s"),
    [
        ("qwen3-30b-a3b", "8", "--expert=8 --micro-batch-size=4 --recompute=full", 21.77),
        ("gpt-oss-120b", "64", "--expert=64 --micro-batch-size=2 --recompute=none", 4.30),
        ("llama-3-70b", "64", "--context=2 --micro-batch-size=1 --recompute=full "
         "--data-sharding=full --seq-length=8192 --global-batch-size=128", 18.90),
    ],
)  # fmt: skip
def test_published_steps_of_automodel(
    planner: Run, model: str, devices: str, options: str, reported_s: float
) -> None:
    """NVIDIA-NeMo/Automodel, docs/performance-summary.mdx at 36044ad3: H100, bf16, 4,096 tokens and
    a batch of 512 unless stated."""
    given = options.split()
    if "llama" not in model:
        given += ["--seq-length=4096", "--global-batch-size=512"]
    done = planner("estimate", "--cluster=dgx-h100-16", f"--devices={devices}", "--json",
                   f"--model={model}", "--software=automodel", *given)  # fmt: skip
    step_s = json.loads(done.stdout)["plans"][0]["estimate"]["step_s"]
    assert step_s == pytest.approx(reported_s, rel=0.2)


def test_a_million_tokens_under_accelerate(planner: Run, tmp_path: Path) -> None:
    """huggingface/trl, issue 6845: Qwen3-8B on 8 H100, one sequence of 1,048,576 tokens over a ring
    of 8, the loss in chunks and checkpoints in host memory: 364 s and 56.2 GB."""
    model = tmp_path / "qwen3-8b.yaml"
    model.write_text(
        "{name: qwen3-8b, architecture: qwen3, num_layers: 36, hidden_size: 4096, head_dim: 128,"
        " num_attention_heads: 32, num_query_groups: 8, ffn_hidden_size: 12288, seq_length: 40960,"
        " vocab_size: 151936, tie_embeddings: false}"
    )
    done = planner("estimate", "--cluster=dgx-h100-16", "--devices=8", f"--model={model}", "--json",
                   "--software=accelerate-fsdp2", "--context=8", "--micro-batch-size=1",
                   "--global-batch-size=1", "--seq-length=1048576", "--recompute=full",
                   "--loss-chunks=512", "--activation-offload=1")  # fmt: skip
    found = json.loads(done.stdout)["plans"][0]["estimate"]
    assert found["step_s"] == pytest.approx(364, rel=0.05)
    assert found["memory"]["peak_bytes"] == pytest.approx(56.2e9, rel=0.1)
