"""Commands of ms-swift as those of Megatron-LM: `megatron sft --model Qwen/Qwen3-8B …`.

modelscope/ms-swift, `swift/megatron/arguments/megatron_args.py`: flags have Megatron-LM's names
with underscores, some defaults differ, and the sizes are those of the published model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.importers.megatron.command import (
    Command,
    CommandWord,
    Flag,
    runs_swift,
    with_states,
)
from planner.importers.published.names import nearest_published, published_model, published_name

if TYPE_CHECKING:
    from typing import Any

    from planner.importers.megatron.flags import Flags
    from planner.importers.notes import Notes

SCRIPT = "megatron"
"""What stands for the training script of such a command."""
_LENGTH = "--max-length"
_MODEL = "--model"
_DEFAULTS = {
    "--micro-batch-size": "1",
    "--global-batch-size": "16",
    "--recompute-granularity": "selective",
    "--attention-backend": "flash",
    "--expert-tensor-parallel-size": "1",
    "--bf16": None,
    "--use-distributed-optimizer": None,
    "--cross-entropy-loss-fusion": None,
    "--no-rope-fusion": None,
    "--moe-grouped-gemm": None,
    "--moe-token-dispatcher-type": "alltoall",
}
"""Flags that are on, or have these values, where a command does not say otherwise."""


def as_megatron(command: Command) -> Command:
    """The command with the flags that Megatron-LM would be given; any other as it is.

    Raises: InputError for `megatron rlhf`, and for adapters.
    """
    words = [word.text for words in command.launcher for word in words]
    if not runs_swift(words):
        return command
    if "rlhf" in words:
        raise _refused(command, "megatron rlhf keeps further models beside the trained one")
    given = {flag.name: flag for flag in command.flags}
    if _MODEL not in given and "--num-layers" not in given:
        raise _error(command, f"{_MODEL} is missing, and nothing else says the model's sizes")
    for name in ("--tuner-type", "--train-type"):
        kind = given[name].values[0].text if name in given and given[name].values else "full"
        if kind != "full":
            raise _refused(command, f"{name} {kind[:20]} trains low-rank adapters alone")
    flags = [flag for flag in with_states(command.flags) if not _is_none(flag)]
    if _LENGTH in given:
        flags.append(replace(given[_LENGTH], name="--seq-length"))
    for name, value in _DEFAULTS.items():
        if name not in given:
            values = () if value is None else (CommandWord(value, command.origin),)
            flags.append(Flag(name, values, command.origin))
    return replace(command, flags=tuple(flags), script=SCRIPT)


def _is_none(flag: Flag) -> bool:
    return [value.text.lower() for value in flag.values] == ["none"]


def named_model(flags: Flags, notes: Notes) -> dict[str, Any] | None:
    """The keys of the model file of the published model that `--model` names, where no flag states
    sizes; None without. Raises: InputError for a name that is not known."""
    name = flags.text(_MODEL)
    if name is None or flags.given("--num-layers"):
        return None
    found = published_name(name)
    if found is None:
        near = nearest_published(name) or "read its config.json with `planner import model`"
        raise flags.error(f"{name[:60]!r} is not a model that is known here", _MODEL, hint=near)
    model, said = published_model(found)
    notes.read += said.read
    notes.assumed += said.assumed
    notes.left_out += said.left_out
    return {key: value for key, value in model.items() if key != "training"}


def _refused(command: Command, message: str) -> InputError:
    return _error(command, f"{message}, which is not planned")


def _error(command: Command, message: str) -> InputError:
    at = command.origin
    return InputError(message, path=at.path, line=at.line, column=at.column)
