"""A script with another plan in it, read back to see that it says that plan and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.importers.deepspeed.statement import SETTINGS
from planner.importers.launch import LARGEST_BYTES, read_source
from planner.importers.megatron.script import launch_in
from planner.importers.source import STDIN, load_source
from planner.improvement.change import changed_texts
from planner.improvement.same import what_else_changed
from planner.improvement.settings_text import FOLLOWING, changed_settings
from planner.improvement.wanted import needed_variables, wanted_flags
from planner.specs.files.text_file import decode, read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.importers.launch import LaunchedPlan
    from planner.importers.launch_options import LaunchOptions
    from planner.importers.megatron.launch import Launch
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
        return read_source(source, self.cluster, self.model, self.options).in_job

    def launch(self, source: Source) -> Launch:
        """The training command with the places of its flags, and the files it was read from."""
        return launch_in(
            source,
            given=self.options.variables,
            command=self.options.command,
            vocabulary=self.options.vocabulary,
            usual_vocabulary=None if self.model is None else self.model.vocab_size,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Changed texts by path, and what the script launches with them."""

    files: Mapping[str, str]
    launched: LaunchedPlan
    look_at: tuple[str, ...]


def changeable(path: str) -> Source:
    """A file that may be changed. Raises: InputError for text that would not be written as it was
    read."""
    if path == STDIN:
        raise InputError("standard input cannot be changed; give a file")
    source = load_source(path, largest=LARGEST_BYTES)
    if decode(read_bytes(Path(path), largest=LARGEST_BYTES), path) != source.text:
        raise InputError(
            "holds carriage returns or control codes, which a change would lose",
            path=path,
            hint="`dos2unix` takes carriage returns out",
        )
    return source


def written_in(
    reading: ScriptReading, source: Source, launched: LaunchedPlan, ranked: RankedPlan
) -> Written:
    """The script with the plan in it. Raises: InputError where its flags cannot be changed safely,
    and where the changed script says anything else; RuleError where it cannot run."""
    settings = launched.statement.kind == SETTINGS
    look_at: list[str] = []
    texts = {source.path: source.text}
    if settings:
        files = {source.path: changed_settings(source, launched.plan, ranked.plan)}
    else:
        launch = reading.launch(source)
        texts |= {path: changeable(path).text for path in launch.files}
        wanted = wanted_flags(launch.flags, launched.scenario, launched.plan, ranked.plan)
        files, look_at = changed_texts(texts, launch.flags, wanted)
    read = reading.read(replace(source, text=files.get(source.path, source.text), beside=files))
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
    said = "".join((texts | files).values())
    needed = () if settings else needed_variables(launched.plan, ranked.plan, said)
    return Written(files=files, launched=read, look_at=(*look_at, *needed))
