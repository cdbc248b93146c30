"""Override lists of Megatron-Bridge: `model.num_layers=32 train.global_batch_size=128`.

Keys are the fields of its `ConfigContainer`; what differs from Megatron-LM's flags is in
`scripts/translate_mlm_to_bridge.py` (Megatron-Bridge 067f987d, August 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from planner.errors import InputError
from planner.importers.megatron.bridge_fields import (
    FIELD_OF,
    SWITCHES,
    TOGETHER,
    VALUES,
    WITHOUT_EFFECT,
)
from planner.importers.megatron.command import CommandWord, Flag, mentions_training
from planner.importers.megatron.flags import Flags
from planner.importers.megatron.launch import Launch, launch_of
from planner.importers.notes import Notes, listed
from planner.importers.shell.run import follow
from planner.importers.shell.text import Origin, is_known, plain, script_of_file
from planner.importers.source import Source

_GROUPS = (
    "model train optimizer ddp dist scheduler dataset logger tokenizer checkpoint rng validation "
    "profiling peft comm_overlap mixed_precision"
)
_OVERRIDE = re.compile(
    rf"[+~]{{0,2}}((?:{_GROUPS.replace(' ', '|')})(?:\.[A-Za-z_][A-Za-z0-9_.]*)?)=(.*)", re.DOTALL
)
_PRECISION = re.compile(r"(?:^|\s)mixed_precision=['\"]?([A-Za-z0-9_]+)")
_LOOSE = re.compile(r"(?<!\S)([^\s=]+)=(\"[^\"]*\"|'[^']*'|\S*)")

_TRUTH = {"true": True, "false": False}
_NOTHING = ("null", "none", "")


def looks_like_overrides(text: str) -> bool:
    """Whether a text holds overrides of a model or its training."""
    return re.search(r"(?:^|\s)['\"]?\+{0,2}(?:model|train)\.[a-z_]+=", text) is not None


def bridge_launch(source: Source, *, vocabulary: int | None = None) -> Launch:
    """The launch an override list describes. Raises: InputError with file, line and column."""
    overrides = list(_overrides(source))
    flags: list[Flag] = []
    unread: list[str] = []
    truths: dict[str, CommandWord] = {}
    for key, value in overrides:
        if key in VALUES:
            if value.text.lower() not in _NOTHING:
                flags.append(Flag(VALUES[key], (value,), value.origin))
        elif key in SWITCHES:
            name, active = SWITCHES[key]
            if _truth(key, value) == active:
                flags.append(Flag(name, (), value.origin))
        elif key in TOGETHER:
            truths[key] = value
        elif key.partition(".")[0] == "peft" and value.text.lower() not in _NOTHING:
            raise _error(f"{key}: adapters, which alone are trained, are not planned", value)
        elif key not in WITHOUT_EFFECT:
            unread.append(key)
    notes = Notes()
    flags += _derived(truths, flags)
    flags += _usual_experts(overrides, source)
    stated = {"--bf16", "--fp16", "--fp8-format", "--fp4-format"}
    if "mixed_precision" not in truths and stated.isdisjoint(flag.name for flag in flags):
        notes.assumed.append("mixed_precision bf16_mixed (what Megatron-Bridge's recipes take)")
        flags.append(Flag("--bf16", (), Origin(source.path, 1, 1)))
    notes.read.append(f"{len(overrides) - len(unread)} overrides of Megatron-Bridge")
    if unread:
        notes.left_out.append(f"overrides without a place here: {listed(unread)}")
    start = Origin(source.path, 1, 1)
    names = FIELD_OF | {flag: key for key, (flag, _) in SWITCHES.items()}
    checked = Flags(flags, path=source.path, origin=start, names=names)
    _needs_model(checked, source)
    return launch_of(checked, notes, script="", devices=None, vocabulary=vocabulary)


def _needs_model(flags: Flags, source: Source) -> None:
    if not flags.given("--num-layers") and not flags.given("--hidden-size"):
        raise InputError(
            "the overrides do not say how large the model is (model.num_layers, "
            "model.hidden_size, model.num_attention_heads …)",
            path=source.path,
            hint="they state only what differs from a recipe; add the recipe's sizes",
        )


def _overrides(source: Source) -> Iterator[tuple[str, CommandWord]]:
    """Keys and values in the order given, whether the list is a command or lines of a file."""
    try:
        followed = follow(
            script_of_file(source.text, source.path),
            given={},
            is_nested_script=lambda text: mentions_training(text) or looks_like_overrides(text),
            read_file=lambda name: None,
        )
    except InputError:
        yield from _loose_overrides(source)
        return
    yield from _precisions(source)
    for ran in followed.commands:
        for text in ran.words:
            match = _OVERRIDE.fullmatch(plain(text))
            if match is None or match[1] == "mixed_precision":
                continue
            origin = text[0].origin.after(match.start(2))
            if not is_known(text) and not _counts(match[1]):
                continue
            if not is_known(text):
                raise InputError(
                    f"the value of {match[1][:80]} is not in this file",
                    path=origin.path,
                    line=origin.line,
                    column=origin.column,
                )
            yield match[1], CommandWord(match[2].strip("'\""), origin)


def _counts(key: str) -> bool:
    """Whether anything here hangs on an override."""
    return key in VALUES or key in SWITCHES or key in TOGETHER


def _loose_overrides(source: Source) -> Iterator[tuple[str, CommandWord]]:
    """Overrides of a list that is not shell, such as one with an unquoted layout."""
    for number, line in enumerate(source.lines(), start=1):
        for loose in _LOOSE.finditer(line.partition("#")[0]):
            match = _OVERRIDE.fullmatch(f"{loose[1]}={loose[2]}")
            if match:
                origin = Origin(source.path, number, loose.start(2) + 1)
                yield match[1], CommandWord(match[2].strip("'\""), origin)


def _precisions(source: Source) -> Iterator[tuple[str, CommandWord]]:
    """`mixed_precision=…` alone has no dot, so that the shell takes it for a variable."""
    for number, line in enumerate(source.lines(), start=1):
        match = re.search(
            r"(?:^|\s)mixed_precision=(['\"]?)([A-Za-z0-9_]+)", line.partition("#")[0]
        )
        if match:
            yield (
                "mixed_precision",
                CommandWord(match[2], Origin(source.path, number, match.start(2) + 1)),
            )


def _truth(key: str, value: CommandWord) -> bool:
    truth = _TRUTH.get(value.text.lower())
    if truth is None:
        raise _error(f"{key}: expected true or false, found {value.text[:40]!r}", value)
    return truth


def _error(message: str, value: CommandWord) -> InputError:
    place = value.origin
    return InputError(message, path=place.path, line=place.line, column=place.column)


def _derived(truths: dict[str, CommandWord], flags: list[Flag]) -> Iterator[Flag]:
    """Flags that several overrides make together."""
    gated = truths.get("model.gated_linear_unit")
    function = truths.get("model.activation_func")
    if function is not None and function.text.rpartition(".")[2] == "squared_relu":
        yield Flag("--squared-relu", (), function.origin)
    if gated is not None and _truth("model.gated_linear_unit", gated):
        silu = function is None or function.text.rpartition(".")[2] in ("silu", "swish")
        yield Flag("--swiglu" if silu else "--quick-geglu", (), gated.origin)
    if any(flag.name == "--num-query-groups" for flag in flags):
        place = next(flag.origin for flag in flags if flag.name == "--num-query-groups")
        yield Flag("--group-query-attention", (), place)
    fused = truths.get("model.bias_activation_fusion")
    if fused is not None and not _truth("model.bias_activation_fusion", fused):
        yield Flag("--no-bias-swiglu-fusion", (), fused.origin)
        yield Flag("--no-bias-gelu-fusion", (), fused.origin)
    precision = truths.get("mixed_precision")
    if precision is not None:
        yield from _precision(precision)
    kept = truths.get("ddp.grad_reduce_in_fp32")
    named = precision is not None and precision.text.lower() == "bf16_mixed"
    if kept is not None and named and not _truth("ddp.grad_reduce_in_fp32", kept):
        yield Flag("--grad-reduce-in-bf16", (), kept.origin)


def _usual_experts(overrides: list[tuple[str, CommandWord]], source: Source) -> Iterator[Flag]:
    """What Bridge's mixtures do unless told otherwise (`models/*/*_bridge.py`)."""
    start = Origin(source.path, 1, 1)
    given = {key for key, _ in overrides}
    if "model.num_moe_experts" not in given:
        return
    if "model.moe_token_dispatcher_type" not in given:
        yield Flag("--moe-token-dispatcher-type", (CommandWord("alltoall", start),), start)
    for key in ("model.moe_grouped_gemm", "model.moe_permute_fusion"):
        if key not in given:
            yield Flag(SWITCHES[key][0], (), start)


def _precision(value: CommandWord) -> Iterator[Flag]:
    """Recipes of `mixed_precision`: bf16_mixed, fp16_with_fp8_mixed, bf16_with_mxfp8_mixed …"""
    text = value.text.lower()
    if "nvfp4" in text:
        yield Flag("--fp4-format", (CommandWord("e2m1", value.origin),), value.origin)
    elif "mxfp8" in text or "fp8" in text:
        recipe = "mxfp8" if "mxfp8" in text else "delayed"
        yield Flag("--fp8-format", (CommandWord("hybrid", value.origin),), value.origin)
        yield Flag("--fp8-recipe", (CommandWord(recipe, value.origin),), value.origin)
    if text.startswith(("bf16", "fp16")):
        yield Flag(f"--{text[:4]}", (), value.origin)
