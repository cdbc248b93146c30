"""A script with another plan in it, read back to see that it says that plan and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.importers.deepspeed.statement import SETTINGS
from planner.importers.launch import read_source
from planner.importers.megatron.script import launch_in
from planner.improvement.change import changed_text
from planner.improvement.same import what_else_changed
from planner.improvement.settings_text import FOLLOWING, changed_settings
from planner.improvement.wanted import needed_variables, wanted_flags

if TYPE_CHECKING:
    from planner.importers.launch import LaunchedPlan
    from planner.importers.launch_options import LaunchOptions
    from planner.importers.megatron.flags import Flags
    from planner.importers.source import Source
    from planner.plan import RankedPlan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.model.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptReading:
    """What a script is read with."""

    cluster: ClusterSpec
    model: ModelSpec | None
    options: LaunchOptions

    def read(self, source: Source) -> LaunchedPlan:
        return read_source(source, self.cluster, self.model, self.options)

    def flags(self, source: Source) -> Flags:
        """The flags of the training command, with their places."""
        return launch_in(
            source,
            given=self.options.variables,
            command=self.options.command,
            vocabulary=self.options.vocabulary,
            usual_vocabulary=None if self.model is None else self.model.vocab_size,
        ).flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A changed script, and what it launches."""

    text: str
    launched: LaunchedPlan
    look_at: tuple[str, ...]


def written_in(
    reading: ScriptReading, source: Source, launched: LaunchedPlan, ranked: RankedPlan
) -> Written:
    """The script with the plan in it. Raises: InputError where its flags cannot be changed safely,
    and where the changed script says anything else; RuleError where it cannot run."""
    settings = launched.statement.kind == SETTINGS
    look_at: list[str] = []
    if settings:
        text = changed_settings(source, launched.plan, ranked.plan)
    else:
        flags = reading.flags(source)
        wanted = wanted_flags(flags, launched.scenario, launched.plan, ranked.plan)
        text, look_at = changed_text(source, flags, wanted)
    read = reading.read(replace(source, text=text))
    read.check()
    follows = FOLLOWING if settings else ()
    otherwise = what_else_changed(launched, read, ranked.plan, follows=follows)
    if otherwise is not None:
        place = launched.place(otherwise)
        raise InputError(
            f"a changed flag takes {otherwise.replace('_', ' ')} along",
            path=place.path,
            line=place.line,
            column=place.column,
            hint="`planner compare` shows the flags to change by hand",
        )
    needed = () if settings else needed_variables(launched.plan, ranked.plan, text)
    return Written(text=text, launched=read, look_at=(*look_at, *needed))
