"""Number formats and attention kernels of Blackwell against published figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from planner.hardware.described import device_from_spec
from planner.hardware.kernels import attention_s
from planner.specs.load import load_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome


# NVIDIA-NeMo/Megatron-Bridge, performance-summary-archive.md, 25.11: Llama 3 8B, tokens per second
# and device with per-tensor scales, and with MXFP8.
@pytest.mark.parametrize(
    ("device", "network", "per_tensor", "blocks"),
    [
        ("gb300", "100 GB/s", 37_556, 36_108),
        ("gb200", "50 GB/s", 31_508, 29_789),
        ("b200-sxm", "50 GB/s", 30_624, 29_521),
    ],
)
def test_block_scales_cost_what_is_published(
    planner: Callable[..., Outcome],
    tmp_path: Path,
    device: str,
    network: str,
    per_tensor: float,
    blocks: float,
) -> None:
    nodes, each = (1, 8) if device == "b200-sxm" else (2, 4)
    domain = "" if nodes == 1 else ", scale_up: {nodes: 18, bandwidth: 900 GB/s}"
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(
        f"node_groups: [{{device: {device}, count: {nodes}, devices_per_node: {each}, "
        f"intra_node: {{bandwidth: 900 GB/s}}, network: {{cards: {each}, bandwidth: {network}}}"
        f"{domain}}}]\n",
        encoding="utf-8",
    )

    def tokens_per_s(precision: str) -> float:
        done = planner(
            *("estimate", "--cluster", str(cluster), "--model", "llama-3-8b", "--json"),
            *("--tensor", "1", "--pipeline", "1", "--data", "8", "--micro-batch-size", "2"),
            *("--global-batch-size", "128", "--seq-length", "8192", "--precision", precision),
            *("--software", "megatron-core-perf"),
        )
        plan = json.loads(done.stdout)["plans"][0]
        return float(plan["estimate"]["tokens_per_s_per_device"])

    assert tokens_per_s("mxfp8") / tokens_per_s("fp8") == pytest.approx(
        blocks / per_tensor, abs=0.03
    )


# NVIDIA/cudnn-frontend, benchmark/sdpa_benchmark_training: 64 heads, 8 of keys, head dimension 128,
# causal, cuDNN 9.19; FLOP/s count the causal half.
@pytest.mark.parametrize(
    ("device", "length", "forward", "backward"),
    [
        ("gb200", 32_768, 1_720e12, 1_473e12),
        ("gb300", 32_768, 2_014e12, 1_549e12),
        ("h200-sxm", 32_768, 688e12, 581e12),
        ("gb200", 8_192, 1_598e12, 1_311e12),
    ],
)
def test_attention_of_cudnn_9_19(device: str, length: int, forward: float, backward: float) -> None:
    found = device_from_spec(load_device(device))
    pairs = 2 * 64 * length * length / 2 * 2 * 128

    def seconds(*, backward: bool, generation: str) -> float:
        return attention_s(
            found,
            batch=1,
            heads=64,
            kv_heads=8,
            query_length=length,
            key_length=length,
            head_dim=128,
            value_dim=128,
            causal=True,
            backward=backward,
            precision="bf16",
            generation=generation,
        )

    for published, factor, is_backward in ((forward, 1.0, False), (backward, 2.5, True)):
        ours = factor * pairs / seconds(backward=is_backward, generation="cudnn-9.19")
        assert ours == pytest.approx(published, rel=0.1)
        assert seconds(backward=is_backward, generation="newest") > seconds(
            backward=is_backward, generation="cudnn-9.19"
        )
