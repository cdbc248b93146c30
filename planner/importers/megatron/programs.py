"""Programs that take Megatron-LM's flags and do something else than train a decoder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.importers.megatron.command import Command

_BY_NAME = {
    "_ptq|quantize": "changes the number format of trained weights",
    "text_generation|generate|generation|inference|_server": "answers prompts",
    "convert|checkpoint/util|hf2m|export|merge_|split_": "converts a checkpoint",
    "eval|zeroshot": "measures a trained model",
    "preprocess|tokenize": "prepares data",
}
"""Parts of a script's name, from its folder on, and what it does."""
_TRAINS = re.compile(r"pretrain|finetune|sft|train[^/]*$")
_BY_FLAG = {
    "--skip-train": "only measures a trained model (--skip-train)",
    "--num-tokens-to-generate": "answers prompts",
    "--out-seq-length": "answers prompts",
    "--export-quant-cfg": "changes the number format of trained weights",
    "--calib-batch-size": "changes the number format of trained weights",
    "--target-tensor-parallel-size": "converts a checkpoint",
    "--target-tensor-model-parallel-size": "converts a checkpoint",
    "--perform-rl-step": "learns from answers that it generates itself",
    "--grpo-group-size": "learns from answers that it generates itself",
    "--num-rollout": "learns from answers that it generates itself",
    "--rollout-batch-size": "learns from answers that it generates itself",
    "--strict-lambada": "measures a trained model",
}


_OF_THE_FLAGS = re.compile(
    r"(?:pre|post)?train(?:_gpt\w*)?\.py|finetune\w*\.py|pretrain_(?:llama|qwen|mistral|mixtral)\w*\.py"
)
"""Programs whose layers are those that the flags describe: Megatron-LM's, and those of forks."""


def own_layers(command: Command) -> str | None:
    """The name of a program that may build other layers than the flags describe; None for one that
    is known not to, and where none is named."""
    file = command.script.rpartition("/")[2]
    known = not file.endswith(".py") or _OF_THE_FLAGS.fullmatch(file) is not None
    return None if known else file[:60]


def other_work(command: Command) -> str | None:
    """What the program of a command does in place of training, with its name; None where it
    trains."""
    name = "/".join(command.script.split("/")[-2:])
    shown = command.script.rpartition("/")[2][:60] or "the command"
    given = {flag.name for flag in command.flags}
    for flag, does in _BY_FLAG.items():
        if flag in given:
            return f"{shown} {does}"
    file = name.rpartition("/")[2]
    if _TRAINS.search(file):
        return None
    for part, does in _BY_NAME.items():
        if re.search(part, name if "/" in part else file):
            return f"{shown} {does}"
    return None
