"""The classes of transformers that can be read, and what reads the keys of each."""

from __future__ import annotations

from collections.abc import Callable

from planner.importers.huggingface.families import dense, gpt, latent, mixtures
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import Model

Fill = Callable[[Keys, Model], None]

READ: dict[str, tuple[str, Fill]] = {
    "llama": ("llama", dense.llama),
    "mistral": ("mistral", dense.mistral),
    "ministral3": ("mistral", dense.mistral),
    "mixtral": ("mixtral", mixtures.mixtral),
    "qwen2": ("qwen2", dense.qwen2),
    "qwen2_vl_text": ("qwen2", dense.qwen2),
    "qwen2_5_vl_text": ("qwen2", dense.qwen2),
    "qwen2_moe": ("qwen2_moe", mixtures.qwen2_moe),
    "qwen3": ("qwen3", dense.qwen3),
    "qwen3_vl_text": ("qwen3", dense.qwen3),
    "qwen3_moe": ("qwen3_moe", mixtures.qwen3_moe),
    "qwen3_vl_moe_text": ("qwen3_moe", mixtures.qwen3_moe),
    "gpt2": ("gpt", gpt.gpt2),
    "gpt_bigcode": ("gpt", gpt.gpt_bigcode),
    "gpt_neo": ("gpt_neo", gpt.gpt_neo),
    "gpt_neox": ("gpt_neox", gpt.gpt_neox),
    "gptj": ("gptj", gpt.gptj),
    "deepseek_v2": ("deepseek", latent.deepseek_v2),
    "deepseek_v3": ("deepseek", latent.deepseek),
    "deepseek_v32": ("deepseek", latent.sparse_deepseek),
    "glm_moe_dsa": ("deepseek", latent.sparse_deepseek),
    "gemma": ("gemma", dense.gemma),
    "gemma2": ("gemma2", dense.gemma2),
    "gemma3_text": ("gemma3", dense.gemma3),
    "falcon": ("falcon", gpt.falcon),
    "bloom": ("bloom", gpt.bloom),
    "opt": ("opt", gpt.opt),
    "phi": ("phi", gpt.phi),
    "phi3": ("phi3", dense.phi3),
    "phimoe": ("phimoe", mixtures.phimoe),
    "gpt_oss": ("gpt_oss", mixtures.gpt_oss),
    "olmo": ("olmo", dense.olmo),
    "olmo2": ("olmo2", dense.olmo),
    "olmo3": ("olmo2", dense.olmo3),
    "olmoe": ("olmoe", mixtures.olmoe),
    "flex_olmo": ("flex_olmo", mixtures.olmoe),
    "cohere": ("cohere", dense.cohere),
    "cohere2": ("cohere", dense.cohere2),
    "granite": ("llama", dense.llama),
    "granitemoe": ("mixtral", mixtures.granitemoe),
    "granitemoeshared": ("mixtral", mixtures.granitemoe),
    "stablelm": ("stablelm", dense.stablelm),
    "glm": ("glm", dense.glm),
    "glm4": ("glm4", dense.glm),
    "glm4_moe": ("glm4_moe", mixtures.glm4_moe),
    "exaone4": ("exaone4", dense.exaone4),
    "smollm3": ("llama", dense.smollm3),
    "ernie4_5": ("llama", dense.ernie4_5),
    "ernie4_5_moe": ("mixtral", mixtures.ernie4_5_moe),
    "seed_oss": ("qwen2", dense.seed_oss),
    "helium": ("llama", dense.helium),
    "dots1": ("qwen3_moe", mixtures.dots1),
    "minimax_m2": ("minimax_m2", mixtures.minimax_m2),
    "starcoder2": ("starcoder2", gpt.starcoder2),
    "nemotron": ("nemotron", dense.nemotron),
    "llama4_text": ("llama4", mixtures.llama4),
    "glm4_moe_lite": ("deepseek", latent.glm4_moe_lite),
    "arcee": ("arcee", dense.llama),
    "apertus": ("apertus", dense.apertus),
    "cwm": ("llama", dense.cwm),
    "hunyuan_v1_dense": ("qwen3", dense.olmo),
    "hunyuan_v1_moe": ("qwen3_moe", mixtures.hunyuan_moe),
    "mpt": ("mpt", gpt.mpt),
    "persimmon": ("persimmon", gpt.persimmon),
}
"""By type: the architecture of the model file, and the function that completes it."""
