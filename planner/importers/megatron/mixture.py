"""The mixture of experts of a training command, as the keys of a model file.

Megatron-LM's own mixtures (`core/transformer/moe/`), and those of Megatron-DeepSpeed, which has
flags and defaults of its own.
"""

from __future__ import annotations

import re
from typing import Any

from planner.importers.megatron.flags import Flags
from planner.importers.megatron.unread import NOT_MODELLED, is_harmless
from planner.importers.patterns import first_and_frequency, read_pattern

_SHARED = "--n-shared-experts"
_FREQUENCY = "--moe-layer-freq"
_DENSE = "--first-k-dense-replace"
_OF_EXPERTS = re.compile(r"[-_.](?:moe|experts?)(?:[-_]|$)")
_NONE = ("", "0", "1", "none", "false")
"""Values that give a model no experts."""
_OF_DEEPSPEED = (
    "--deepspeed",
    "--expert-interval",
    "--topk",
    "--moe-expert-parallel-size",
    "--enable-expert-tensor-parallelism",
    "--ds-inference",
    "--mlp-type",
    "--zero-stage",
)

Mapping = dict[str, Any]


def moe_of(flags: Flags, layers: int, *, biases: bool) -> Mapping | None:
    """The router has a bias where linear layers do (`moe/router.py`, `add_bias_linear`)."""
    experts = expert_count(flags)
    deepspeed = is_deepspeed(flags)
    if experts is None:
        _refuse_shared_alone(flags)
        _refuse_unread(flags)
    if experts is None or (experts == 1 and deepspeed):
        return None
    chosen, usual = ("--topk", 1) if deepspeed else ("--moe-router-topk", 2)
    moe: Mapping = {
        "num_experts": experts,
        "top_k": flags.integer(chosen, most=1_000_000) or usual,
    }
    if moe["top_k"] > experts:
        raise flags.error(f"{moe['top_k']} of {experts} experts ({chosen})", "--num-experts")
    width = flags.integer("--moe-ffn-hidden-size") or flags.integer("--ffn-hidden-size")
    if width is not None:
        moe["ffn_hidden_size"] = width
    shared = _shared_width(flags, width)
    if shared:
        moe["shared_expert_ffn_hidden_size"] = shared
        moe["shared_expert_gate"] = flags.given("--moe-shared-expert-gate")
    first, frequency = _expert_layers(flags, layers, deepspeed=deepspeed)
    if first:
        moe["first_dense_layers"] = first
    if frequency > 1:
        moe["layer_frequency"] = frequency
    moe["router_bias"] = biases and not deepspeed
    if not deepspeed:
        moe |= _routing(flags, experts, moe["top_k"])
    return moe


def _shared_width(flags: Flags, width: int | None) -> int | None:
    """As stated, or in MindSpeed-LLM and Pai-Megatron-Patch that of so many experts."""
    shared = flags.integer("--moe-shared-expert-intermediate-size", least=0)
    number = flags.integer(_SHARED, least=0)
    if shared is not None or not number:
        return shared
    if width is None:
        raise flags.error("the width of an expert is not stated", _SHARED)
    return number * width


def _refuse_shared_alone(flags: Flags) -> None:
    """Raises: InputError for a number of shared experts where there are no others: MindSpeed-LLM
    multiplies it with the width of an expert, which Megatron-LM has in mixtures only
    (`features_manager/moe/shared_expert.py`)."""
    if flags.integer(_SHARED, least=0):
        raise flags.error("shared experts without --num-experts, the number of the others", _SHARED)


def _refuse_unread(flags: Flags) -> None:
    """Raises: InputError for a flag that is not known and may give a model experts, where none that
    is known does: what it states would be most of the model."""
    for flag in flags.unread():
        states = flag.values and flag.values[0].text.lower() not in _NONE
        known = flag.name in NOT_MODELLED or is_harmless(flag.name)
        if states and not known and _OF_EXPERTS.search(flag.name):
            raise flags.error(
                f"{flag.values[0].text[:20]} is not read, and the model may be much larger with it",
                flag.name,
                hint="state the mixture with --num-experts, --moe-router-topk and "
                "--moe-ffn-hidden-size",
            )


def _routing(flags: Flags, experts: int, top_k: int) -> Mapping:
    """The router's scores, and the groups of experts it is limited to."""
    functions = ("softmax", "sigmoid")
    scores = flags.choice("--moe-router-score-function", functions) or "softmax"
    routing: Mapping = {"score_function": scores}
    groups = flags.integer("--moe-router-num-groups", most=1_000_000)
    if groups is None:
        return routing
    if experts % groups:
        raise flags.error(
            f"{groups} groups do not divide {experts} experts", "--moe-router-num-groups"
        )
    chosen = flags.integer("--moe-router-group-topk", most=groups)
    if chosen is not None and chosen * (experts // groups) < top_k:
        raise flags.error(
            f"{chosen} groups hold fewer than {top_k} experts", "--moe-router-group-topk"
        )
    return routing | {"num_groups": groups, "group_top_k": chosen or groups}


def is_deepspeed(flags: Flags) -> bool:
    """Whether mixtures are those of Megatron-DeepSpeed: it is the launcher, or flags occur that
    only it has (`arguments.py`)."""
    return any(flags.given(name) for name in _OF_DEEPSPEED)


def expert_count(flags: Flags) -> int | None:
    """Megatron-DeepSpeed takes one number for all layers, or one for each."""
    words = flags.words("--num-experts")
    if words is None:
        return None
    if len(set(words)) > 1:
        raise flags.error(
            "layers with different numbers of experts cannot be described in a model file",
            "--num-experts",
        )
    if not words:
        raise flags.error("a value is missing", "--num-experts")
    if flags.choice("--mlp-type", ("standard", "residual")) == "residual":
        raise flags.error(
            "an MLP next to the experts, mixed in by a weight, cannot be described in a model file",
            "--mlp-type",
        )
    return flags.integer("--num-experts", most=1_000_000)


def _expert_layers(flags: Flags, layers: int, *, deepspeed: bool) -> tuple[int, int]:
    """moe_module_specs / gpt_layer_specs: a number n puts experts in layers 0, n, 2n …; a list has
    one entry for each layer. Megatron-DeepSpeed: in layers n, 2n …, counted from 1, where
    --expert-interval is n, or 2 (`transformer.py`, `get_num_experts_per_layer`). MindSpeed-LLM
    leaves out the first layers; -1 is none of them, and experts in every layer."""
    if deepspeed:
        interval = flags.integer("--expert-interval", most=100_000) or 2
        if interval > layers:
            raise flags.error(f"no layer of {layers} has experts", "--expert-interval")
        return 0, interval
    text = flags.text(_FREQUENCY)
    dense = flags.integer(_DENSE, least=0, most=layers - 1) if flags.text(_DENSE) != "-1" else 0
    if text is None or text == "-1":
        return dense or 0, 1
    if text.isdigit():
        step = int(text[:9])
        if step < 1:
            raise flags.error(f"{text[:20]!r} is not 1 or more", _FREQUENCY)
        chosen = [index % step == 0 and index >= (dense or 0) for index in range(layers)]
    else:
        pattern = read_pattern(text)
        if pattern is None or len(pattern) != layers or set(pattern) - {0, 1}:
            raise flags.error(f"{text[:60]!r} is not {layers} zeros and ones", _FREQUENCY)
        chosen = [bool(one) for one in pattern]
    described = first_and_frequency(chosen)
    if described is None:
        raise flags.error(
            "a model file describes dense layers at the start and then experts in every n-th "
            f"layer; {text[:60]} is different",
            _FREQUENCY,
        )
    return described
