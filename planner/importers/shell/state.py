"""What the variables of a script hold at one point of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from planner.importers.shell.syntax import Function
from planner.importers.shell.text import Origin, Piece, Script, Text, merged

Array = dict[str, Text]
"""Elements by index or key, in order."""
Value = Text | Array


def _no_file(name: str) -> Script | None:
    return None


@dataclass(slots=True)
class ShellState:
    """`given` are the variables the environment is said to hold. `looked_up` collects the names
    that the file leaves to the environment and that decided something. `read_file` finds files by
    their names. `ended`: a return or an exit was reached, or, for a turn of a loop, what `leaving`
    names; `exited`: an exit, at `exit_origin`."""

    variables: dict[str, Value] = field(default_factory=dict)
    arguments: tuple[Text, ...] = ()
    functions: dict[str, Function] = field(default_factory=dict)
    exported: frozenset[str] = frozenset()
    looked_up: dict[str, None] = field(default_factory=dict)
    read_file: Callable[[str], Script | None] = field(default=_no_file)
    ended: bool = False
    leaving: str = ""
    exited: bool = False
    exit_origin: Origin | None = None

    def copy(self) -> ShellState:
        """A copy with the same variables, to continue separately."""
        return ShellState(
            variables=dict(self.variables),
            arguments=self.arguments,
            functions=dict(self.functions),
            exported=self.exported,
            looked_up=self.looked_up,
            read_file=self.read_file,
        )

    def inherited(self) -> ShellState:
        """What a program that this script runs finds in its environment."""
        texts = {name: self.variables.get(name) for name in self.exported}
        return ShellState(
            variables={name: text for name, text in texts.items() if isinstance(text, tuple)},
            exported=self.exported,
            looked_up=self.looked_up,
            read_file=self.read_file,
        )

    def value(self, name: str) -> Value | None:
        """The value of a variable or of an argument ($1 …); None where it is not set."""
        if name.isdigit():
            place = int(name) - 1 if len(name) < 4 else -1
            return self.arguments[place] if 0 <= place < len(self.arguments) else None
        return self.variables.get(name)

    def take(self, outcomes: list[ShellState], why: str, origin: Origin) -> None:
        """Continues as any of several states may have left it; states that ended the script do not
        count. A turn that only some of them end goes on."""
        going_on = [state for state in outcomes if not state.ended or state.leaving]
        if not going_on:
            self.ended = True
            self.exited = all(state.exited for state in outcomes)
            self.exit_origin = next((state.exit_origin for state in outcomes), None)
            return
        first, *others = going_on
        if all(state.leaving for state in going_on):
            self.ended, self.leaving = True, first.leaving
        self.variables = first.variables
        self.exported = frozenset().union(*(state.exported for state in going_on))
        for state in others:
            self.functions |= state.functions
            for name in {**self.variables, **state.variables}:
                mine, theirs = self.variables.get(name), state.variables.get(name)
                if mine != theirs:
                    self.variables[name] = _either(mine, theirs, why, origin)


def _either(one: Value | None, other: Value | None, why: str, origin: Origin) -> Value:
    if isinstance(one, dict) or isinstance(other, dict):
        return _either_array(_as_array(one), _as_array(other), why, origin)
    return merged(one or (), other or (), why, origin)


def _as_array(value: Value | None) -> Array:
    if isinstance(value, dict):
        return value
    return {"0": value} if value else {}


def _either_array(one: Array, other: Array, why: str, origin: Origin) -> Array:
    """Elements that both arrays have in the same places; the rest is in doubt."""
    common: Array = {}
    for (key, mine), (their_key, theirs) in zip(one.items(), other.items(), strict=False):
        if key != their_key or [p.text for p in mine] != [p.text for p in theirs]:
            break
        common[key] = mine
    rest = [text for array in (one, other) for key, text in array.items() if key not in common]
    maybe = " ".join("".join(piece.text for piece in text) for text in rest)
    if rest:
        common[f"?{len(common)}"] = (Piece("", origin, doubt=why, maybe=maybe),)
    return common
