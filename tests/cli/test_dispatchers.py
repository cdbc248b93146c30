"""Dispatchers of experts, and their exchanges beside another microbatch, as decisions of a plan."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

ROOT = Path(__file__).parents[2]
NODES = ("--cluster", "dgx-h100-16", "--nodes", "4", "--model", "qwen3-30b-a3b")
BATCH = ("--seq-length", "4096", "--global-batch-size", "256")
EIGHT = ("--expert", "8", "--expert-tensor", "1")
SPREAD = ("--expert", "16", "--expert-tensor", "1")
CHUNKS = ("--pipeline", "2", "--virtual-stages", "2", "--schedule", "interleaved")
SENDS = ("--software", "megatron-core-perf")


@pytest.fixture
def planned(planner: Callable[..., Outcome]) -> Callable[..., dict[str, Any]]:
    """The document of an estimate of a mixture on 32 H100."""

    def call(*flags: str) -> dict[str, Any]:
        done = planner("estimate", "--json", *NODES, *BATCH, *flags)
        assert done.code in (0, 1), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return call


def test_a_plan_says_what_carries_its_tokens(planned: Callable[..., dict[str, Any]]) -> None:
    usual = planned(*SPREAD)["plans"][0]
    assert usual["dispatcher"] == "alltoall"
    assert usual["expert_overlap"] is False
    kernels = planned(*SPREAD, "--dispatcher", "deepep")["plans"][0]
    assert kernels["dispatcher"] == "deepep"
    assert kernels["estimate"]["time"]["expert_comm_s"] < usual["estimate"]["time"]["expert_comm_s"]
    assert "dispatcher" not in planned("--expert", "1", "--tensor", "2")["plans"][0]


def test_a_plan_file_keeps_its_dispatcher(
    planner: Callable[..., Outcome], planned: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    flags = (*SENDS, *CHUNKS, *EIGHT, "--dispatcher", "hybridep", "--expert-overlap", "on")
    document = planned(*flags)
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    again = planner("estimate", "--json", *NODES[:2], *NODES[4:], "--plan", str(file))
    plan = json.loads(again.stdout)["plans"][0]
    assert (plan["dispatcher"], plan["expert_overlap"]) == ("hybridep", True)
    assert plan["estimate"]["step_s"] == document["plans"][0]["estimate"]["step_s"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((*EIGHT, "--dispatcher", "pigeon"), "unknown value 'pigeon'"),
        (
            (*EIGHT, "--dispatcher", "allgather", "--expert-overlap", "on"),
            "alltoall or a dispatcher of its own kernels",
        ),
        ((*EIGHT, "--pipeline", "2", "--expert-overlap", "on"), "on one stage, or under"),
        (
            (*EIGHT, "--recompute", "full", "--expert-overlap", "on"),
            "does not compute them again",
        ),
        (("--expert-overlap", "on"), "only with an expert degree above 1"),
        ((*EIGHT, "--precision", "fp32", "--expert-overlap", "on"), "16-bit weights"),
    ],
)
def test_what_frameworks_refuse_is_refused(
    planner: Callable[..., Outcome], flags: tuple[str, ...], message: str
) -> None:
    done = planner("estimate", *NODES, *BATCH, *flags)
    assert done.code == 2
    assert message in " ".join(done.stderr.split())


def test_deepep_has_settings_for_some_numbers_of_ranks(planner: Callable[..., Outcome]) -> None:
    """deep_ep/buffers/legacy.py, get_dispatch_config: 160 is the largest."""
    job = ("--cluster", "dgx-h100-2048", "--nodes", "32", "--model", "deepseek-v3", "--expert")
    flags = ("--expert-tensor", "1", "--dispatcher", "deepep", "--pipeline", "1", *BATCH)
    done = planner("estimate", *job, "256", *flags)
    assert done.code == 2
    assert "128, 144, 160 ranks" in " ".join(done.stderr.split())
    assert planner("estimate", *job, "128", *flags).code in (0, 1)


def test_hybridep_crosses_networks_with_its_rdma(
    planner: Callable[..., Outcome], planned: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """DeepEP hybrid-ep, docs/README_Hybrid-EP.md: 16 to 64 H100 on InfiniBand, as fast as DeepEP
    there. Its kernels for EFA stay inside a node."""

    def expert_s(*flags: str) -> float:
        found: float = planned(*flags)["plans"][0]["estimate"]["time"]["expert_comm_s"]
        return found

    spread = expert_s(*SPREAD, "--dispatcher", "hybridep")
    assert spread > 1.5 * expert_s(*EIGHT, "--dispatcher", "hybridep")
    assert spread == pytest.approx(expert_s(*SPREAD, "--dispatcher", "deepep"), rel=0.02)

    amazon = tmp_path / "p5.yaml"
    amazon.write_text(
        "node_groups:\n  - {device: h100-sxm-80gb, count: 4, devices_per_node: 8, "
        "intra_node: {bandwidth: 450 GB/s}, "
        "network: {cards: 32, bandwidth: 12.5 GB/s, kind: efa}}\n",
        encoding="utf-8",
    )
    job = ("--cluster", str(amazon), *NODES[4:], *BATCH, "--dispatcher", "hybridep")
    refused = planner("estimate", *job, *SPREAD)
    assert refused.code == 2
    assert "hybridep reaches 8 ranks" in " ".join(refused.stderr.split())
    assert planner("estimate", *job, *EIGHT).code in (0, 1)


def test_searches_try_the_dispatchers_of_the_profile(planner: Callable[..., Outcome]) -> None:
    """The best of all is the best of the best with each."""

    def best_s(*flags: str) -> float:
        done = planner("search", "--json", "--top", "1", *NODES, *BATCH, *narrow, *flags)
        assert done.code == 0, done.stderr
        document = json.loads(done.stdout)
        found.append(document)
        step_s: float = document["plans"][0]["estimate"]["step_s"]
        return step_s

    found: list[dict[str, Any]] = []
    narrow = ("--tensor", "1,2", "--pipeline", "1,2", "--micro-batch-size", "1,2", "--expert", "8",
              "--recompute", "none")  # fmt: skip
    apart = [
        best_s("--dispatcher", name, "--expert-overlap", overlap)
        for name in ("alltoall", "allgather", "deepep", "hybridep")
        for overlap in (("off",) if name == "allgather" else ("off", "on"))
    ]
    assert best_s() == pytest.approx(min(apart), rel=1e-12)
    space = found[-1]["search"]["space"]
    tried = {one["name"]: one["values"] for one in space["dimensions"]}
    assert set(tried["dispatcher"]) == {"alltoall", "allgather", "deepep", "hybridep", "ncclep"}
    assert set(tried["expert_overlap"]) == {False, True}
    assert "slower-dispatcher" in {one["rule"] for one in space["excluded"]}
    removed = sum(one["combinations"] for one in space["excluded"])
    total = 1
    for values in tried.values():
        total *= len(values)
    assert found[-1]["search"]["candidates"] + removed == total


def test_a_pass_beside_another_takes_memory(planned: Callable[..., dict[str, Any]]) -> None:
    """One more forward pass through a chunk goes ahead (`get_pp_rank_microbatches`)."""
    flags = (*SENDS, *CHUNKS, *EIGHT)
    alone, beside = (
        planned(*flags, "--expert-overlap", one)["plans"][0]["estimate"] for one in ("off", "on")
    )
    stages = zip(alone["memory"]["per_stage"], beside["memory"]["per_stage"], strict=True)
    more = [
        two["components"]["activations"] / one["components"]["activations"] for one, two in stages
    ]
    assert all(1.05 < one < 1.5 for one in more)
    assert beside["step_s"] < alone["step_s"]


def test_launch_arguments_say_it_and_are_read_back(
    planner: Callable[..., Outcome], planned: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    flags = (*SENDS, *CHUNKS, *EIGHT, "--dispatcher", "deepep", "--expert-overlap", "on")
    file, script = tmp_path / "plan.json", tmp_path / "run.sh"
    file.write_text(json.dumps(planned(*flags)), encoding="utf-8")
    done = planner("export", str(file), "--format", "megatron-lm")
    assert done.code == 0, done.stderr
    text = done.stdout
    assert "--moe-token-dispatcher-type flex" in text
    assert "--moe-flex-dispatcher-backend deepep" in text
    assert "--overlap-moe-expert-parallel-comm" in text
    assert "CUDA_DEVICE_MAX_CONNECTIONS=8" in text
    script.write_text(f"torchrun pretrain_gpt.py {text[text.index('--') :]}", encoding="utf-8")
    read = planner("estimate", "--json", *NODES[:4], "--plan", str(script))
    plan = json.loads(read.stdout)["plans"][0]
    assert (plan["dispatcher"], plan["expert_overlap"]) == ("deepep", True)
    bridge = planner("export", str(file), "--format", "megatron-bridge").stdout
    assert "overlap_moe_expert_parallel_comm=true" in bridge


def test_the_better_dispatcher_is_told_from_the_worse(planner: Callable[..., Outcome]) -> None:
    """Of measured pairs that differ in their dispatcher and by 15 % or more."""
    files = [str(ROOT / "runs" / name) for name in ("aws-b300.yaml", "aws-dispatch-b300.yaml")]
    document = json.loads(planner("validate", "--json", *files).stdout)
    steps: dict[str, list[dict[str, float]]] = {}
    for run in document["runs"]:
        job = re.sub("-(a2a|deepep-uccl|deepep-nvshmem)", "", run["id"])
        steps.setdefault(job, []).append(run["step_s"])
    pairs = [
        pair
        for found in steps.values()
        for pair in combinations(found, 2)
        if max(one["measured"] for one in pair) >= 1.15 * min(one["measured"] for one in pair)
    ]
    right = sum(
        (one["measured"] < two["measured"]) == (one["predicted"] < two["predicted"])
        for one, two in pairs
    )
    assert len(pairs) >= 9
    assert right / len(pairs) >= 0.85


def test_experts_that_no_layer_has_are_searched_too(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = tmp_path / "model.yaml"
    experts = {"num_experts": 8, "top_k": 1, "ffn_hidden_size": 512, "first_dense_layers": 2}
    sizes = {"num_layers": 2, "hidden_size": 1024, "ffn_hidden_size": 2048,
             "num_attention_heads": 8, "vocab_size": 32000}  # fmt: skip
    path.write_text(json.dumps({"architecture": "llama", "moe": experts, **sizes}))
    job = ("--cluster", "dgx-h100-16", "--nodes", "1", "--model", str(path), "--seq-length", "1024")
    done = planner("search", *job, "--global-batch-size", "16", "--top", "1", "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["plans"]


SHARED = """torchrun --nproc_per_node 8 --nnodes 2 pretrain_gpt.py --num-layers 4 --hidden-size 2048
 --num-attention-heads 16 --ffn-hidden-size 8192 --seq-length 4096 --max-position-embeddings 4096
 --micro-batch-size 1 --global-batch-size 32 --swiglu --disable-bias-linear --num-experts 64
 --moe-router-topk 6 --moe-ffn-hidden-size 1408 --moe-shared-expert-intermediate-size 2816
 --expert-model-parallel-size 16 --moe-token-dispatcher-type alltoall --moe-grouped-gemm --bf16
 --normalization RMSNorm --vocab-size 102400 --untie-embeddings-and-output-weights
 --position-embedding-type rope --use-distributed-optimizer"""


def test_shared_experts_beside_exchanges_are_read_priced_and_written(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    flag, script = "--moe-shared-expert-overlap", tmp_path / "train.sh"

    def estimated(*more: str) -> Outcome:
        script.write_text(" ".join((*SHARED.split(), *more)), encoding="utf-8")
        return planner("estimate", "--cluster", "dgx-h100-16", "--plan", str(script), "--json")

    without, beside = (json.loads(estimated(*more).stdout)["plans"][0] for more in ((), (flag,)))
    assert beside["estimate"]["step_s"] < without["estimate"]["step_s"]
    gathered = estimated(flag, "--moe-token-dispatcher-type", "allgather")
    assert gathered.code == 2
    assert flag in gathered.stderr
    profile = (ROOT / "software" / "megatron-core.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        profile.replace("\noverlap: []\n", "\noverlap: [shared_expert]\n"), encoding="utf-8"
    )
    job = ("--cluster", "dgx-h100-16", "--nodes", "2", "--model", "deepseek-v2", *BATCH)
    written = []
    for name in ("megatron-core", str(tmp_path / "mine.yaml")):
        file, software = tmp_path / "plan.json", ("--software", name)
        done = planner("estimate", *job, *SPREAD, *software, "--json")
        file.write_text(done.stdout, encoding="utf-8")
        written.append(planner("export", str(file), "--format", "megatron-lm", *software).stdout)
    assert [flag in arguments for arguments in written] == [False, True]
