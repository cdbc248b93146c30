from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from planner.specs.load import parse_model
from planner.specs.model.architecture import ARCHITECTURES
from planner.specs.model.spec import MlaSpec, MoeSpec

if TYPE_CHECKING:
    from planner.specs.model.spec import ModelSpec

SIZES: dict[str, object] = {
    "num_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 8,
    "vocab_size": 1000,
}


def model(architecture: str, **more: object) -> ModelSpec:
    return parse_model({"architecture": architecture, **SIZES, **more})


def test_gpt_is_the_megatron_model() -> None:
    spec = model("gpt")

    assert spec.norm == "layernorm"
    assert spec.norm_bias
    assert spec.position_embedding == "learned"
    assert spec.qkv_bias
    assert spec.attention_bias
    assert spec.linear_bias
    assert spec.tie_embeddings
    assert not spec.gated_mlp
    assert spec.activation == "gelu"
    assert spec.ffn_hidden_size == 256
    assert spec.num_query_groups == 8
    assert spec.head_dim == 8


def test_llama_is_gated_and_without_biases() -> None:
    spec = model("llama", ffn_hidden_size=100, num_query_groups=2)

    assert spec.norm == "rmsnorm"
    assert not spec.norm_bias
    assert spec.position_embedding == "rope"
    assert spec.gated_mlp
    assert not (spec.qkv_bias)
    assert not (spec.attention_bias)
    assert not (spec.linear_bias)
    assert not spec.tie_embeddings
    assert spec.num_query_groups == 2


@pytest.mark.parametrize(
    ("architecture", "field", "value"),
    [
        ("bloom", "position_embedding", "alibi"),
        ("bloom", "embedding_norm", True),
        ("gpt_neox", "parallel_attention", True),
        ("gpt_neox", "tie_embeddings", False),
        ("falcon", "num_query_groups", 1),
        ("falcon", "norms_per_layer", 1),
        ("mpt", "position_embedding", "learned"),
        ("opt", "activation", "relu"),
        ("qwen2", "qkv_bias", True),
        ("qwen2", "attention_bias", False),
        ("qwen3", "qk_norm", True),
        ("gemma2", "norms_per_layer", 4),
        ("gemma3", "qk_norm", True),
    ],
)
def test_defaults_of_architectures(architecture: str, field: str, value: object) -> None:
    assert getattr(model(architecture, ffn_hidden_size=256), field) == value


def test_every_architecture_makes_a_model() -> None:
    moe = {"num_experts": 8, "top_k": 2, "ffn_hidden_size": 32}
    for name, architecture in ARCHITECTURES.items():
        more: dict[str, object] = {"moe": moe} if architecture.mixture else {}
        spec = model(name, ffn_hidden_size=256, **more)
        assert spec.architecture == name
        assert spec.layer_kinds == ("moe" if architecture.mixture else "dense",) * 4


def test_every_default_is_named() -> None:
    assumed = " ".join(model("gpt").assumptions)

    for field in (
        "ffn_hidden_size 256",
        "num_query_groups 8",
        "head_dim 8",
        "norm layernorm",
        "gated_mlp false",
        "tie_embeddings true",
        "position_embedding learned",
        "qkv_bias true",
        "architecture gpt",
    ):
        assert field in assumed


def test_what_is_given_is_no_assumption() -> None:
    assumed = " ".join(model("gpt", tie_embeddings=False, head_dim=16).assumptions)

    assert "tie_embeddings" not in assumed
    assert "head_dim" not in assumed
    assert not model("gpt", tie_embeddings=False).tie_embeddings


def test_attention_bias_stands_for_queries_keys_and_values_too() -> None:
    assert model("llama", ffn_hidden_size=8, attention_bias=True).qkv_bias
    assert not model("gpt", attention_bias=False).qkv_bias
    assert model("gpt", attention_bias=False, qkv_bias=True).qkv_bias


@pytest.mark.parametrize(
    ("moe", "kinds"),
    [
        ({}, "mmmm"),
        ({"first_dense_layers": 1}, "dmmm"),
        ({"first_dense_layers": 4}, "dddd"),
        ({"layer_frequency": 2}, "dmdm"),
        ({"first_dense_layers": 1, "layer_frequency": 2}, "ddmd"),
    ],
)
def test_which_layers_are_mixtures(moe: dict[str, int], kinds: str) -> None:
    spec = model("gpt", moe={"num_experts": 4, "top_k": 2, **moe})

    assert "".join(kind[0] for kind in spec.layer_kinds) == kinds


def test_mixture_sizes() -> None:
    mixtral = model("mixtral", ffn_hidden_size=96, moe={"num_experts": 8, "top_k": 2})
    qwen = model("qwen3_moe", moe={"num_experts": 8, "top_k": 2, "ffn_hidden_size": 24})

    assert mixtral.moe == MoeSpec(num_experts=8, top_k=2, ffn_hidden_size=96)
    assert qwen.moe == MoeSpec(num_experts=8, top_k=2, ffn_hidden_size=24)
    assert qwen.ffn_hidden_size == 24


def test_gpt_oss_routes_with_a_bias() -> None:
    spec = model("gpt_oss", ffn_hidden_size=8, moe={"num_experts": 8, "top_k": 2})

    assert spec.moe is not None
    assert spec.moe.router_bias
    assert spec.attention_sinks


def test_latent_attention_sets_the_head_dimension() -> None:
    ranks: dict[str, Any] = {
        "kv_lora_rank": 16,
        "qk_head_dim": 12,
        "qk_rope_head_dim": 4,
        "v_head_dim": 12,
    }
    spec = model("llama", ffn_hidden_size=8, num_attention_heads=5, mla=ranks)

    assert spec.mla == MlaSpec(kv_lora_rank=16, qk_head_dim=12, qk_rope_head_dim=4, v_head_dim=12)
    assert spec.mla.q_lora_rank is None
    assert spec.head_dim == 16
    assert spec.num_query_groups == 5


def test_windows_alternate_with_full_attention() -> None:
    assert model("gpt").attention_windows == (None,) * 4
    assert model("mistral", ffn_hidden_size=8, attention_window=32).attention_windows == (32,) * 4
    alternating = model("gemma2", ffn_hidden_size=8, attention_window=32)
    assert alternating.attention_windows == (32, None, 32, None)


def test_padded_vocabulary() -> None:
    spec = model("gpt", vocab_size=50257)

    assert spec.padded_vocab_size(1) == 50304
    assert spec.padded_vocab_size(8) == 51200
    assert model("gpt", vocab_size=51200).padded_vocab_size(8) == 51200
    assert model("gpt", make_vocab_size_divisible_by=1).padded_vocab_size(3) == 1002


def test_training_block() -> None:
    spec = model("gpt", training={"global_batch_size": 512, "precision": "bf16"})

    assert spec.training.global_batch_size == 512
    assert spec.training.precision == "bf16"
    assert spec.training.seq_length is None
    assert spec.name == "model"
    assert spec.seq_length is None
