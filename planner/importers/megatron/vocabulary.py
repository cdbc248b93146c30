"""The size of the vocabulary of a launch: as stated, or that of a known tokenizer."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.importers.megatron.mixture import expert_count
from planner.importers.published.names import (
    all_published,
    is_named_after,
    published_vocabulary,
)
from planner.importers.published.sizes import vocabularies_like
from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from planner.importers.megatron.flags import Flags
    from planner.importers.notes import Notes

_STATED = ("--pad-vocab-size-to", "--padded-vocab-size", "--vocab-size")
_MOST_NAMED = 3
"""Published models that an error names."""
_PATCH_TYPE = "--patch-tokenizer-type"

Found = tuple[int, str]
"""A size, and why it is assumed."""


def vocab_size(
    flags: Flags, notes: Notes, stated: int | None, *, otherwise: int | None = None
) -> int:
    """The user's `stated` size comes first, then the flags, then `otherwise`. Raises: InputError
    when nothing says it."""
    if stated is not None:
        return stated
    for flag in _STATED:
        size = flags.integer(flag, least=0)
        if size:
            if flags.text("--tokenizer-type") == "NullTokenizer":
                notes.assumed.append(
                    f"vocab_size {size} as {flag} states it (NullTokenizer adds one more)"
                )
            return size
    found = _of_patch(flags) or _of_model(flags) or _of_type(flags)
    if found is None and otherwise is not None:
        found = otherwise, "that of the model given"
    found = found or _of_sizes(flags)
    if found is None:
        raise _missing(flags)
    size, reason = found
    notes.assumed.append(f"vocab_size {size} ({reason})")
    return size


@cache
def _tokenizers() -> dict[str, Any]:
    tree = load_document(Path(__file__).with_name("tokenizers.yaml")).tree
    assert isinstance(tree, dict)
    return tree


def _of_model(flags: Flags) -> Found | None:
    """By the name of the tokenizer's file, as far as it is known."""
    model = flags.text("--tokenizer-model") or ""
    by_name = published_vocabulary(model, flags.integer("--hidden-size"))
    if by_name is not None:
        return by_name[0], f"--tokenizer-model {model[-60:]}: {by_name[1]}"
    for one in _tokenizers()["models"]:
        if re.search(one["pattern"], model.lower()[-200:]):
            return one["size"], f"--tokenizer-model {model[-60:]}: {one['as']}"
    return None


def _of_type(flags: Flags) -> Found | None:
    kind = said = flags.text("--tokenizer-type")
    if kind is None and (flags.given("--vocab-file") or flags.given("--merge-file")):
        kind = "GPT2BPETokenizer"
        said = kind if flags.given("--vocab-file") else "--merge-file"
    one = _tokenizers()["types"].get(kind)
    return None if one is None else (one["size"], f"{said}: {one['as']}")


def _of_patch(flags: Flags) -> Found | None:
    """By a class of Pai-Megatron-Patch, which adds rows to the tokens of the tokenizer."""
    kind = flags.text(_PATCH_TYPE)
    one = _tokenizers()["patch_types"].get(kind)
    if one is None:
        return None
    if "size" in one:
        return one["size"], f"{_PATCH_TYPE} {kind}"
    added = flags.known_number("--extra-vocab-size")
    if added is None:
        return None
    sums = [tokens + added for tokens in one["tokens"]]
    if len(sums) > 1:
        known = {entry["config"]["vocab_size"] for entry in all_published().values()}
        sums = [size for size in sums if size in known]
    if len(sums) != 1:
        return None
    return sums[0], f"{_PATCH_TYPE} {kind}: {sums[0] - added} tokens and {added} more"


def _of_sizes(flags: Flags) -> Found | None:
    """That of the published models with the same sizes, where their tokenizer comes from a file and
    they agree: all of them, or those after which the script is named. Models without shared
    key-value heads or experts have sizes that many others have too, so they count by name only."""
    tokenizer = flags.text("--tokenizer-type") or flags.text(_PATCH_TYPE) or ""
    if not tokenizer or "Bert" in tokenizer:
        return None
    alike = _alike(flags)
    shared = flags.integer("--num-query-groups") is not None or expert_count(flags) is not None
    same = "which has the same layers and widths"
    if shared and len(set(alike.values())) == 1:
        return next(iter(alike.values())), f"that of {next(iter(alike))}, {same}"
    script = Path(flags.place("--num-layers").path).name
    named = {name: size for name, size in alike.items() if is_named_after(script, name)}
    if len(set(named.values())) != 1:
        return None
    reason = f"that of {next(iter(named))}, {same} and after which {script} is named"
    return next(iter(named.values())), reason


def _alike(flags: Flags) -> dict[str, int]:
    """The vocabularies of the published models with the command's layers and widths, by name."""
    return vocabularies_like(
        layers=flags.integer("--num-layers"),
        hidden=flags.integer("--hidden-size"),
        heads=flags.integer("--num-attention-heads"),
        ffn=flags.integer("--moe-ffn-hidden-size") or flags.integer("--ffn-hidden-size"),
        experts=expert_count(flags),
    )


def _missing(flags: Flags) -> InputError:
    for flag in ("--tokenizer-type", "--tokenizer-model", "--extra-vocab-size"):
        flags.known_text(flag)
    kind = flags.text("--tokenizer-type") or flags.text(_PATCH_TYPE)
    flag = "--tokenizer-type" if flags.given("--tokenizer-type") else _PATCH_TYPE
    reason = f"{kind} takes it from a file" if kind else "no --vocab-size and no known tokenizer"
    place = flags.place(flag)
    return InputError(
        f"the vocabulary's size is not stated: {reason}",
        path=place.path,
        line=place.line,
        column=place.column,
        hint=f"give it with --vocab-size N{_candidates(flags)}",
    )


def _candidates(flags: Flags) -> str:
    """What N is in published models of the same sizes: one model for each number, few of them."""
    by_size = {size: name for name, size in reversed(_alike(flags).items())}
    if not 1 <= len(by_size) <= _MOST_NAMED:
        return ""
    said = " or ".join(f"{size} of {name}" for size, name in sorted(by_size.items()))
    return f", such as {said} (the same layers and widths)"
