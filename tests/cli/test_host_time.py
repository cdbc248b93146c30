"""Eager execution bound by the host, all-to-alls by network, and routing limited to groups, as the
command line prices them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

SMALL: dict[str, Any] = {
    "name": "small",
    "architecture": "llama",
    "num_layers": 24,
    "hidden_size": 512,
    "ffn_hidden_size": 2048,
    "num_attention_heads": 8,
    "vocab_size": 32000,
}
NODE: dict[str, Any] = {
    "device": "h100-sxm-80gb",
    "count": 1,
    "devices_per_node": 8,
    "intra_node": {"bandwidth": "450 GB/s"},
    "network": {"cards": 8, "bandwidth": "50 GB/s"},
}


class Estimates:
    """`planner estimate` on clusters and models that differ in a few keys."""

    def __init__(self, planner: Callable[..., Outcome], folder: Path) -> None:
        self._planner = planner
        self._folder = folder

    def plan(
        self, model: str | dict[str, Any], *flags: str, node: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        cluster = self._folder / "cluster.yaml"
        cluster.write_text(yaml.safe_dump({"node_groups": [NODE | (node or {})]}))
        name = model if isinstance(model, str) else str(self._folder / "model.yaml")
        if not isinstance(model, str):
            (self._folder / "model.yaml").write_text(yaml.safe_dump(model))
        given = ("--cluster", str(cluster), "--model", name, "--json")
        done = self._planner("estimate", *given, *flags)
        assert done.code in (0, 1), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["plans"][0]
        return found

    def step_s(self, *given: Any, **more: Any) -> float:
        return float(self.plan(*given, **more)["estimate"]["step_s"])


@pytest.fixture
def estimates(planner: Callable[..., Outcome], tmp_path: Path) -> Estimates:
    return Estimates(planner, tmp_path)


ALONE = ("--tensor", "1", "--pipeline", "1", "--micro-batch-size", "1", "--seq-length", "1024")
BATCH = ("--global-batch-size", "256")


def test_the_width_of_a_small_model_does_not_matter(estimates: Estimates) -> None:
    """The host launches as many operators whatever their size."""
    wide = estimates.plan(SMALL, *ALONE, *BATCH)["estimate"]
    narrow = estimates.plan(SMALL | {"hidden_size": 384}, *ALONE, *BATCH)["estimate"]
    assert wide["time_detail"]["host_bound_s"] > 0.5 * wide["step_s"]
    assert wide["time"]["compute_s"] == pytest.approx(narrow["time"]["compute_s"], rel=0.02)


def test_a_slower_host_lengthens_what_it_binds_alone(estimates: Estimates) -> None:
    slow = {"host": {"slowness": 2.0}}
    once, twice = (
        estimates.plan(SMALL, *ALONE, *BATCH, node=node)["estimate"]["time"]["compute_s"]
        for node in (None, slow)
    )
    assert twice == pytest.approx(2 * once, rel=0.1)
    large = ("--tensor", "8", "--pipeline", "1", "--micro-batch-size", "1", *BATCH)
    usual_s = estimates.step_s("llama-3-70b", *large)
    assert estimates.step_s("llama-3-70b", *large, node=slow) == pytest.approx(usual_s, rel=0.02)


def test_the_report_says_that_the_host_binds(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    model = tmp_path / "small.yaml"
    model.write_text(yaml.safe_dump(SMALL))
    given = ("--cluster", "dgx-h100-16", "--nodes", "1", "--model", str(model))
    done = planner("estimate", *given, *ALONE, *BATCH)
    assert "Bound by the host for" in " ".join(done.stdout.split())
    large = planner("estimate", *given[:5], "llama-3-70b", "--tensor", "8", *BATCH)
    assert "Bound by the host" not in large.stdout


MIXTURE: dict[str, Any] = SMALL | {
    "architecture": "mixtral",
    "num_layers": 8,
    "moe": {"num_experts": 64, "top_k": 2, "ffn_hidden_size": 512},
}


def test_every_local_expert_is_launched(estimates: Estimates) -> None:
    """A grouped product of eight more experts: one launch each forward, three backward, for two
    matrices, of 21 us each (software/megatron-core.yaml)."""
    flags = (*ALONE, *BATCH, "--expert", "8")
    more = MIXTURE | {"moe": {**MIXTURE["moe"], "num_experts": 128}}
    few, many = (
        estimates.plan(model, *flags)["estimate"]["time"]["compute_s"] for model in (MIXTURE, more)
    )
    layers, microbatches = 8, 32
    expected_s = layers * microbatches * 8 * 2 * (1 + 3) * 21e-6
    assert many - few == pytest.approx(expected_s, rel=0.05)


# NVIDIA-NeMo/Megatron-Bridge, docs/performance-summary-archive.md: Qwen3-30B-A3B in MXFP8 on eight
# devices, micro-batches of one and of four sequences. A host of Grace is not slower there.
@pytest.mark.parametrize(
    ("device", "sequences", "tokens_per_s"),
    [("b200-sxm", 1, 9691), ("b200-sxm", 4, 26859), ("gb200", 4, 26112)],
)
def test_experts_in_8_bits_are_quantised_one_by_one(
    estimates: Estimates, device: str, sequences: int, tokens_per_s: float
) -> None:
    node = {"device": device, "intra_node": {"bandwidth": "900 GB/s"}}
    flags = ("--software", "megatron-core-perf", "--precision", "mxfp8", "--expert", "8")
    sizes = ("--micro-batch-size", str(sequences), "--seq-length", "4096")
    step_s = estimates.step_s(
        "qwen3-30b-a3b", *flags, *sizes, "--global-batch-size", "512", node=node
    )
    assert 512 * 4096 / 8 / step_s == pytest.approx(tokens_per_s, rel=0.12)


def test_tensor_communication_does_not_overlap_in_4_bits(
    estimates: Estimates, planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """TransformerEngine's user buffers take no NVFP4 (`fill_userbuffers_buffer_for_all_gather`)."""
    node = {"device": "b200-sxm", "intra_node": {"bandwidth": "900 GB/s"}}
    flags = ("--software", "megatron-core-perf", "--tensor", "4", "--global-batch-size", "64")
    exposed = {}
    for precision in ("mxfp8", "nvfp4"):
        plan = estimates.plan("llama-3-8b", *flags, "--precision", precision, node=node)
        exposed[precision] = plan["estimate"]["time"]["tensor_comm_s"]
        given = ("--cluster", str(tmp_path / "cluster.yaml"), "--model", "llama-3-8b", *flags)
        document = tmp_path / "plan.json"
        document.write_text(planner("estimate", *given, "--precision", precision, "--json").stdout)
        done = planner("export", str(document), "--format", "megatron-lm")
        assert done.code == 0, done.stderr
        assert ("--tp-comm-overlap" in done.stdout) == (precision == "mxfp8")
    assert exposed["nvfp4"] > exposed["mxfp8"], "although half as many bytes are sent"


