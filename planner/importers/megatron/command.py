"""The Megatron-LM commands among those that a script runs, and their flags with places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from planner.errors import InputError
from planner.importers.megatron.table import KNOWN, LAUNCHER_FLAGS, SWITCHES, canonical
from planner.importers.shell.ran import SPEAKING, Ran
from planner.importers.shell.text import Origin, Text, doubt_of, is_known, plain, unset_in

UNDERSCORED = ("--tensor_model_parallel_size", "--pipeline_model_parallel_size")
"""Flags that identify programs whose flags have underscores, and whose switches take `true`."""

TELLING = (
    "--num-layers",
    "--hidden-size",
    "--num-attention-heads",
    "--tensor-model-parallel-size",
    "--pipeline-model-parallel-size",
    "--micro-batch-size",
    "--model-parallel-size",
    "--encoder-num-layers",
    *UNDERSCORED,
)
"""Flags that identify a training command."""

SWIFT_TASKS = ("sft", "pt", "rlhf")
_SWIFT = re.compile(r"\bmegatron\s+(?:sft|pt|rlhf)\b")

TOKENIZER = "--tokenizer-model"


@dataclass(frozen=True, slots=True)
class CommandWord:
    """A word of a command. `problem` says why its text is unknown; `maybe` what may stand there."""

    text: str
    origin: Origin
    problem: str = ""
    maybe: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as given: its name with the dashes, its values, and its place."""

    name: str
    values: tuple[CommandWord, ...]
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A training command. `flags` in the order given; `launcher` are the words before the training
    script, those of commands around it included; `uncertain` words may be added or not."""

    script: str
    origin: Origin
    condition: str
    flags: tuple[Flag, ...]
    uncertain: tuple[CommandWord, ...] = ()
    stray: tuple[CommandWord, ...] = ()
    launcher: tuple[tuple[CommandWord, ...], ...] = field(default=())


def mentions_training(text: str) -> bool:
    """Whether a text holds flags of a training command, or runs ms-swift."""
    return any(flag in text for flag in TELLING) or _SWIFT.search(text) is not None


def runs_swift(words: Sequence[str]) -> bool:
    """Whether the words of a command run ms-swift: `megatron sft --model NAME …`."""
    programs = [word.rpartition("/")[2] for word in words[:40]]
    return any(one == "megatron" and after in SWIFT_TASKS for one, after in pairwise(programs))


def training_commands(ran: Iterable[Ran]) -> Iterator[Command]:
    """The training commands, in the order in which they run."""
    for one in ran:
        names = [plain(word) for word in one.words]
        speaks = bool(names) and names[0].rpartition("/")[2] in SPEAKING
        if not speaks and (runs_swift(names) or any(_is_telling(name) for name in names)):
            yield _command(one)


def _is_telling(word: str) -> bool:
    return word.partition("=")[0] in TELLING


def _command(ran: Ran) -> Command:
    words = [_word(text, ran.origin) for text in ran.words]
    swift = runs_swift([word.text for word in words])
    first = next(
        index
        for index, word in enumerate(words)
        if _is_telling(word.text) or (swift and (word.text.startswith("--") or word is words[-1]))
    )
    scripts = [index for index in range(first) if words[index].text.endswith(".py")]
    start = scripts[-1] + 1 if scripts else 0
    underscored = swift or any(_name(word) in UNDERSCORED for word in words)
    flags, uncertain, stray = _flags(words[start:], underscored=underscored)
    if underscored and not swift:
        flags = with_states(flags)
    around = tuple(tuple(_word(text, ran.origin) for text in outer) for outer in ran.around)
    return Command(
        script=words[start - 1].text if scripts else "",
        origin=ran.origin,
        condition=ran.condition,
        flags=flags,
        uncertain=uncertain,
        stray=() if not scripts else stray,
        launcher=(*around, tuple(words[:start] if scripts else words)),
    )


def _name(word: CommandWord) -> str:
    return word.text.partition("=")[0]


def _word(text: Text, fallback: Origin) -> CommandWord:
    first = next((piece for piece in text if piece.text), text[0] if text else None)
    origin = fallback if first is None else first.origin
    maybe = "".join(piece.maybe for piece in text)
    if is_known(text):
        return CommandWord(plain(text), origin)
    unset = unset_in(text)
    problem = doubt_of(text)
    if not problem and unset:
        name = unset[0]
        what = f"argument {name} of the script" if name.isdigit() else f"${name}"
        problem = f"{what} is not set in this file"
    return CommandWord(plain(text), origin, problem, maybe)


def with_states(flags: Sequence[Flag]) -> tuple[Flag, ...]:
    """Flags of programs that write `true` or `false` after a switch: those that are on."""
    on: list[Flag] = []
    for flag in flags:
        state = flag.values[0].text.lower() if len(flag.values) == 1 else ""
        if flag.name not in SWITCHES or state not in ("true", "false"):
            on.append(flag)
            continue
        on = [one for one in on if one.name != flag.name]
        if state == "true":
            on.append(replace(flag, values=()))
    return tuple(on)


def _flags(
    words: list[CommandWord], *, underscored: bool
) -> tuple[tuple[Flag, ...], tuple[CommandWord, ...], tuple[CommandWord, ...]]:
    """Flags with their values, words that may be present, and words that belong to no flag."""
    flags: list[Flag] = []
    uncertain: list[CommandWord] = []
    stray: list[CommandWord] = []
    name, origin, values = "", None, list[CommandWord]()

    def close() -> None:
        if origin is None:
            return
        flags.append(Flag(canonical(name, underscored=underscored), tuple(values), origin))

    for word in words:
        if word.text.startswith("--") and len(word.text) > 2:
            close()
            name, equals, value = word.text.partition("=")
            origin, values = word.origin, []
            if equals:
                place = word.origin.after(len(name) + 1)
                values = [CommandWord(value, place, word.problem, word.maybe)]
        elif word.problem and not word.text and not _awaits(name, values):
            uncertain.append(word)
        elif origin is None:
            stray.append(word)
        else:
            values.append(word)
    close()
    return tuple(flags), tuple(uncertain), tuple(stray)


def _awaits(name: str, values: list[CommandWord]) -> bool:
    """Whether a flag still lacks a value."""
    flag = canonical(name)
    return not values and bool(flag) and flag not in SWITCHES


def unread_flags(command: Command) -> tuple[Flag, ...]:
    """Flags that the importer does not read."""
    return tuple(flag for flag in command.flags if flag.name not in KNOWN)


def is_launcher_flag(name: str) -> bool:
    return name.replace("_", "-") in LAUNCHER_FLAGS


class NothingTrainsError(InputError):
    """No command of a script takes flags of Megatron-LM."""


def choose(commands: list[Command], path: str, number: int | None) -> Command:
    """The command meant: the only one, or the `number`-th (from 1).

    Raises: InputError, listing them, when there are several and none is chosen.
    """
    if not commands:
        raise NothingTrainsError(
            "no Megatron-LM command found",
            path=path,
            hint=f"looked for flags such as {TELLING[0]} and {TELLING[3]}",
        )
    if number is not None:
        if not 1 <= number <= len(commands):
            raise InputError(f"no command {number}; {_list(commands)}", path=path)
        return commands[number - 1]
    if len({_content(command) for command in commands}) > 1:
        raise InputError(
            f"{len(commands)} different Megatron-LM commands: {_list(commands)}",
            path=path,
            hint="choose one with --command N",
        )
    return commands[0]


def join_parts(commands: Sequence[Command]) -> Command | None:
    """One command with the flags of all, or None where there is none or a flag that counts has
    different values in two."""
    if not commands:
        return None
    values: dict[str, set[tuple[str, ...]]] = {}
    for command in commands:
        for name, given in _content(command):
            values.setdefault(name, set()).add(given)
    if any(len(different) > 1 for different in values.values()):
        return None
    return replace(
        commands[0],
        flags=tuple(flag for command in commands for flag in command.flags),
        uncertain=tuple(word for command in commands for word in command.uncertain),
    )


def with_tokenizer(command: Command, tokenizer: Text) -> Command:
    """The command with --tokenizer-model where it has none."""
    if any(flag.name == TOKENIZER for flag in command.flags):
        return command
    word = _word(tokenizer, command.origin)
    return replace(command, flags=(*command.flags, Flag(TOKENIZER, (word,), word.origin)))


def _content(command: Command) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The content that two equivalent commands have in common."""
    flags = {flag.name: tuple(value.text for value in flag.values) for flag in command.flags}
    return tuple(sorted((name, values) for name, values in flags.items() if name in KNOWN))


def _list(commands: list[Command]) -> str:
    shown = [
        f"{number} on line {command.origin.line}" for number, command in enumerate(commands, 1)
    ]
    return ", ".join(shown[:20])
