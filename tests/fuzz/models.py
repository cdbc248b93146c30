"""Random models: dense and mixtures, latent attention, windows, tied embeddings; of a hundred
thousand to ten trillion parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from planner.specs.files.catalog import list_shipped, resolve
from planner.specs.model.architecture import ARCHITECTURES

if TYPE_CHECKING:
    from random import Random

SIZES: dict[str, dict[str, tuple[int, ...]]] = {
    "tiny": {"layers": (1, 2, 3, 4, 6), "heads": (1, 2, 4, 6, 8), "head_dim": (16, 32, 64)},
    "small": {"layers": (8, 12, 13, 24), "heads": (8, 12, 16, 20), "head_dim": (64, 80, 128)},
    "large": {"layers": (24, 32, 40, 61), "heads": (32, 40, 64), "head_dim": (128,)},
    "huge": {"layers": (96, 128, 200), "heads": (128, 160, 256), "head_dim": (128, 192)},
}
WEIGHTS = (35, 35, 22, 8)


def draw_model(rng: Random) -> dict[str, Any]:
    """The content of a model file."""
    if rng.random() < 0.12:
        shipped: dict[str, Any] = yaml.safe_load(
            resolve("model", rng.choice(list_shipped("model"))).read_text()
        )
        return shipped
    size = SIZES[rng.choices(list(SIZES), WEIGHTS)[0]]
    name = rng.choice(sorted(ARCHITECTURES))
    architecture = ARCHITECTURES[name]
    heads, head_dim = rng.choice(size["heads"]), rng.choice(size["head_dim"])
    hidden = heads * head_dim
    layers = rng.choice(size["layers"])
    model: dict[str, Any] = {
        "name": f"fuzz-{name.replace('_', '-')}",
        "architecture": name,
        "num_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "vocab_size": rng.choice([999, 32000, 32000, 50257, 51200, 128256, 256000]),
        "ffn_hidden_size": rng.choice([2, 3, 4, 4, 7]) * hidden,
    }
    if rng.random() < 0.4:
        model["num_query_groups"] = rng.choice([n for n in range(1, heads + 1) if heads % n == 0])
    if rng.random() < 0.2:
        model["head_dim"] = rng.choice([32, 64, 128, 256])
    if rng.random() < 0.25:
        model["tie_embeddings"] = rng.random() < 0.5
    if rng.random() < 0.15:
        model["attention_window"] = rng.choice([64, 128, 1000, 4096])
        model["full_attention_frequency"] = rng.choice([0, 2, 6])
    if rng.random() < 0.1:
        model["make_vocab_size_divisible_by"] = rng.choice([1, 8, 64, 1000])
    for switch in ("qk_norm", "linear_bias", "parallel_attention", "dropout"):
        if rng.random() < 0.06:
            model[switch] = rng.random() < 0.5
    if architecture.mixture or rng.random() < 0.08:
        model["moe"] = _mixture(rng, layers, hidden)
    if rng.random() < (0.5 if name == "deepseek" else 0.04):
        model["mla"] = _latent(rng, head_dim)
        model.pop("num_query_groups", None)
        model.pop("head_dim", None)
    if rng.random() < (0.4 if name == "deepseek" else 0.04):
        model["mtp_num_layers"] = rng.choice([1, 1, 2])
    return model


def _mixture(rng: Random, layers: int, hidden: int) -> dict[str, Any]:
    experts = rng.choice([2, 4, 6, 8, 8, 16, 60, 64, 128])
    mixture: dict[str, Any] = {
        "num_experts": experts,
        "top_k": rng.randint(1, min(experts, 8)),
        "ffn_hidden_size": rng.choice([hidden // 2, hidden, 2 * hidden]),
    }
    if rng.random() < 0.3:
        mixture["shared_expert_ffn_hidden_size"] = rng.choice([hidden, 2 * hidden])
    if rng.random() < 0.3:
        mixture["first_dense_layers"] = rng.randint(0, min(3, layers))
    if rng.random() < 0.2:
        mixture["layer_frequency"] = rng.choice([2, 4])
    return mixture


def _latent(rng: Random, head_dim: int) -> dict[str, Any]:
    latent: dict[str, Any] = {
        "kv_lora_rank": rng.choice([32, 512]),
        "qk_head_dim": head_dim,
        "qk_rope_head_dim": rng.choice([16, 64]),
        "v_head_dim": head_dim,
    }
    if rng.random() < 0.6:
        latent["q_lora_rank"] = rng.choice([64, 1536])
    return latent
