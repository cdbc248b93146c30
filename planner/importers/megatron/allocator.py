"""How PyTorch reserves memory, as the environment of a training command says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planner.importers.shell.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.importers.megatron.command import Command
    from planner.importers.shell.state import Value

VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
_EXPANDABLE = re.compile(r"expandable_segments\s*:\s*(true|false)", re.IGNORECASE)


def allocator_of(command: Command, variables: Mapping[str, Value]) -> str | None:
    """ "expandable" or "caching" where a variable of the script, or a word before the training
    script (`env NAME=VALUE`, `docker run -e NAME=VALUE`), says so; the last counts. None where none
    does."""
    said = None
    for text in _texts(command, variables):
        for match in _EXPANDABLE.finditer(text):
            said = "expandable" if match[1].lower() == "true" else "caching"
    return said


def _texts(command: Command, variables: Mapping[str, Value]) -> Iterator[str]:
    for name in VARIABLES:
        value = variables.get(name)
        if isinstance(value, tuple):
            yield plain(value)
    for words in command.launcher:
        yield from (word.text for word in words if word.text.partition("=")[0] in VARIABLES)