EFA: dict[str, Any] = {
    "device": "b300-sxm",
    "count": 32,
    "intra_node": {"bandwidth": "900 GB/s"},
    "network": {"cards": 16, "bandwidth": "50 GB/s"},
}
DEEPSEEK = (
    *("--tensor", "8", "--pipeline", "8", "--expert", "32", "--expert-tensor", "1"),
    *("--recompute", "full"),
    *("--stage-layers", "8,8,8,8,8,8,8,5", "--global-batch-size", "256", "--seq-length", "4096"),
)


# awslabs/awsome-distributed-ai at 95b939cd, 3.test_cases/megatron/megatron-bridge: DeepSeek-V3 on
# 256 B300, NCCL all-to-all over EFA.
@pytest.mark.parametrize(("micro_batch_size", "measured_s"), [(1, 12.538), (4, 9.774)])
def test_an_eager_mixture_over_efa(
    estimates: Estimates, micro_batch_size: int, measured_s: float
) -> None:
    step_s = estimates.step_s(
        "deepseek-v3", *DEEPSEEK, "--micro-batch-size", str(micro_batch_size), node=EFA
    )
    assert step_s == pytest.approx(measured_s, rel=0.1)


def test_a_network_is_what_the_file_says(estimates: Estimates) -> None:
    """InfiniBand of the same bandwidth carries all-to-alls faster."""
    flags = (*DEEPSEEK, "--micro-batch-size", "4")
    efa = estimates.plan("deepseek-v3", *flags, node=EFA)["estimate"]["time"]
    stated = {**EFA, "network": {**EFA["network"], "kind": "infiniband"}}
    infiniband = estimates.plan("deepseek-v3", *flags, node=stated)["estimate"]["time"]
    assert infiniband["expert_comm_s"] < 0.7 * efa["expert_comm_s"]
    assert infiniband["compute_s"] == pytest.approx(efa["compute_s"])


def test_routing_limited_to_groups_sends_fewer_copies(estimates: Estimates) -> None:
    """Of eight nodes a token of DeepSeek-V3 goes to at most four: 4·(1 − (3/4)^8) = 3.6 copies
    instead of 8·(1 − (7/8)^8) = 5.25 (DeepSeek-AI 2024, arXiv 2412.19437, section 2.1.2)."""
    moe = {"num_experts": 64, "top_k": 8, "ffn_hidden_size": 2048}
    model = SMALL | {"architecture": "mixtral", "num_layers": 8, "hidden_size": 4096, "moe": moe}
    flags = ("--expert", "64", "--software", "megatron-core-perf", "--seq-length", "8192", *BATCH)
    nodes = {"count": 8}

    def exchange_s(**limits: int) -> float:
        plan = estimates.plan(model | {"moe": {**moe, **limits}}, *flags, node=nodes)
        return float(plan["estimate"]["time"]["expert_comm_s"])

    free_s = exchange_s()
    assert exchange_s(num_groups=8, group_top_k=8) == free_s
    assert exchange_s(num_groups=8, group_top_k=4) == pytest.approx(
        free_s * 4 * (1 - (3 / 4) ** 8) / (8 * (1 - (7 / 8) ** 8)), rel=0.05
    )


@pytest.mark.parametrize(
    ("moe", "said"),
    [
        ({"num_groups": 7}, "num_groups 7 does not divide the 64 experts"),
        ({"num_groups": 8, "group_top_k": 9}, "group_top_k 9 is more than the 8 groups"),
        ({"num_groups": 64, "group_top_k": 1}, "1 groups of 1 experts hold fewer than top_k 2"),
    ],
)
def test_impossible_groups_are_refused(
    planner: Callable[..., Outcome], tmp_path: Path, moe: dict[str, int], said: str
) -> None:
    model = tmp_path / "model.yaml"
    model.write_text(yaml.safe_dump(MIXTURE | {"moe": {**MIXTURE["moe"], **moe}}))
    done = planner("estimate", "--cluster", "dgx-h100-16", "--model", str(model))
    assert done.code == 2
    assert said in " ".join(done.stderr.split())
