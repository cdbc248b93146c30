"""Launch scripts and command lines: from the file to the launch it describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from planner.errors import InputError
from planner.importers.megatron.allocator import VARIABLES as ALLOCATOR_VARIABLES
from planner.importers.megatron.allocator import allocator_of
from planner.importers.megatron.arguments_file import arguments_command, looks_like_arguments
from planner.importers.megatron.command import (
    Command,
    choose,
    join_parts,
    mentions_training,
    training_commands,
    with_tokenizer,
)
from planner.importers.megatron.flags import Flags
from planner.importers.megatron.folders import readable_folders, shown_beside
from planner.importers.megatron.launch import Launch, launch_of
from planner.importers.megatron.nemo import looks_like_nemo, nemo_command
from planner.importers.megatron.programs import other_work
from planner.importers.megatron.script_notes import describe
from planner.importers.megatron.swift import as_megatron
from planner.importers.megatron.world import devices, devices_of_a_node, slurm_variables
from planner.importers.notes import Notes
from planner.importers.shell.ran import Followed
from planner.importers.shell.run import follow
from planner.importers.shell.text import (
    Origin,
    Piece,
    Script,
    plain,
    script_of_file,
    script_of_text,
)
from planner.importers.source import STDIN, Source, load_source
from planner.specs.files.spelling import did_you_mean

LARGEST_BYTES = 2 * 2**20
_OTHER_SCRIPTS = {
    "bert": "an encoder, which does not predict the next token",
    "_t5": "an encoder and a decoder, joined by cross attention",
    "_ict": "two encoders",
    "_retro": "a decoder that reads retrieved text by cross attention",
    "_vision": "a model of images",
    "_vlm": "a model of images and text",
    "_mamba": "layers of state spaces",
    "_hybrid": "layers of state spaces",
}
_RUNS_SCRIPT = re.compile(
    r"^[^#\n]*(?:^|[\s/])(?:bash|sh|srun|sbatch|source|\.)(?:[ \t][^#\n]*)?[/ \t][\w.-]+"
    r"\.(?:sh|slurm|sbatch|bash)\b"
    r"|^\s*\./[\w./-]+\.(?:sh|slurm|sbatch|bash)\b"
    r"|^[^#\n]*\$\((?:cat |<)",
    re.MULTILINE,
)
_ONLY_FLAGS = re.compile(r"(?:[ \t]*(?:--?[A-Za-z][^\n]*|#[^\n]*|)\n)+")
_WORD = re.compile(r"[A-Za-z_]\w*")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")
_READ_AFTERWARDS = (*ALLOCATOR_VARIABLES, "WORLD_SIZE", "NPROC_PER_NODE", "NNODES")
"""Variables that count although no script reads them."""
FLAGS_IN_YAML = ((looks_like_arguments, arguments_command), (looks_like_nemo, nemo_command))
"""How to recognise files of YAML that stand for a command, and the command each stands for."""
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
    """As `read_script`, for a file that has already been read. `usual_vocabulary` counts where
    neither the flags nor `vocabulary` state the size."""
    for looks_like, command_of in FLAGS_IN_YAML:
        if looks_like(source.text):
            chosen = command_of(source)
            return _launch(source, chosen, NOTHING_RAN, vocabulary, usual_vocabulary)
    followed = _follow(source, given or {})
    commands = list(training_commands(followed.commands)) or _in_variables(followed)
    if not commands and followed.exit_origin is not None:
        raise _exits(followed, followed.exit_origin)
    certain = [one for one in commands if not one.condition] or commands
    chosen = choose(certain, source.path, command)
    launch = _launch(source, chosen, followed, vocabulary, usual_vocabulary)
    for name in given or ():
        _check_setting(source, name, given or {}, followed)
    launch.notes.left_out.extend(_unread_settings(source, given or {}, followed))
    return launch


def states_flags(text: str) -> bool:
    """Whether a text of YAML stands for a command."""
    return any(looks_like(text) for looks_like, _ in FLAGS_IN_YAML)


def looks_like_script(text: str) -> bool:
    """Whether a text holds flags of a training command, or runs a script that may hold them."""
    return mentions_training(text) or states_flags(text) or _RUNS_SCRIPT.search(text) is not None


def _exits(followed: Followed, at: Origin) -> InputError:
    """For a script that ends before it trains because variables or arguments that it needs are not
    given."""
    names = [name for name in followed.environment if not (name.isdigit() or name == "#")]
    numbers = [name for name in followed.environment if name.isdigit() or name == "#"]
    missing = [*names[:3], *(["arguments of the script"] if numbers else [])]
    given = [
        *(["--set " + ",".join(f"{name}=…" for name in names[:3])] if names else []),
        *(['--args "…"'] if numbers else []),
    ]
    because = f" as {' and '.join(missing)} {'is' if missing == names[:1] else 'are'} not set"
    return InputError(
        f"the script exits here before it trains{because if missing else ''}",
        path=at.path,
        line=at.line,
        column=at.column,
        hint=f"give {' and '.join(given)}" if given else None,
    )


def _follow(source: Source, given: Mapping[str, str]) -> Followed:
    script = script_of_file(source.text, source.path)
    if _ONLY_FLAGS.fullmatch(source.text.rstrip() + "\n"):
        script = replace(script, text=_one_line(source.text))
    return follow(
        script,
        given={**slurm_variables(source.text), **given},
        is_nested_script=mentions_training,
        read_file=_reader(source),
    )


def _one_line(text: str) -> str:
    """A file of flags, each on its own line, as one command: it keeps its length, so that every
    character keeps its place."""
    lines = (" " * len(line) if line.lstrip()[:1] == "#" else line for line in text.split("\n"))
    return re.sub(r"\\?\n", lambda end: " " * len(end[0]), "\n".join(lines))


def _check_setting(source: Source, name: str, given: Mapping[str, str], followed: Followed) -> None:
    """Raises: InputError where the file itself sets a variable that the user gives."""
    final = followed.variables.get(name)
    if not isinstance(final, tuple) or plain(final) == given[name]:
        return
    without = _follow(source, {key: value for key, value in given.items() if key != name})
    if [one.words for one in without.commands] == [one.words for one in followed.commands]:
        place = final[0].origin if final else None
        raise InputError(
            f"--set {name}={given[name][:40]} has no effect: the file sets {name} to "
            f"{plain(final)[:40]!r} itself",
            path=source.path,
            line=place.line if place and place.line else None,
            column=place.column if place and place.line else None,
            hint="change it in the file",
        )


def _unread_settings(source: Source, given: Mapping[str, str], followed: Followed) -> Iterator[str]:
    """A note for each variable given that no file read has, with the nearest that one has."""
    if followed.files or followed.unread:
        return
    there = set(_WORD.findall(source.text))
    for name in given:
        if not (name.isdigit() or name in there or name in _READ_AFTERWARDS):
            near = did_you_mean(name, sorted(set(_VARIABLE.findall(source.text))))
            hint = f" ({near})" if near else ""
            yield f"--set {name[:60]}: the script has no such variable{hint}"


def _launch(
    source: Source,
    chosen: Command,
    followed: Followed,
    vocabulary: int | None,
    usual_vocabulary: int | None,
) -> Launch:
    _refuse_other_scripts(chosen)
    chosen = as_megatron(chosen)
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
    launch = replace(
        launch,
        node_devices=devices_of_a_node(chosen, source.text),
        allocator=allocator_of(chosen, followed.variables),
        files=followed.files,
        other_work=other_work(chosen),
    )
    describe(launch, chosen, flags, followed, where)
    return launch


def _refuse_other_scripts(command: Command) -> None:
    """Raises: InputError for scripts of Megatron-LM that train no decoder."""
    name = command.script.rpartition("/")[2]
    for part, what in _OTHER_SCRIPTS.items():
        if part in name:
            raise InputError(
                f"{name[:80]} trains {what}",
                path=command.origin.path,
                line=command.origin.line,
                column=command.origin.column,
                hint="planner plans decoders; describe one of the same size in a model file",
            )


def _in_variables(followed: Followed) -> list[Command]:
    """Commands held in variables that the file sets but never runs, such as an array of flags.
    Variables whose flags do not contradict each other are parts of one command, which another
    script makes of them; it names the tokenizer by a variable, too."""
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
    joined = join_parts(found)
    tokenizer = followed.variables.get("TOKENIZER_MODEL")
    if joined is None or not isinstance(tokenizer, tuple) or not plain(tokenizer):
        return found if joined is None else [joined]
    return [with_tokenizer(joined, tokenizer)]


def _reader(source: Source) -> Callable[[str], Script | None]:
    """Finds files that a script reads: in its own folder and below, in its git repository, and in
    the current folder where the script is in it. They are called by the folder of the script as the
    user gives it."""
    called = Path(source.path)
    folder = None if source.path == STDIN else called.resolve().parent
    roots = () if folder is None else readable_folders(folder)

    def read(name: str) -> Script | None:
        if folder is None or not name:
            return None
        try:
            path = (folder / name).resolve()
            if not any(map(path.is_relative_to, roots)) or not path.is_file():
                return None
            shown = shown_beside(called.parent, path)
            text = source.beside.get(shown)
            if text is None:
                text = load_source(str(path), largest=LARGEST_BYTES).text
        except (OSError, ValueError, InputError):
            return None
        return script_of_file(text, source.path if path == called.resolve() else shown)

    return read
