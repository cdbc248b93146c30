"""The model types that can be read, with what their classes take for missing keys.

Defaults: `configuration_*.py` of transformers 5.23. `num_nextn_predict_layers` has none here: older
files leave it out because their class had no such key.
"""

from __future__ import annotations

from planner.importers.huggingface import families
from planner.importers.huggingface.families import Family

_LLAMA = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
_MISTRAL = _LLAMA | {
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
_QWEN = _LLAMA | {
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
    "sliding_window": 4096,
    "max_window_layers": 28,
}
_DEEPSEEK = {
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
_GEMMA2 = {
    "vocab_size": 256000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "sliding_window": 4096,
}
_FALCON = Family(
    architecture="falcon",
    class_name="FalconConfig",
    fill=families.falcon,
    defaults={
        "vocab_size": 65024,
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "hidden_act": "gelu",
        "max_position_embeddings": 2048,
    },
)
_GEMMA3 = Family(
    architecture="gemma3",
    class_name="Gemma3TextConfig",
    fill=families.gemma3,
    defaults=_GEMMA2
    | {
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window_pattern": 6,
    },
)

TYPES: dict[str, Family] = {
    "llama": Family(
        architecture="llama", class_name="LlamaConfig", fill=families.llama, defaults=_LLAMA
    ),
    "mistral": Family(
        architecture="mistral",
        class_name="MistralConfig",
        fill=families.mistral,
        defaults=_MISTRAL | {"sliding_window": 4096},
    ),
    "mixtral": Family(
        architecture="mixtral",
        class_name="MixtralConfig",
        fill=families.mixtral,
        defaults=_MISTRAL | {"num_local_experts": 8, "num_experts_per_tok": 2},
    ),
    "qwen2": Family(
        architecture="qwen2", class_name="Qwen2Config", fill=families.qwen2, defaults=_QWEN
    ),
    "qwen3": Family(
        architecture="qwen3",
        class_name="Qwen3Config",
        fill=families.qwen3,
        defaults=_QWEN | {"head_dim": 128},
    ),
    "qwen3_moe": Family(
        architecture="qwen3_moe",
        class_name="Qwen3MoeConfig",
        fill=families.qwen3_moe,
        defaults=_QWEN
        | {
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 24,
            "num_key_value_heads": 4,
            "decoder_sparse_step": 1,
            "moe_intermediate_size": 768,
            "num_experts_per_tok": 8,
            "num_local_experts": 128,
        },
    ),
    "gpt2": Family(
        architecture="gpt",
        class_name="GPT2Config",
        fill=families.gpt2,
        defaults={
            "vocab_size": 50257,
            "max_position_embeddings": 1024,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "hidden_act": "gelu_new",
            "attn_pdrop": 0.1,
            "resid_pdrop": 0.1,
        },
    ),
    "gpt_neox": Family(
        architecture="gpt_neox",
        class_name="GPTNeoXConfig",
        fill=families.gpt_neox,
        defaults={
            "vocab_size": 50432,
            "hidden_size": 6144,
            "num_hidden_layers": 44,
            "num_attention_heads": 64,
            "intermediate_size": 24576,
            "hidden_act": "gelu",
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
        },
    ),
    "deepseek_v2": Family(
        architecture="deepseek",
        class_name="DeepseekV2Config",
        fill=families.deepseek,
        defaults=_DEEPSEEK
        | {
            "vocab_size": 102400,
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "max_position_embeddings": 2048,
            "n_shared_experts": 2,
            "num_local_experts": 64,
            "moe_intermediate_size": 1407,
        },
    ),
    "deepseek_v3": Family(
        architecture="deepseek",
        class_name="DeepseekV3Config",
        fill=families.deepseek,
        defaults=_DEEPSEEK
        | {
            "vocab_size": 129280,
            "hidden_size": 7168,
            "intermediate_size": 18432,
            "num_hidden_layers": 61,
            "num_attention_heads": 128,
            "max_position_embeddings": 4096,
            "n_shared_experts": 1,
            "num_local_experts": 256,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 2048,
            "first_k_dense_replace": 3,
        },
    ),
    "gemma2": Family(
        architecture="gemma2", class_name="Gemma2Config", fill=families.gemma2, defaults=_GEMMA2
    ),
    "gemma3_text": _GEMMA3,
    "gemma3": _GEMMA3,
    "falcon": _FALCON,
    "RefinedWebModel": _FALCON,
    "RefinedWeb": Family(
        architecture="falcon",
        class_name="RWConfig",
        fill=families.falcon,
        defaults={**_FALCON.defaults, "new_decoder_architecture": True},
    ),
    "bloom": Family(
        architecture="bloom",
        class_name="BloomConfig",
        fill=families.bloom,
        defaults={
            "vocab_size": 250880,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 8,
            "hidden_act": "gelu",
        },
    ),
    "opt": Family(
        architecture="opt",
        class_name="OPTConfig",
        fill=families.opt,
        defaults={
            "vocab_size": 50272,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "intermediate_size": 3072,
            "max_position_embeddings": 2048,
            "num_attention_heads": 12,
            "hidden_act": "relu",
            "dropout": 0.1,
        },
    ),
    "phi3": Family(
        architecture="phi3",
        class_name="Phi3Config",
        fill=families.phi3,
        defaults=_LLAMA
        | {
            "vocab_size": 32064,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "max_position_embeddings": 4096,
        },
    ),
    "gpt_oss": Family(
        architecture="gpt_oss",
        class_name="GptOssConfig",
        fill=families.gpt_oss,
        defaults={
            "num_hidden_layers": 36,
            "num_local_experts": 128,
            "vocab_size": 201088,
            "hidden_size": 2880,
            "intermediate_size": 2880,
            "head_dim": 64,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "sliding_window": 128,
            "hidden_act": "silu",
            "max_position_embeddings": 131072,
            "num_experts_per_tok": 4,
            "tie_word_embeddings": False,
        },
    ),
}
