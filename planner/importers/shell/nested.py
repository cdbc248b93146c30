"""Follows scripts that a script runs: files, text handed to a shell, and sourced files."""

from __future__ import annotations

from collections.abc import Callable

from planner.errors import InputError
from planner.importers.shell.control import ControlFlow, Status
from planner.importers.shell.files import file_name
from planner.importers.shell.parser import parse_script
from planner.importers.shell.ran import too_much
from planner.importers.shell.state import ShellState
from planner.importers.shell.text import Origin, Script, Text, plain, script_of_text

DEEPEST_CALL = 30


class ScriptRunner(ControlFlow):
    """Follows scripts inside scripts. `is_nested_script` says whether an error in a text matters;
    `read_file` finds files."""

    def __init__(
        self,
        is_nested_script: Callable[[str], bool],
        read_file: Callable[[str], Script | None],
    ) -> None:
        super().__init__()
        self.unread: list[str] = []
        self._is_nested_script = is_nested_script
        self._read_file = read_file
        self._around: tuple[tuple[Text, ...], ...] = ()
        self._open: list[str] = []
        self._calls = 0

    def opened(self, path: str) -> None:
        """Keeps a script that runs itself from being followed again."""
        self._open.append(path)

    def _called(self, words: list[Text], place: int, origin: Origin, state: ShellState) -> bool:
        """Follows the script that a command runs, where it can be read."""
        script = self._read_file(file_name(words[place]))
        path = script.origin(0).path if script is not None else ""
        if script is None or path in self._open:
            return False
        environment = state.inherited()
        environment.arguments = tuple(words[place + 1 :])
        outer, self._around = self._around, (*self._around, tuple(words[:place]))
        self._open.append(path)
        try:
            self._follow(script, origin, environment)
        except InputError:
            if self._is_nested_script(script.text):
                raise
            self.unread.append(f"{plain(words[place])} (run on line {origin.line})")
        self._open.pop()
        self._around = outer
        if environment.exited:
            state.exit_origin = state.exit_origin or environment.exit_origin
        return True

    def _follow(self, script: Script, origin: Origin, state: ShellState) -> None:
        self._calls += 1
        if self._calls > DEEPEST_CALL:
            raise too_much(f"runs files more than {DEEPEST_CALL} deep", origin)
        self.block(parse_script(script), state)
        self._calls -= 1

    def _nested(self, text: Text, around: list[Text], origin: Origin, state: ShellState) -> None:
        """Text handed to a program that runs it."""
        outer, self._around = self._around, (*self._around, tuple(around))
        self._tried(text, origin, state)
        self._around = outer

    def _tried(self, text: Text, origin: Origin, state: ShellState) -> Status:
        """Text that is run as a script. An error in it would stop the run; here it matters only
        where the text looks like a training command."""
        try:
            return self._script(text, origin, state)
        except InputError:
            if self._is_nested_script(plain(text)):
                raise
            return None

    def _script(self, text: Text, origin: Origin, state: ShellState) -> Status:
        if self._calls >= DEEPEST_CALL:
            raise too_much(f"runs scripts in scripts more than {DEEPEST_CALL} deep", origin)
        self._calls += 1
        try:
            return self.block(parse_script(script_of_text(text, origin)), state)
        finally:
            self._calls -= 1

    def _source(self, named: Text, origin: Origin, state: ShellState) -> None:
        name = file_name(named)
        script = self._read_file(name) if name else None
        if script is None:
            shown = name or plain(named) or "a file"
            self.unread.append(f"{shown} (sourced on line {origin.line})")
            return
        self._follow(script, origin, state)
        state.ended = state.exited
