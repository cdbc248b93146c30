"""Facts and parameter counts taken from an installed transformers, for the importer and its tests.

    pip install transformers torch        # any index; nothing is downloaded at run time
    python tests/importers/count_with_transformers.py

writes `planner/importers/huggingface/facts.json` (classes, defaults, wrappers) and
`data/transformers_counts.json` beside this file: for every type the importer reads, configurations
drawn at random but always the same, and the parameters of the model that transformers builds from
each on torch's meta device, where weights take no memory. Parameters that no gradient reaches are
left out, as in the planner.
"""

from __future__ import annotations

import dataclasses
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from planner.importers.huggingface.classes import READ  # noqa: E402
from planner.importers.huggingface.keys import ALIASES  # noqa: E402

FACTS = ROOT / "planner/importers/huggingface/facts.json"
COUNTS = Path(__file__).parent / "data/transformers_counts.json"
DRAWN = 4

_NOISE = re.compile(
    r"_id$|_ids$|^_|token|^rope|rope_theta|eps|epsilon|initializer|init_|^use_cache$|dtype|^return|^output_|label"
    r"|problem|chunk_size_feed|version|architectures|pretraining|summary|scale|aux_loss|jitter"
    r"|is_encoder|nextn|mtp|_lambda|attn_impl"
)
_SWITCHES = (
    "attention_bias",
    "attention_out_bias",
    "mlp_bias",
    "use_bias",
    "use_qkv_bias",
    "qkv_bias",
    "bias",
    "qk_layernorm",
    "use_qk_norm",
    "use_parallel_residual",
    "lm_head_bias",
    "tie_word_embeddings",
    "multi_query",
    "parallel_attn",
    "new_decoder_architecture",
    "alibi",
)
_EVEN_HEADS = ("cohere2", "helium")
"""Types whose heads divide the hidden size, whatever else is asked for."""
_TIED_ONLY = ("mpt", "bloom", "gpt_bigcode", "gpt2", "falcon", "opt", "gpt_neo")
"""Types whose published files never untie."""
_WITH_TOKENS = ("cwm",)
"""Types that take no model without numbers of special tokens."""
_LEFT_OUT = re.compile("vis(?:ual|ion)|act_fn")
"""Names of parameters of other parts, and the two weights of an activation."""
_WITHOUT = {"ernie4_5_moe": ("use_bias",), "deepseek_v2": ("mlp_bias",), "falcon": ("alibi",)}
"""Switches that give some linear layers biases and others not, which is refused."""


def counts() -> dict[str, list[dict[str, Any]]]:
    """Configurations and counts by type."""
    return {name: [_counted(name, number) for number in range(DRAWN)] for name in READ}


