"""The size of the vocabulary of a launch: as stated, or that of a known tokenizer."""

from __future__ import annotations

import re

from planner.errors import InputError
from planner.importers.megatron.flags import Flags
from planner.importers.notes import Notes
from planner.importers.published.names import published_vocabulary

_BY_TYPE = {
    "GPT2BPETokenizer": (50257, "the GPT-2 vocabulary"),
    "Llama2Tokenizer": (32000, "the SentencePiece model of Llama 2"),
}
_BY_MODEL = (
    (r"llama-?3|llama_3", 128256, "Llama 3"),
    (r"llama-?2|llama_2|mixtral|mistral-7b-v0\.1|mistral-7b-instruct-v0\.[12]", 32000, "Llama 2"),
    (r"deepseek-v3|deepseek-r1", 129280, "DeepSeek-V3, padded as in its config"),
    (r"deepseek-v2", 102400, "DeepSeek-V2, padded as in its config"),
    (r"qwen3|qwen2\.5|qwen2-", 151936, "Qwen, padded as in its config"),
    (r"gpt-oss", 201088, "gpt-oss, padded as in its config"),
    (r"(^|/)gpt2(-|$)", 50257, "GPT-2"),
)
"""Vocabulary sizes in the published config.json files."""


def vocab_size(
    flags: Flags, notes: Notes, stated: int | None, *, otherwise: int | None = None
) -> int:
    """The user's `stated` size comes first, then the flags, then `otherwise`. Raises: InputError
    when nothing says it."""
    if stated is not None:
        return stated
    for flag in ("--pad-vocab-size-to", "--vocab-size"):
        size = flags.integer(flag)
        if size is not None:
            if flags.text("--tokenizer-type") == "NullTokenizer":
                notes.assumed.append(
                    f"vocab_size {size} as {flag} states it (NullTokenizer adds one more)"
                )
            return size
    asked = flags.known_text if otherwise is None else flags.text
    kind, model = asked("--tokenizer-type") or None, asked("--tokenizer-model") or ""
    known = published_vocabulary(model, flags.integer("--hidden-size"))
    if known is not None:
        size, name = known
        notes.assumed.append(f"vocab_size {size} (--tokenizer-model {model[-60:]}: {name})")
        return size
    for pattern, size, name in _BY_MODEL:
        if re.search(pattern, model.lower()[-200:]):
            notes.assumed.append(f"vocab_size {size} (--tokenizer-model {model[-60:]}: {name})")
            return size
    if kind is None and flags.given("--vocab-file"):
        kind = "GPT2BPETokenizer"
    if kind in _BY_TYPE or (kind is None and flags.given("--merge-file")):
        size, name = _BY_TYPE[kind or "GPT2BPETokenizer"]
        notes.assumed.append(f"vocab_size {size} ({kind or '--merge-file'}: {name})")
        return size
    if otherwise is not None:
        notes.assumed.append(f"vocab_size {otherwise} (that of the model given)")
        return otherwise
    raise _missing(flags, kind)


def _missing(flags: Flags, kind: str | None) -> InputError:
    flag = "--tokenizer-type" if kind else "--vocab-size"
    reason = f"{kind} takes it from a file" if kind else "no --vocab-size and no known tokenizer"
    place = flags.place(flag)
    return InputError(
        f"the vocabulary's size is not stated: {reason}",
        path=place.path,
        line=place.line,
        column=place.column,
        hint="give it with --vocab-size N",
    )
