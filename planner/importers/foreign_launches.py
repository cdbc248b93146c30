"""Launch files of frameworks whose decisions are elsewhere: what each is, and what to give."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planner.importers.other_files import OtherFile, first_known

if TYPE_CHECKING:
    from planner.errors import InputError
    from planner.importers.source import Source

_OPTIONS = "give --model and its degrees as options, such as --tensor 2"
_OF_TORCHTITAN = (
    f"{_OPTIONS}, with --software torchtitan; `planner import model 'llama3 8B'` has its models"
)
_OF_HUGGING_FACE = "give the DeepSpeed or Accelerate configuration that it names, and --model"


def _foreign(pattern: str, is_a: str, instead: str) -> OtherFile:
    return OtherFile(re.compile(rf"^[^#\n]*?(?:{pattern})", re.MULTILINE), is_a, instead)


_FOREIGN = (
    _foreign(
        r"-m torchtitan\b|torchtitan/train\.py|^\[(?:parallelism|activation_checkpoint)\]|"
        r"^(?:tensor|pipeline|context)_parallel_degree *=|^data_parallel_\w+_degree *=",
        "a command or configuration of torchtitan",
        _OF_TORCHTITAN,
    ),
    _foreign(
        r"\bswift +(?:sft|pt|rlhf)\b|\bswift/cli/(?:sft|pt|rlhf)\.py",
        "a command of ms-swift, which trains with Transformers",
        _OF_HUGGING_FACE,
    ),
    _foreign(r"\baccelerate +launch\b", "a command of Accelerate", _OF_HUGGING_FACE),
    _foreign(
        r"(?:^|[\s/;&])deepspeed +-|--deepspeed(?:_config)?[ =]\S+",
        "a command of DeepSpeed, whose decisions are in a JSON file",
        _OF_HUGGING_FACE,
    ),
    _foreign(r"\bllamafactory-cli\b", "a command of LLaMA-Factory", _OF_HUGGING_FACE),
    _foreign(r"\baxolotl\b", "a command of Axolotl", _OF_HUGGING_FACE),
    _foreign(r"-m verl\.|\bverl\.trainer\b", "a command of verl", _OPTIONS),
    _foreign(
        r"--yaml-cfg\b",
        "a Megatron-LM command whose flags are in a YAML file",
        "write them as flags, or give --model and the degrees as options",
    ),
    _foreign(r"\bautomodel\b|nemo_automodel", "a command of NeMo AutoModel", _OPTIONS),
    _foreign(
        r"(?:^|[\s/;&])torchrun\b|-m torch\.distributed\b|(?:^|[\s/;&])srun\b",
        "a command without flags of Megatron-LM: its decisions are in the program it starts",
        _OPTIONS,
    ),
)
"""The first that fits counts."""


def foreign_launch(source: Source, *, instead: str | None = None) -> InputError | None:
    """An error that says what a launch file is that states no decisions, and what to give
    `instead`; None for any other file."""
    one = first_known(_FOREIGN, source.text)
    return None if one is None else source.error(f"is {one.is_a}", hint=instead or one.instead)