def parameters(config: dict[str, Any]) -> int:
    """Parameters of the language model that transformers builds from a configuration."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = config["model_type"]
    arguments = {key: value for key, value in config.items() if key != "model_type"}
    if kind not in _WITH_TOKENS:
        arguments |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    with torch.device("meta"):
        if kind in _INNER:
            model = _inner(kind, arguments)
        else:
            model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**arguments))
    return sum(
        one.numel()
        for name, one in model.named_parameters()
        if one.requires_grad and not _LEFT_OUT.search(name)
    )


_INNER = {
    "qwen2_vl_text": ("Qwen2VLConfig", "Qwen2VLForConditionalGeneration"),
    "qwen2_5_vl_text": ("Qwen2_5_VLConfig", "Qwen2_5_VLForConditionalGeneration"),
    "qwen3_vl_text": ("Qwen3VLConfig", "Qwen3VLForConditionalGeneration"),
    "qwen3_vl_moe_text": ("Qwen3VLMoeConfig", "Qwen3VLMoeForConditionalGeneration"),
}
"""Language models that transformers builds inside of a larger one only."""


def _inner(kind: str, arguments: dict[str, Any]) -> Any:
    import transformers

    config_name, model_name = _INNER[kind]
    tied = arguments.get("tie_word_embeddings", False)
    config = getattr(transformers, config_name)(text_config=arguments, tie_word_embeddings=tied)
    return getattr(transformers, model_name)(config)


def _counted(kind: str, number: int) -> dict[str, Any]:
    config = _drawn(kind, number)
    return {"config": config, "parameters": parameters(config)}


def _drawn(kind: str, number: int) -> dict[str, Any]:
    """A small configuration of a type, with the switches its class has set at random."""
    draw = random.Random(f"{kind} {number}")
    known = _fields(kind).keys()
    groups = draw.choice((1, 2, 4))
    heads, width = groups * draw.choice((1, 2, 3)), 16 * draw.choice((2, 4, 5))
    sizes: dict[str, Any] = {
        "num_hidden_layers": draw.choice((3, 4, 6)),
        "hidden_size": heads * width,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": width if kind in _EVEN_HEADS else draw.choice((width, 2 * width)),
        "intermediate_size": 16 * draw.randint(3, 40),
        "vocab_size": draw.randint(300, 2000),
        "max_position_embeddings": draw.choice((128, 512)),
        "moe_intermediate_size": 8 * draw.randint(2, 20),
        "shared_expert_intermediate_size": 8 * draw.randint(2, 20),
        "shared_intermediate_size": 8 * draw.randint(0, 20),
        "intermediate_size_mlp": 16 * draw.randint(3, 40),
        "num_local_experts": 8 * draw.choice((1, 2)),
        "num_experts_per_tok": draw.choice((1, 2, 4)),
        "n_shared_experts": draw.choice((1, 2)),
        "moe_num_shared_experts": draw.choice((1, 2)),
        "first_k_dense_replace": draw.choice((0, 1, 2)),
        "moe_layer_start_index": draw.choice((0, 1, 2)),
        "interleave_moe_layer_step": draw.choice((1, 2)),
        "decoder_sparse_step": draw.choice((1, 2)),
        "q_lora_rank": 8 * draw.randint(2, 9),
        "kv_lora_rank": 8 * draw.randint(2, 9),
        "qk_nope_head_dim": 8 * draw.randint(2, 5),
        "qk_rope_head_dim": 8 * draw.randint(1, 3),
        "v_head_dim": 8 * draw.randint(2, 5),
        "index_n_heads": draw.choice((2, 4)),
        "index_head_dim": 8 * draw.randint(3, 5),
        "index_topk": 64,
        "n_group": 1,
        "topk_group": 1,
        "num_ln_in_parallel_attn": draw.choice((1, 2)),
    }
    if kind == "gpt_neo":
        sizes["num_hidden_layers"] = 4
        sizes["attention_types"] = [[["global", "local"], 2]]
    config: dict[str, Any] = {"model_type": kind}
    for key, value in sizes.items():
        name = _named(key, known)
        if name is not None and value is not None:
            config[name] = value
    for switch in _SWITCHES:
        left = _WITHOUT.get(kind, ())
        if switch in known and switch not in left:
            config[switch] = draw.random() < 0.5
    if kind in _TIED_ONLY:
        config["tie_word_embeddings"] = True
    if "new_decoder_architecture" in config and not config["new_decoder_architecture"]:
        config.pop("num_kv_heads", None)
    return config


def _named(key: str, known: Any) -> str | None:
    return next((name for name in ALIASES.get(key, (key,)) if name in known), None)


def _fields(kind: str) -> dict[str, Any]:
    """Keys of a class with the values they have when a file leaves them out."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    own = {one.name: one.default for one in dataclasses.fields(CONFIG_MAPPING[kind])}
    return {
        name: value
        for name, value in own.items()
        if not _NOISE.search(name) and isinstance(value, (bool, int, float, str, type(None)))
    }


def facts() -> dict[str, Any]:
    """What `planner.importers.huggingface.facts` reads."""
    import transformers
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    classes = {
        name: {
            "class": CONFIG_MAPPING[name].__name__,
            "defaults": {key: value for key, value in _fields(name).items() if value is not None},
        }
        for name in READ
    }
    wrappers = {}
    for name in CONFIG_MAPPING:
        inner = CONFIG_MAPPING[name].sub_configs
        if not {"text_config", "thinker_config", "llm_config", "language_config"} & inner.keys():
            continue
        try:
            text = CONFIG_MAPPING[name]().get_text_config(decoder=True).model_type
        except Exception:
            continue
        wrappers[name] = text
    sequences = set(modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    masked = set(modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    both = {name for name in CONFIG_MAPPING if _is_encoder_decoder(CONFIG_MAPPING[name])}
    both |= {name for name in sequences if name not in wrappers}
    return {
        "transformers": transformers.__version__,
        "classes": classes,
        "text_types": dict(sorted(wrappers.items())),
        "encoders": sorted(masked - both - set(READ) - set(wrappers)),
        "encoder_decoders": sorted(both - set(READ)),
    }


def _is_encoder_decoder(config: Any) -> bool:
    return any(
        one.name == "is_encoder_decoder" and one.default for one in dataclasses.fields(config)
    )


def main() -> None:
    FACTS.write_text(json.dumps(facts(), indent=1, sort_keys=False) + "\n", encoding="utf-8")
    import transformers

    found = {"transformers": transformers.__version__, "counts": counts()}
    COUNTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
