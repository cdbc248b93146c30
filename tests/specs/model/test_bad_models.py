"""Mistakes in model files and the whole message each of them gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import InputError
from planner.specs.load import load_model
from planner.specs.model.architecture import ARCHITECTURES

MODEL = """\
architecture: llama
num_layers: 4
hidden_size: 64
ffn_hidden_size: 256
num_attention_heads: 4
vocab_size: 1000
"""
KNOWN = ", ".join(ARCHITECTURES)


def message(text: str, folder: Path) -> str:
    """What loading a model file with this text says, without the path."""
    path = folder / "m.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_model(path)
    return str(caught.value).replace(f"{path}:", "")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "llama",
            "lama",
            f"1:15: architecture: found the text 'lama'; allowed: {KNOWN}; did you mean llama?",
        ),
        (
            "llama",
            "deepseek_v3",
            f"1:15: architecture: found the text 'deepseek_v3'; allowed: {KNOWN}; "
            "did you mean deepseek?",
        ),
        (
            "heads: 4",
            "heads: 5",
            "5:22: num_attention_heads: hidden_size 64 is not a multiple of 5 attention heads; "
            "give head_dim where heads do not divide the hidden size",
        ),
        (
            "ffn_hidden_size: 256\n",
            "",
            "1:1: ffn_hidden_size is missing; a gated MLP has no usual size",
        ),
        (
            "llama",
            "mixtral",
            "1:1: moe is missing; architecture mixtral is a mixture of experts and needs "
            "moe: {num_experts, top_k}",
        ),
        (
            "num_layers: 4",
            "num_layers:",
            "2:12: num_layers: expected a whole number, found nothing",
        ),
        ("hidden_size: 64", "hidden_size: 0", "3:14: hidden_size: must be at least 1, found 0"),
        (
            "num_layers: 4",
            "num_layers: 1000000000",
            "2:13: num_layers: must be at most 10000, found 1000000000",
        ),
    ],
)
def test_changed_line(old: str, new: str, expected: str, tmp_path: Path) -> None:
    assert old in MODEL

    assert message(MODEL.replace(old, new, 1), tmp_path) == expected


def test_a_misspelt_key_is_not_missing_as_well(tmp_path: Path) -> None:
    found = message(MODEL.replace("num_layers", "num_layer"), tmp_path)

    assert "missing" not in found
    assert found.endswith("did you mean num_layers?")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "num_query_groups: 3",
            "7:19: num_query_groups: num_attention_heads 4 is not a multiple of 3 query groups",
        ),
        (
            "moe: {num_experts: 4, top_k: 5}",
            "7:30: moe.top_k: top_k 5 is more than the 4 experts",
        ),
        (
            "moe: {num_experts: 4, top_k: 2, first_dense_layers: 9}",
            "7:53: moe.first_dense_layers: 9 dense layers are more than the 4 layers",
        ),
        (
            "moe: {num_experts: 4}",
            "7:6: moe: top_k is missing",
        ),
        (
            "tie_embeddings: yes",
            "7:17: tie_embeddings: expected true or false, found the text 'yes'; write true",
        ),
        (
            "tie_embeddings: 1",
            "7:17: tie_embeddings: expected true or false, found the number 1",
        ),
        (
            "norm: rms",
            "7:7: norm: found the text 'rms'; allowed: layernorm, rmsnorm; did you mean rmsnorm?",
        ),
        (
            "training: {precision: bfloat16}",
            "7:23: training.precision: found the text 'bfloat16'; "
            "allowed: fp32, tf32, fp16, bf16, fp8, mxfp8, nvfp4; did you mean bf16?",
        ),
        (
            "training: {seq_length: 1e6}",
            "7:24: training.seq_length: expected a whole number, found a decimal one; "
            "write 1000000",
        ),
        (
            "mla: {kv_lora_rank: 512}",
            "7:6: mla: qk_head_dim, qk_rope_head_dim, v_head_dim are missing",
        ),
    ],
)
def test_added_line(line: str, expected: str, tmp_path: Path) -> None:
    assert message(f"{MODEL}{line}\n", tmp_path) == expected


def test_everything_missing_is_one_message(tmp_path: Path) -> None:
    assert message("name: x\n", tmp_path) == (
        "1:1: architecture, num_layers, hidden_size, num_attention_heads, vocab_size are missing"
    )


def test_mixture_with_dense_layers_needs_their_size(tmp_path: Path) -> None:
    text = MODEL.replace("ffn_hidden_size: 256\n", "")
    moe = "moe: {num_experts: 4, top_k: 2, ffn_hidden_size: 8, first_dense_layers: 1}\n"

    assert message(text + moe, tmp_path) == (
        "1:1: ffn_hidden_size is missing; some layers are not mixtures"
    )
    assert message(text + "moe: {num_experts: 4, top_k: 2}\n", tmp_path) == (
        "1:1: ffn_hidden_size is missing, and so is moe.ffn_hidden_size"
    )
