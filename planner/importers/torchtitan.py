"""torchtitan's models by name: `llama3 8B`, `deepseek_v3 671B`.

Sizes as in pytorch/torchtitan, `torchtitan/models/{llama3,deepseek_v3,qwen3,gpt_oss}/__init__.py`
(August 2026); vocabularies are those of the tokenizers its configurations name. Its models have no
prediction layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from planner.errors import InputError
from planner.importers.architectures import spelled_out
from planner.importers.notes import Notes
from planner.specs.files.spelling import did_you_mean

Model = dict[str, Any]

_JOINED = re.compile(r"([A-Za-z][A-Za-z0-9._]*?)[-_]([0-9.]+[Bb](?:-[Aa][0-9]+[Bb])?)")
_ALIASES = {"llama3.1": "llama3", "llama3_1": "llama3", "deepseekv3": "deepseek_v3"}


def _llama3(layers: int, hidden: int, ffn: int, heads: int) -> Model:
    return {
        "architecture": "llama",
        "num_layers": layers,
        "hidden_size": hidden,
        "ffn_hidden_size": ffn,
        "num_attention_heads": heads,
        "num_query_groups": 8,
        "head_dim": hidden // heads,
        "vocab_size": 128256,
        "seq_length": 131072,
        "tie_embeddings": False,
    }


def _qwen3(
    layers: int, hidden: int, ffn: int, heads: int, *, groups: int = 8, tied: bool = False
) -> Model:
    return {
        "architecture": "qwen3",
        "num_layers": layers,
        "hidden_size": hidden,
        "ffn_hidden_size": ffn,
        "num_attention_heads": heads,
        "num_query_groups": groups,
        "head_dim": 128,
        "vocab_size": 151936,
        "seq_length": 4096,
        "tie_embeddings": tied,
    }


def _qwen3_moe(layers: int, hidden: int, heads: int, *, expert: int, longest: int) -> Model:
    return {
        **_qwen3(layers, hidden, expert, heads, groups=4),
        "architecture": "qwen3_moe",
        "seq_length": longest,
        "moe": {"num_experts": 128, "top_k": 8, "ffn_hidden_size": expert},
    }


def _deepseek(
    layers: int,
    hidden: int,
    ffn: int,
    heads: int,
    *,
    vocab: int,
    queries: int | None,
    moe: Mapping[str, int],
) -> Model:
    return {
        "architecture": "deepseek",
        "num_layers": layers,
        "hidden_size": hidden,
        "ffn_hidden_size": ffn,
        "num_attention_heads": heads,
        "vocab_size": vocab,
        "seq_length": 16384,
        "tie_embeddings": False,
        "moe": dict(moe),
        "mla": {
            **({} if queries is None else {"q_lora_rank": queries}),
            "kv_lora_rank": 512,
            "qk_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
    }


def _gpt_oss(layers: int, experts: int) -> Model:
    return {
        "architecture": "gpt_oss",
        "num_layers": layers,
        "hidden_size": 2880,
        "ffn_hidden_size": 2880,
        "num_attention_heads": 64,
        "num_query_groups": 8,
        "head_dim": 64,
        "vocab_size": 201088,
        "seq_length": 131072,
        "tie_embeddings": False,
        "attention_window": 128,
        "full_attention_frequency": 2,
        "moe": {
            "num_experts": experts,
            "top_k": 4,
            "ffn_hidden_size": 2880,
            "router_bias": True,
        },
    }


FLAVORS: dict[str, dict[str, Model]] = {
    "llama3": {
        "8B": _llama3(32, 4096, 14336, 32),
        "70B": _llama3(80, 8192, 28672, 64),
        "405B": _llama3(126, 16384, 53248, 128),
    },
    "qwen3": {
        "0.6B": _qwen3(28, 1024, 3072, 16, tied=True),
        "1.7B": _qwen3(28, 2048, 6144, 16, tied=True),
        "4B": _qwen3(36, 2560, 9728, 32, tied=True),
        "8B": _qwen3(36, 4096, 12288, 32),
        "14B": _qwen3(40, 5120, 17408, 40),
        "32B": _qwen3(64, 5120, 25600, 64),
        "30B-A3B": _qwen3_moe(48, 2048, 32, expert=768, longest=262144),
        "235B-A22B": _qwen3_moe(94, 4096, 64, expert=1536, longest=4096),
    },
    "deepseek_v3": {
        "16B": _deepseek(
            27,
            2048,
            10944,
            16,
            vocab=102400,
            queries=None,
            moe={
                "num_experts": 64,
                "top_k": 6,
                "ffn_hidden_size": 1408,
                "shared_expert_ffn_hidden_size": 2816,
                "first_dense_layers": 1,
            },
        ),
        "236B": _deepseek(
            60,
            5120,
            12288,
            128,
            vocab=102400,
            queries=1536,
            moe={
                "num_experts": 160,
                "top_k": 6,
                "ffn_hidden_size": 1536,
                "shared_expert_ffn_hidden_size": 3072,
                "first_dense_layers": 1,
            },
        ),
        "671B": _deepseek(
            61,
            7168,
            18432,
            128,
            vocab=129280,
            queries=1536,
            moe={
                "num_experts": 256,
                "top_k": 8,
                "ffn_hidden_size": 2048,
                "shared_expert_ffn_hidden_size": 2048,
                "first_dense_layers": 3,
            },
        ),
    },
    "gpt_oss": {"20B": _gpt_oss(24, 32), "120B": _gpt_oss(36, 128)},
}


def looks_like_flavor(text: str) -> bool:
    """Whether a text that names no file starts with the name of one of torchtitan's models."""
    return bool(_parts(text)) and _model_name(_parts(text)[0]) in FLAVORS


def flavor_model(text: str) -> tuple[Model, Notes, str]:
    """The model of a name such as "llama3 8B", and a name for it.

    Raises: InputError naming the flavors there are.
    """
    parts = _parts(text)
    name = _model_name(parts[0]) if parts else ""
    if name not in FLAVORS:
        raise InputError(
            f"{text[:60]!r} is neither a file nor a torchtitan model; models: {', '.join(FLAVORS)}",
            hint=did_you_mean(name[:60], FLAVORS),
        )
    flavors = FLAVORS[name]
    wanted = "-".join(parts[1:])
    found = next((one for one in flavors if one.lower() == wanted.lower()), None)
    if found is None:
        shown = f"no flavor {wanted[:40]!r} of" if wanted else "which flavor of"
        raise InputError(
            f"{shown} torchtitan's {name}; flavors: {', '.join(flavors)}",
            hint=did_you_mean(wanted[:40], flavors),
        )
    notes = Notes()
    notes.read.append(f"torchtitan's {name} {found}")
    flavor = flavors[found]
    model = {**spelled_out(flavor["architecture"]), **flavor}
    model["training"] = {"software": "torchtitan"}
    return model, notes, f"{name.replace('_', '-')}-{found.lower()}"


def _model_name(part: str) -> str:
    lowered = part.lower()
    return _ALIASES.get(lowered, lowered)


def _parts(text: str) -> list[str]:
    """`llama3 8B`, `llama3/8B`, `llama3-8B`, `qwen3 30B-A3B` → model, flavor."""
    text = text.strip()
    words = [word for word in re.split(r"[\s/:,]+", text) if word and word != "flavor"]
    if len(words) == 1:
        match = re.fullmatch(
            r"([A-Za-z][A-Za-z0-9._]*?)[-_]([0-9.]+[Bb](?:-[Aa][0-9]+[Bb])?)", text
        )
        words = [match[1], match[2]] if match else words
    return words
