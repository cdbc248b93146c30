"""Parameter counts against published checkpoints, to the last parameter, and by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from planner.errors import InputError
from planner.specs.load import parse_model
from planner.specs.model.spec import ModelSpec
from planner.workload.parameters import (
    LayerParameters,
    active_parameters,
    attention_parameters,
    embedding_parameters,
    head_parameters,
    layer_parameters,
    mtp_parameters,
    total_parameters,
)


def _dense(
    architecture: str, layers: int, hidden: int, heads: int, vocabulary: int, **more: object
) -> Mapping[str, object]:
    return {
        "architecture": architecture,
        "num_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
        **more,
    }


DEEPSEEK_V2_LITE = _dense(
    "deepseek",
    27,
    2048,
    16,
    102400,
    ffn_hidden_size=10944,
    moe={
        "num_experts": 64,
        "top_k": 6,
        "ffn_hidden_size": 1408,
        "shared_expert_ffn_hidden_size": 2816,
        "first_dense_layers": 1,
    },
    mla={"kv_lora_rank": 512, "qk_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
)

EXACT = {
    "gpt2 (openai-community/gpt2)": (_dense("gpt", 12, 768, 12, 50257, seq_length=1024), 124439808),
    "MPT 7b (llm-foundry benchmarks)": (
        _dense("mpt", 32, 4096, 32, 50368, seq_length=2048),
        6658859008,
    ),
    "MPT 30b (llm-foundry benchmarks)": (
        _dense("mpt", 48, 7168, 56, 50368, seq_length=2048),
        29975214080,
    ),
    "MPT 70b (llm-foundry benchmarks)": (
        _dense("mpt", 80, 8192, 64, 50368, seq_length=2048),
        64862437376,
    ),
    "facebook/opt-125m": (_dense("opt", 12, 768, 12, 50272, seq_length=2050), 125239296),
    "tiiuae/falcon-7b": (_dense("falcon", 32, 4544, 71, 65024), 6921720704),
    "Qwen/Qwen2-7B": (
        _dense("qwen2", 28, 3584, 28, 152064, ffn_hidden_size=18944, num_query_groups=4),
        7615616512,
    ),
    "Qwen/Qwen3-8B": (
        _dense(
            "qwen3", 36, 4096, 32, 151936, ffn_hidden_size=12288, num_query_groups=8, head_dim=128
        ),
        8190735360,
    ),
    "google/gemma-2-9b": (
        _dense(
            "gemma2",
            42,
            3584,
            16,
            256000,
            ffn_hidden_size=14336,
            num_query_groups=8,
            head_dim=256,
            attention_window=4096,
        ),
        9241705984,
    ),
    "microsoft/Phi-3-mini-4k-instruct": (
        _dense("phi3", 32, 3072, 32, 32064, ffn_hidden_size=8192),
        3821079552,
    ),
    "deepseek-ai/DeepSeek-V2-Lite": (DEEPSEEK_V2_LITE, 15706484224),
}


@pytest.mark.parametrize(("model", "count"), EXACT.values(), ids=EXACT)
def test_total_matches_the_checkpoint(model: Mapping[str, object], count: int) -> None:
    assert total_parameters(parse_model(model)) == count


@pytest.fixture
def latent() -> ModelSpec:
    return parse_model(DEEPSEEK_V2_LITE)


def test_low_rank_queries_add_a_projection_and_a_norm(latent: ModelSpec) -> None:
    mla = {"kv_lora_rank": 512, "qk_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    low_rank = parse_model({**DEEPSEEK_V2_LITE, "mla": {**mla, "q_lora_rank": 256}})
    width = 16 * (128 + 64)
    direct, through_rank = 2048 * width, 2048 * 256 + 256 + 256 * width
    assert attention_parameters(low_rank) - attention_parameters(latent) == through_rank - direct


def test_a_layer_has_a_dense_mlp_or_experts(latent: ModelSpec) -> None:
    dense, mixture = layer_parameters(latent, "dense"), layer_parameters(latent, "moe")
    assert dense.mlp == 3 * 2048 * 10944
    assert (dense.router, dense.experts, dense.shared_experts) == (0, 0, 0)
    assert mixture.mlp == 0
    assert mixture.router == 2048 * 64
    assert mixture.experts == 64 * 3 * 2048 * 1408
    assert mixture.shared_experts == 3 * 2048 * 2816
    assert mixture.attention == dense.attention
    assert mixture.norms == dense.norms == 2 * 2048


def test_the_parts_add_up(latent: ModelSpec) -> None:
    layers = [layer_parameters(latent, kind) for kind in latent.layer_kinds]
    ends = embedding_parameters(latent) + head_parameters(latent)
    assert total_parameters(latent) == ends + sum(layer.total for layer in layers)
    assert all(layer.total == layer.dense + layer.experts for layer in layers)


def test_a_token_meets_only_its_experts(latent: ModelSpec) -> None:
    idle = 26 * (64 - 6) * 3 * 2048 * 1408
    assert active_parameters(latent) == total_parameters(latent) - idle


def test_a_dense_model_is_active_as_a_whole() -> None:
    model = parse_model(_dense("llama", 2, 64, 4, 1000, ffn_hidden_size=128))
    assert active_parameters(model) == total_parameters(model)


def test_experts_of_a_dense_model_are_refused() -> None:
    model = parse_model(_dense("llama", 2, 64, 4, 1000, ffn_hidden_size=128))
    with pytest.raises(ValueError, match="no expert layers"):
        layer_parameters(model, "moe")


def test_prediction_module_is_a_layer_with_norms_and_a_projection(latent: ModelSpec) -> None:
    layer, module = layer_parameters(latent, "moe"), mtp_parameters(latent)
    assert module.projection == 2 * 2048 * 2048
    assert module.norms == layer.norms + 3 * 2048
    assert module.total == layer.total + 3 * 2048 + 2 * 2048 * 2048


def test_biases_and_sinks_of_gpt_oss() -> None:
    moe = {"num_experts": 8, "top_k": 2, "ffn_hidden_size": 32}
    small = _dense(
        "gpt_oss", 2, 64, 4, 1000, num_query_groups=2, head_dim=16, moe=moe, attention_window=8
    )
    layer = layer_parameters(parse_model(small), "moe")
    projections = 64 * 64 + 64 + 2 * (64 * 32 + 32) + 64 * 64 + 64
    assert layer == LayerParameters(
        attention=projections + 4,
        norms=2 * 64,
        router=64 * 8 + 8,
        experts=8 * (64 * 64 + 64 + 32 * 64 + 64),
    )


def test_embedding_takes_another_vocabulary_for_memory() -> None:
    model = parse_model(_dense("gpt", 2, 64, 4, 1000, seq_length=16))
    padded = model.padded_vocab_size(2)
    assert padded == 1024
    assert embedding_parameters(model) == (1000 + 16) * 64
    assert embedding_parameters(model, vocab_size=padded) == (1024 + 16) * 64
    assert head_parameters(model, vocab_size=padded) == 2 * 64


def test_untied_head_has_its_own_matrix() -> None:
    model = parse_model(_dense("llama", 2, 64, 4, 1000, ffn_hidden_size=128))
    assert head_parameters(model) == 64 + 1000 * 64
    assert head_parameters(model, vocab_size=1024) == 64 + 1024 * 64


def test_bloom_normalises_its_embedding() -> None:
    model = parse_model(_dense("bloom", 2, 64, 4, 1000))
    assert embedding_parameters(model) == 1000 * 64 + 2 * 64


def test_learned_positions_take_the_sequence_length_of_the_job() -> None:
    model = parse_model(_dense("gpt", 2, 64, 4, 1000))
    assert embedding_parameters(model, seq_length=32) == (1000 + 32) * 64
    assert (
        total_parameters(model, seq_length=32) - total_parameters(model, seq_length=16) == 16 * 64
    )
    with pytest.raises(InputError, match="no sequence length"):
        total_parameters(model)
