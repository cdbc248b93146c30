"""Follows a script and gives the commands it would run, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from planner.importers.shell.assign import assign, declare
from planner.importers.shell.conditions import (
    arithmetic_test,
    double_bracket,
    test_command,
    test_words,
)
from planner.importers.shell.control import Status
from planner.importers.shell.expansion import expand
from planner.importers.shell.nested import DEEPEST_CALL, ScriptRunner
from planner.importers.shell.parser import parse_script
from planner.importers.shell.ran import (
    SPEAKING,
    Followed,
    Ran,
    called_script,
    hands_over_script,
    runs_input,
    too_much,
)
from planner.importers.shell.simple import DECLARING
from planner.importers.shell.splitting import fields
from planner.importers.shell.spoken import printed
from planner.importers.shell.state import ShellState
from planner.importers.shell.syntax import Function, Simple
from planner.importers.shell.text import NOWHERE, Origin, Piece, Script, Text, is_known, plain


def follow(
    script: Script,
    *,
    given: Mapping[str, str],
    is_nested_script: Callable[[str], bool],
    read_file: Callable[[str], Script | None],
) -> Followed:
    """What a script runs. `given` has variables of its environment, and its arguments by number.
    `is_nested_script` says whether to follow a text that is handed to a program. `read_file` finds
    files that the script sources and runs.

    Raises: InputError for text that is not shell, and beyond limits that no launch script reaches.
    """
    nowhere = replace(script.origin(0), line=NOWHERE)
    named = {name: value for name, value in given.items() if not name.isdigit()}
    files: dict[str, None] = {}

    def read(name: str) -> Script | None:
        found = read_file(name)
        if found is not None:
            files[found.origin(0).path] = None
        return found

    state = ShellState(
        variables={name: (Piece(value, nowhere),) for name, value in named.items()},
        arguments=_arguments(given, nowhere),
        exported=frozenset(named),
        read_file=read,
    )
    runner = _Runner(is_nested_script, read)
    runner.opened(nowhere.path)
    runner.block(parse_script(script), state)
    return Followed(
        commands=tuple(runner.ran),
        environment=tuple(state.looked_up),
        unread=tuple(runner.unread),
        variables=state.variables,
        exit_origin=state.exit_origin if state.exited else None,
        files=tuple(path for path in files if path != nowhere.path),
    )


def _arguments(given: Mapping[str, str], nowhere: Origin) -> tuple[Text, ...]:
    """The arguments given by number; missing ones between them are not set."""
    numbers = [int(name) for name in given if name.isdigit() and len(name) < 4]
    return tuple(
        (Piece(given[str(number)], nowhere),)
        if str(number) in given
        else (Piece("", nowhere, unset=str(number)),)
        for number in range(1, max(numbers, default=0) + 1)
    )


def _before(command: Simple, environment: ShellState) -> tuple[tuple[Text, ...], ...]:
    """The assignments in front of a command, `NAME=VALUE program`, as words around it."""
    values = [(one.name, environment.value(one.name)) for one in command.assignments]
    words = tuple(
        (Piece(f"{name}=", command.origin), *value)
        for name, value in values
        if isinstance(value, tuple)
    )
    return (words,) if words else ()


class _Runner(ScriptRunner):
    """Follows commands of words: tests, builtins, functions and programs."""

    def _simple(self, command: Simple, state: ShellState) -> Status:
        if not command.words:
            for assignment in command.assignments:
                assign(assignment, state)
            return True
        first = plain(expand(command.words[0], state))
        if first == "[[":
            return double_bracket(command.words[1:-1], state)
        if first == "((":
            return arithmetic_test(command.words[1], state)
        if first in ("[", "test"):
            words = test_words(command.words[1:], state)
            return test_command(words[:-1] if first == "[" else words, state)
        words = [text for word in command.words for text in fields(word, state)]
        if first in DECLARING:
            for assignment in command.assignments:
                assign(assignment, state)
            declare(words[1:], state)
            if first == "export":
                named = {plain(word).partition("=")[0] for word in words[1:]}
                state.exported |= named | {one.name for one in command.assignments}
            return True
        environment = state.inherited()
        for assignment in command.assignments:
            assign(assignment, environment)
        around = self._around
        self._around = (*around, *_before(command, environment))
        status = self._call(words, command.origin, state)
        self._around = around
        for heredoc in command.heredocs:
            body = expand(heredoc.body, state)
            if self._is_nested_script(plain(body)) or runs_input(first):
                self._nested(body, words, heredoc.origin, environment)
        return status

    def _call(self, words: list[Text], origin: Origin, state: ShellState) -> Status:
        """A command by its expanded words. Unknown words before it (`$PROFILER python …`) are
        assumed to be empty."""
        while words and not plain(words[0]) and not is_known(words[0]):
            words = words[1:]
        names = [plain(word) for word in words]
        match names[0] if names else "":
            case "":
                return None
            case "true" | ":":
                return True
            case "false":
                return False
            case "set":
                if any(name.startswith("-") and "a" in name for name in names[1:]):
                    state.exported |= frozenset(state.variables)
                if "--" in names:
                    state.arguments = tuple(words[names.index("--") + 1 :])
            case "exit":
                state.ended = state.exited = True
                state.exit_origin = origin
            case "return":
                state.ended = True
            case "unset":
                for name in names[1:]:
                    state.variables.pop(name, None)
            case "shift":
                count = names[1] if len(names) > 1 else "1"
                state.arguments = state.arguments[int(count) if count.isdecimal() else 1 :]
            case "break" | "continue" if self._loops:
                state.ended, state.leaving = True, names[0]
            case "printf" if names[1:2] == ["-v"] and len(names) > 3:
                state.variables[names[2]] = printed(words[3], words[4:])
            case "read" | "mapfile" | "readarray":
                for name in names[1:]:
                    if name.isidentifier():
                        doubt = "is read when the script runs"
                        state.variables[name] = (Piece("", origin, doubt=doubt),)
            case "source" | ".":
                outer = state.arguments
                state.arguments = tuple(words[2:]) or outer
                self._source(words[1] if len(words) > 1 else (), origin, state)
                state.arguments = outer
            case "eval":
                joined = [piece for word in words[1:] for piece in (*word, Piece(" ", origin))]
                return self._tried(tuple(joined), origin, state)
            case name if name in state.functions:
                return self._function(state.functions[name], words[1:], state)
            case _:
                self._program(words, names, origin, state)
        return True

    def _function(self, function: Function, words: list[Text], state: ShellState) -> Status:
        outer = state.arguments
        self._calls += 1
        if self._calls > DEEPEST_CALL:
            raise too_much(f"calls functions more than {DEEPEST_CALL} deep", function.origin)
        state.arguments = tuple(words)
        status = self._command(function.body, state)
        state.arguments, state.ended = outer, state.exited
        self._calls -= 1
        return status

    def _program(
        self, words: list[Text], names: list[str], origin: Origin, state: ShellState
    ) -> None:
        self.ran.append(Ran(tuple(words), origin, self._around, self._condition))
        if names[0].rpartition("/")[2] in SPEAKING:
            return
        called = called_script(names)
        if called is not None and self._called(words, called, origin, state):
            return
        for place, name in enumerate(names):
            runs = hands_over_script(names, place)
            if runs or ((" " in name or "\n" in name) and self._is_nested_script(name)):
                self._nested(words[place], words[:place], origin, state.inherited())
