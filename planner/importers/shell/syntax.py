"""The parts of a parsed script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from planner.importers.shell.text import Origin, Piece


@dataclass(frozen=True, slots=True)
class Literal:
    """Characters as written."""

    text: str
    origin: Origin
    quoted: bool


@dataclass(frozen=True, slots=True)
class Given:
    """A part of a value whose text is unknown, in source code made from that value."""

    piece: Piece
    quoted: bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """$NAME, ${NAME}, ${NAME[index]}, ${NAME:-word}, ${#NAME} and the like. `operator` is empty
    for the plain value; `argument` is what follows it."""

    name: str
    index: str
    operator: str
    argument: Word
    origin: Origin
    quoted: bool


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """$((expression))."""

    expression: Word
    origin: Origin
    quoted: bool


@dataclass(frozen=True, slots=True)
class Substitution:
    """$(command) or `command`: what it prints is unknown."""

    command: str
    origin: Origin
    quoted: bool


Part: TypeAlias = Literal | Given | Parameter | Arithmetic | Substitution


@dataclass(frozen=True, slots=True)
class Word:
    parts: tuple[Part, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Assignment:
    """NAME=word, NAME+=word, NAME=(words); `index` for NAME[index]=word."""

    name: str
    index: str | None
    append: bool
    value: Word | tuple[Word, ...]
    origin: Origin


@dataclass(slots=True)
class Heredoc:
    """Text given to a command: <<END … END or <<< word. The body comes after the line that names
    it, so it is filled in later."""

    body: Word
    origin: Origin


@dataclass(frozen=True, slots=True)
class Simple:
    """A command with its words; `[[ … ]]` and `(( … ))` have their opening as first word."""

    assignments: tuple[Assignment, ...]
    words: tuple[Word, ...]
    heredocs: tuple[Heredoc, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Pipeline:
    commands: tuple[Command, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class AndOr:
    """Pipelines joined by && and ||; `operators[i]` stands before `pipelines[i + 1]`."""

    pipelines: tuple[Pipeline, ...]
    operators: tuple[str, ...]


Block: TypeAlias = tuple[AndOr, ...]


@dataclass(frozen=True, slots=True)
class If:
    """`branches`: conditions and bodies in order; `otherwise` when none holds."""

    branches: tuple[tuple[Block, Block], ...]
    otherwise: Block
    origin: Origin


@dataclass(frozen=True, slots=True)
class For:
    """`words` is None for the script's own arguments."""

    name: str
    words: tuple[Word, ...] | None
    body: Block
    origin: Origin


@dataclass(frozen=True, slots=True)
class While:
    """while and until with their condition, and the arithmetic for with its three expressions
    `counts`: before the loop, its condition, after each turn."""

    body: Block
    origin: Origin
    condition: Block = ()
    until: bool = False
    counts: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseBranch:
    """`goes_on`: after the body the patterns that follow are tried too (;;&)."""

    patterns: tuple[Word, ...]
    body: Block
    goes_on: bool


@dataclass(frozen=True, slots=True)
class Case:
    subject: Word
    branches: tuple[CaseBranch, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """{ … } or, with a state of its own, ( … )."""

    body: Block
    subshell: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    body: Command
    origin: Origin


Command: TypeAlias = Simple | If | For | While | Case | CommandGroup | Function
