"""How many tokens the KV cache holds, against what engines wrote at their start.

Logs of vLLM 0.19.0 on H100 with 95 % of the memory and the API server's limits: weights, torch's
peak and available KV cache memory in GiB (llm-d-incubation/llm-d-planner, accuracy/results/v0.19.0,
accuracy_report.md and logs; where the report states errors of its own
figures, the memory is what the weights, the peak and the rest leave of 75.23 GiB). The constants of
the rule come from Llama 8B and Qwen3 8B; the other rows and H100 NVL only check them.
"""

from __future__ import annotations

import pytest

from planner.serving.memory import serving_memory
from planner.serving.scenario import ServingDegrees, ServingScenario
from planner.specs.engine import EngineProfile, load_engine
from planner.specs.load import load_device, load_model

GIB = 2**30


def engine(name: str, *, share: float, **rule: float) -> EngineProfile:
    """With another share of the memory, and other constants of the rule."""
    profile = load_engine(name)
    stated = {"share": share, **rule}
    changed = {
        key: getattr(profile.memory, key).model_copy(update={"value": value})
        for key, value in stated.items()
    }
    return profile.model_copy(update={"memory": profile.memory.model_copy(update=changed)})


def scenario(
    profile: EngineProfile, model: str, weights: str, device: str, kv: str = "bf16", tensor: int = 1
) -> ServingScenario:
    return ServingScenario(
        model=load_model(model),
        device=load_device(device),
        engine=profile,
        weights=weights,
        kv=kv,
        degrees=ServingDegrees(tensor=tensor),
    )


@pytest.mark.parametrize(
    ("model", "weights", "tensor", "peak_gib", "kv_gib"),
    [
        ("llama-3-8b", "bf16", 1, 1.89, 58.11),
        ("llama-3-8b", "bf16", 2, 1.89, 63.76),
        ("llama-3-8b", "bf16", 4, 1.89, 67.44),
        ("runs/serving/models/qwen3-8b.yaml", "bf16", 1, 2.21, 57.50),
        ("qwen3-30b-a3b", "bf16", 1, 2.68, 15.38),
        ("mixtral-8x7b", "bf16", 2, 1.21, 28.4),
        ("llama-3-70b", "fp8", 2, 1.96, 37.29),
        ("llama-3-70b", "fp8", 4, 1.97, 54.0),
    ],
)
def test_vllm_leaves_what_its_logs_say(
    model: str, weights: str, tensor: int, peak_gib: float, kv_gib: float
) -> None:
    memory = serving_memory(
        scenario(engine("vllm", share=0.95), model, weights, "h100-sxm-80gb", tensor=tensor)
    )
    assert memory.activation_bytes / GIB == pytest.approx(peak_gib, rel=0.1)
    assert memory.kv_bytes / GIB == pytest.approx(kv_gib, rel=0.02)


@pytest.mark.parametrize(
    ("device", "share", "kv", "tokens"),
    [
        ("h100-sxm-80gb", 0.95, "bf16", 476_016),
        ("h100-sxm-80gb", 0.95, "fp8", 952_032),
        ("h100-nvl", 0.9, "bf16", 545_456),
    ],
)
def test_vllm_caches_the_tokens_of_its_logs(
    device: str, share: float, kv: str, tokens: int
) -> None:
    """Llama 3.1 8B. H100 NVL: a log of April 2026 that stated neither version nor limits."""
    profile = engine("vllm", share=share)
    memory = serving_memory(scenario(profile, "llama-3-8b", "bf16", device, kv))
    assert memory.kv_tokens == pytest.approx(tokens, rel=0.01)


@pytest.mark.parametrize(
    ("model", "weights", "tensor", "kv_gib"),
    [
        ("llama-3-8b", "bf16", 1, 51.38),
        ("llama-3-70b", "fp8", 2, 32.0),
        ("runs/serving/models/gpt-oss-20b.yaml", "mxfp4", 1, 50.28),
        ("runs/serving/models/qwen3-32b.yaml", "bf16", 1, 4.45),
    ],
)
def test_older_releases_of_vllm_take_other_constants(
    model: str, weights: str, tensor: int, kv_gib: float
) -> None:
    """Up to 0.16 sorting took 9.5 copies of the logits (llm-d/llm-d-benchmark,
    config_explorer/empirical-vllm-memory-results.md, with 90 % of the memory). What weights leave
    of Qwen3 32B is 10 GiB, of which 2 % are 5 % of its KV cache."""
    profile = engine("vllm-0.16", share=0.9)
    memory = serving_memory(scenario(profile, model, weights, "h100-sxm-80gb", tensor=tensor))
    assert memory.kv_bytes / GIB == pytest.approx(kv_gib, rel=0.05)


@pytest.mark.parametrize("tokens", [444_500, 442_750])
def test_sglang_caches_the_tokens_of_its_logs(tokens: int) -> None:
    """Llama 3.1 8B on H100 with 88 %, January and March 2025 (sgl-project/sglang, pull request
    4760)."""
    profile = engine("sglang", share=0.88)
    memory = serving_memory(scenario(profile, "llama-3-8b", "bf16", "h100-sxm-80gb"))
    assert memory.kv_tokens == pytest.approx(tokens, rel=0.02)


def test_sglang_counts_what_is_free_once_communication_has_started() -> None:
    """Qwen3 235B in fp8 on four H100 with 93 %, 367,404 tokens in its log."""
    profile = engine("sglang", share=0.93)
    memory = serving_memory(
        scenario(profile, "qwen3-235b-a22b", "fp8-block", "h100-sxm-80gb", tensor=4)
    )
    assert memory.kv_tokens == pytest.approx(367_404, rel=0.03)
