"""Launch scripts and command lines: from the file to the launch it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from planner.errors import InputError
from planner.importers.megatron.arguments_file import arguments_command, looks_like_arguments
from planner.importers.megatron.command import (
    Command,
    choose,
    is_launcher_flag,
    mentions_training,
    training_commands,
    unread_flags,
)
from planner.importers.megatron.flags import Flags
from planner.importers.megatron.launch import Launch, launch_of
from planner.importers.megatron.table import KNOWN, NOT_MODELLED, WITHOUT_EFFECT
from planner.importers.megatron.world import devices, slurm_variables
from planner.importers.notes import MOST_LISTED, Notes, listed
from planner.importers.shell.ran import Followed
from planner.importers.shell.run import follow
from planner.importers.shell.text import Piece, Script, script_of_file, script_of_text
from planner.importers.source import STDIN, Source, load_source
from planner.specs.files.spelling import did_you_mean

LARGEST_BYTES = 2 * 2**20
NOTHING_RAN = Followed(commands=(), environment=(), unread=(), variables={})


def read_script(
    path: str | Path,
    *,
    given: Mapping[str, str] | None = None,
    command: int | None = None,
    vocabulary: int | None = None,
) -> Launch:
    """The launch a Megatron-LM script or pasted command line describes.

    `given` are variables the script leaves to its environment; `command` chooses among several
    training commands, from 1; `vocabulary` is the vocabulary's size where only the tokenizer's
    file says it. Raises: InputError with file, line and column.
    """
    return launch_in(
        load_source(str(path), largest=LARGEST_BYTES),
        given=given,
        command=command,
        vocabulary=vocabulary,
    )


def launch_in(
    source: Source,
    *,
    given: Mapping[str, str] | None = None,
    command: int | None = None,
    vocabulary: int | None = None,
    usual_vocabulary: int | None = None,
) -> Launch:
    """As `read_launch`, of a file already read. `usual_vocabulary` counts where neither the flags
    nor `vocabulary` say its size."""
    if looks_like_arguments(source.text):
        chosen = arguments_command(source)
        return _launch(source, chosen, NOTHING_RAN, vocabulary, usual_vocabulary)
    followed = follow(
        script_of_file(source.text, source.path),
        given={**slurm_variables(source.text), **(given or {})},
        is_nested_script=mentions_training,
        read_file=_reader(source),
    )
    commands = list(training_commands(followed.commands)) or _in_variables(followed)
    certain = [one for one in commands if not one.condition] or commands
    chosen = choose(certain, source.path, command)
    return _launch(source, chosen, followed, vocabulary, usual_vocabulary)


def _launch(
    source: Source,
    chosen: Command,
    followed: Followed,
    vocabulary: int | None,
    usual_vocabulary: int | None,
) -> Launch:
    notes = Notes()
    flags = Flags.of(chosen, source.path)
    world, where = devices(chosen, source.text, followed.variables)
    launch = launch_of(
        flags,
        notes,
        script=chosen.script,
        devices=world,
        vocabulary=vocabulary,
        usual_vocabulary=usual_vocabulary,
    )
    _describe(launch, chosen, flags, followed, where)
    return launch


def _in_variables(followed: Followed) -> list[Command]:
    """Commands held in variables that the file sets but does not run, such as an array of flags."""
    found: list[Command] = []
    for value in followed.variables.values():
        texts = list(value.values()) if isinstance(value, dict) else [value]
        pieces = [p for text in texts if text for p in (*text, Piece(" ", text[0].origin))]
        if pieces and mentions_training("".join(piece.text for piece in pieces)):
            script = script_of_text(pieces, pieces[0].origin)
            ran = follow(
                script,
                given={},
                is_nested_script=mentions_training,
                read_file=lambda name: None,
            )
            found += training_commands(ran.commands)
    return found


def _reader(source: Source) -> Callable[[str], Script | None]:
    """Finds files that a script sources: those in its own folder and below."""
    folder = None if source.path == STDIN else Path(source.path).resolve().parent

    def read(name: str) -> Script | None:
        if folder is None or not name:
            return None
        try:
            path = (folder / name.rpartition("`/")[2]).resolve()
            if not path.is_relative_to(folder) or not path.is_file():
                return None
            text = load_source(str(path), largest=LARGEST_BYTES).text
        except (OSError, ValueError, InputError):
            return None
        return script_of_file(text, str(path))

    return read


def _describe(
    launch: Launch, command: Command, flags: Flags, followed: Followed, where: str
) -> None:
    """Notes on what was read, taken for granted and left out."""
    notes = launch.notes
    read = [flag.name for flag in command.flags if flag.name in KNOWN]
    notes.read.append(
        f"the training command on line {command.origin.line}"
        f"{f' ({command.script})' if command.script else ''}: {len(read)} flags that count"
    )
    if launch.devices is not None:
        notes.read.append(f"{launch.devices} devices from {where}")
    if command.condition:
        notes.assumed.append(f"the command runs; it {command.condition}")
    if followed.environment:
        notes.assumed.append(
            f"variables the file leaves to the environment are not set: "
            f"{listed(list(followed.environment))}"
        )
    for name in flags.repeated():
        notes.assumed.append(f"{name} is given several times; the last counts")
    for unread in followed.unread:
        notes.left_out.append(unread)
    for word in command.uncertain:
        shown = f" ({' '.join(word.maybe.split())[:60]})" if word.maybe.strip() else ""
        notes.left_out.append(f"words on line {word.origin.line} whose text {word.problem}{shown}")
    if command.stray:
        notes.left_out.append(
            f"words that belong to no flag: {listed([word.text[:40] for word in command.stray])}"
        )
    _describe_unread(command, notes)


def _describe_unread(command: Command, notes: Notes) -> None:
    """Flags nothing here reads, by what that means."""
    unmodelled, harmless = [], []
    unknown: dict[tuple[str, int | None], str] = {}
    for flag in unread_flags(command):
        bare = flag.name.removeprefix("--")
        if is_launcher_flag(flag.name):
            continue
        if flag.name in NOT_MODELLED:
            unmodelled.append(flag.name)
        elif bare.startswith(WITHOUT_EFFECT):
            harmless.append(flag.name)
        elif (flag.name, flag.origin.line) not in unknown:
            near = did_you_mean(flag.name, KNOWN) if len(unknown) < MOST_LISTED else None
            text = f"{flag.name} on line {flag.origin.line}{f' ({near})' if near else ''}"
            unknown[flag.name, flag.origin.line] = text
    for names, meaning in (
        (unmodelled, "may change memory or time, and a plan has no field for them"),
        (list(unknown.values()), "are not known here"),
        (harmless, "change neither the model nor memory or time"),
    ):
        if names:
            notes.left_out.append(f"flags that {meaning}: {listed(list(dict.fromkeys(names)))}")
