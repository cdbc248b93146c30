"""Recognises the program of a launch file by its content, and reads what the file says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.importers.accelerate import KIND, accelerate_statement, looks_like_accelerate
from planner.importers.automodel.model import KIND as AUTOMODEL
from planner.importers.automodel.model import looks_like_recipe
from planner.importers.automodel.statement import recipe_statement
from planner.importers.deepspeed.statement import deepspeed_statement
from planner.importers.foreign_launches import foreign_launch
from planner.importers.frameworks.detect import foreign_file, is_yaml
from planner.importers.frameworks.neox_plan import KIND as NEOX
from planner.importers.frameworks.neox_plan import looks_like_neox, neox_statement
from planner.importers.megatron.bridge import looks_like_overrides
from planner.importers.megatron.command import NothingTrainsError
from planner.importers.megatron.script import looks_like_script
from planner.importers.megatron.statement import OVERRIDES, overrides_statement, script_statement
from planner.importers.torchtitan_toml import KIND as TORCHTITAN
from planner.importers.torchtitan_toml import looks_like_toml, toml_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from planner.importers.source import Source
    from planner.importers.statement import Statement
    from planner.specs.model.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """What the user gives in addition to the file: the model, where the file does not state one,
    and for scripts the options of `planner.importers.megatron.script.read_script`."""

    model: ModelSpec | None = None
    variables: Mapping[str, str]
    command: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFormat:
    """How to recognise a file of the format, and how to read it. `name` says in a message what it
    is."""

    name: str
    looks_like: Callable[[Source], bool]
    read: Callable[[Source, ReadingOptions], Statement]


def _read_script(source: Source, given: ReadingOptions) -> Statement:
    """Raises: InputError, which names the framework of a script that starts another's program."""
    try:
        return script_statement(
            source,
            given.model,
            variables=given.variables,
            command=given.command,
            vocabulary=given.vocabulary,
        )
    except NothingTrainsError as error:
        raise foreign_launch(source) or error from None


_LAUNCHER = re.compile(r"verify_placement|VERIFY_PLACEMENT|^rank \d+=\S+ slot=", re.MULTILINE)
"""What exported launchers and rank files hold and launch scripts do not."""

LAUNCH_FORMATS = (
    LaunchFormat(
        name="a DeepSpeed configuration",
        looks_like=lambda source: source.text.lstrip()[:1] == "{" and not is_yaml(source),
        read=lambda source, given: deepspeed_statement(source, given.model),
    ),
    LaunchFormat(
        name=KIND,
        looks_like=looks_like_accelerate,
        read=lambda source, given: accelerate_statement(source, given.model),
    ),
    LaunchFormat(
        name=AUTOMODEL,
        looks_like=looks_like_recipe,
        read=lambda source, given: recipe_statement(source, given.model),
    ),
    LaunchFormat(
        name=TORCHTITAN,
        looks_like=looks_like_toml,
        read=lambda source, given: toml_statement(source, given.model),
    ),
    LaunchFormat(
        name="a Megatron-LM command or script",
        looks_like=lambda source: looks_like_script(source.text),
        read=_read_script,
    ),
    LaunchFormat(
        name=NEOX,
        looks_like=looks_like_neox,
        read=lambda source, given: neox_statement(source, given.model, given.vocabulary),
    ),
    LaunchFormat(
        name=OVERRIDES,
        looks_like=lambda source: looks_like_overrides(source.text),
        read=lambda source, given: overrides_statement(
            source, given.model, vocabulary=given.vocabulary
        ),
    ),
)
"""The formats in the order in which they are tried."""


def read_statement(source: Source, given: ReadingOptions) -> Statement:
    """What a launch file says.

    Raises: InputError for a file of no known format, and at what is wrong in it.
    """
    for one in LAUNCH_FORMATS:
        if one.looks_like(source):
            return one.read(source, given)
    if _LAUNCHER.search(source.text):
        raise source.error(
            "starts the processes of a plan and holds no training flags",
            hint="read the script that has them, such as megatron-lm.sh of `planner export`",
        )
    foreign = foreign_file(source) or foreign_launch(source)
    if foreign is not None:
        raise foreign
    names = ", ".join(["a plan document", *(one.name for one in LAUNCH_FORMATS)])
    raise source.error(f"is none of: {names}")
