"""Sizes of a config that were not read: without them, the model would be a different one.

The class of a known type reads all sizes that count; only words that no such class knows point to
other code (experts under llama). For a type that is read as another one, every size has to be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_WORD = re.compile(r"[a-z]+|[0-9]+")
_SIZE_WORDS = """
block blocks channels conv d deep dense depth dim dims dmodel dstate embd embed encoder expert
experts factor ff ffn head heads hidden hybrid inner intermediate kernel kv latent layer layers
lora mamba mlp model moe n per projection rank recurrent shared size sparse ssm state states
stride width
"""
_OTHER_WORDS = """
alpha aux beam beams beta bits bos cache capacity checkpoint coef ctx dropout end eos eps
epsilon floor generation group groups id ids image img index init initializer jitter keep label
labels length limit logit logits loss max mean min mtp multiplier noise norm original pad
penalty position positions pretraining quant return rope rotary router scale scaling seed
softcap softcapping std step steps theta token tokenizer tokens top tp type version video vision
vocab warmup window
"""
_SIZES = frozenset(_SIZE_WORDS.split())
_NOT_SIZES = frozenset(_OTHER_WORDS.split())
"""Words that mark a name as no size of the weights, whatever else it says."""
_OTHER_CODE = re.compile(
    r"expert|moe_|_moe|lora_rank|mamba|ssm|linear_(?:attn|attention|num|key|value|conv)|rwkv"
    r"|hybrid|cross_attention|encoder_layers|decoder_layers|altup|per_layer_input|kv_shared|"
    r"block_configs|block_multipliers"
)
_COUNTS_NOTHING = re.compile(
    r"_(?:group|groups|capacity|loss|coef|coeff|alpha|gamma|jitter|bias|dropout|interval)\b"
    r"|router_|_parallel|capacity|norm_topk|expert_bias|ep_size|score|scoring"
)
_STRUCTURE = re.compile(r"bias|norm|gate|parallel|sink|moe|cross|residual")
_PARTS = re.compile(
    r"quantization|auto_map|rope|task_specific|id2label|label2id|generation|vision|audio|speech"
    r"|image|projector|tokenizer"
)
"""Parts that are not layers of the language model."""
_KEY_HEADS = re.compile(r"query_group|kv_group|kv_head|key_value")
_OF_LAYERS = frozenset(
    ("pattern", "layer", "layers", "block", "blocks", "heads", "experts", "ffn", "attn", "moe")
)


def unread_sizes(unread: Mapping[str, Any], *, assumed: bool) -> Iterator[str]:
    """Names of keys that state sizes and were not read; `assumed`: whether the type was read as
    another."""
    for name, value in unread.items():
        if _PARTS.search(name) or _says_nothing(value):
            continue
        if name == "layer_types":
            if not isinstance(value, list) or any(one != "full_attention" for one in value):
                yield name
        elif _OTHER_CODE.search(name) and not _COUNTS_NOTHING.search(name):
            if _counts(name, value):
                yield name
        elif assumed and _bears_size(name, value):
            yield name


def unread_switches(unread: Mapping[str, Any]) -> Iterator[str]:
    """Names of switches that are on, concern a part of a layer, and were not read."""
    for name, value in unread.items():
        if value is True and _STRUCTURE.search(name) and not name.startswith("output_"):
            yield name


def _says_nothing(value: Any) -> bool:
    """Whether a value says nothing: null, none of the part, or one of it, as a dense model has."""
    return value is None or value in (0, 1, "", -1) or value == [] or value == {}


def _counts(name: str, value: Any) -> bool:
    """Whether a value says how many, how wide, or which."""
    if isinstance(value, (list, dict)) or (isinstance(value, str) and "pattern" in name):
        return True
    return type(value) is int


def _bears_size(name: str, value: Any) -> bool:
    words = set(_WORD.findall(name.lower()))
    if not _counts(name, value):
        return False
    if type(value) is not int:
        return bool(words & _OF_LAYERS)
    return bool(_KEY_HEADS.search(name) or (words & _SIZES and not words & _NOT_SIZES))
