"""Follows a script and gives the commands it would run, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from planner.errors import InputError
from planner.importers.shell.assign import assign, declare
from planner.importers.shell.conditions import (
    arithmetic_test,
    case_matches,
    double_bracket,
    test_command,
    test_words,
)
from planner.importers.shell.expansion import expand, fields
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
from planner.importers.shell.state import ShellState
from planner.importers.shell.syntax import (
    AndOr,
    Block,
    Case,
    Command,
    CommandGroup,
    For,
    Function,
    If,
    Pipeline,
    Simple,
    While,
)
from planner.importers.shell.text import (
    NOWHERE,
    Origin,
    Piece,
    Script,
    Text,
    doubt_of,
    is_known,
    plain,
    script_of_text,
)

MOST_STEPS = 20_000
MOST_COMMANDS = 2_000
MOST_TURNS = 256
"""Most turns of a for loop that are followed."""
_DEEPEST_CALL = 30

Status = bool | None
"""Undecided (None). Programs are assumed to succeed."""


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
    state = ShellState(
        variables={name: (Piece(value, nowhere),) for name, value in named.items()},
        arguments=_arguments(given, nowhere),
        exported=frozenset(named),
    )
    runner = _Runner(is_nested_script, read_file)
    runner.opened(nowhere.path)
    runner.block(parse_script(script), state)
    return Followed(
        commands=tuple(runner.ran),
        environment=tuple(state.looked_up),
        unread=tuple(runner.unread),
        variables=state.variables,
        exit_origin=state.exit_origin if state.exited else None,
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


class _Runner:
    def __init__(
        self,
        is_nested_script: Callable[[str], bool],
        read_file: Callable[[str], Script | None],
    ) -> None:
        self.ran: list[Ran] = []
        self.unread: list[str] = []
        self._is_nested_script = is_nested_script
        self._read_file = read_file
        self._around: tuple[tuple[Text, ...], ...] = ()
        self._condition = ""
        self._open: list[str] = []
        self._steps = 0
        self._calls = 0

    def opened(self, path: str) -> None:
        """Keeps a script that runs itself from being followed again."""
        self._open.append(path)

    def block(self, block: Block, state: ShellState) -> Status:
        status: Status = True
        for and_or in block:
            if state.ended:
                break
            status = self._and_or(and_or, state)
        return status

    def _step(self, origin: Origin) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS or len(self.ran) > MOST_COMMANDS:
            raise too_much("runs more commands than any launch script", origin)

    def _and_or(self, and_or: AndOr, state: ShellState) -> Status:
        status = self._pipeline(and_or.pipelines[0], state)
        for operator, pipeline in zip(and_or.operators, and_or.pipelines[1:], strict=True):
            if state.ended:
                return status
            wanted = operator == "&&"
            if status is None:
                origin = _origin_of(pipeline)
                self._maybe([partial(self._pipeline, pipeline), _nothing], state, origin)
            elif status == wanted:
                status = self._pipeline(pipeline, state)
        return status

    def _pipeline(self, pipeline: Pipeline, state: ShellState) -> Status:
        if len(pipeline.commands) == 1:
            status = self._command(pipeline.commands[0], state)
        else:
            for command in pipeline.commands:
                status = self._command(command, state.copy())
        if pipeline.negated:
            return None if status is None else not status
        return status

    def _command(self, command: Command, state: ShellState) -> Status:
        match command:
            case Simple():
                self._step(command.origin)
                return self._simple(command, state)
            case If():
                return self._if(command.branches, command, state)
            case For():
                return self._for(command, state)
            case While():
                self._maybe([partial(self.block, command.body), _nothing], state, command.origin)
            case Case():
                return self._case(command, state)
            case CommandGroup():
                return self.block(command.body, state.copy() if command.subshell else state)
            case Function():
                state.functions[command.name] = command
        return True

    def _maybe(
        self, bodies: Sequence[Callable[[ShellState], Status]], state: ShellState, origin: Origin
    ) -> None:
        """One of several things happens; whatever differs afterwards is in doubt."""
        why = f"depends on the condition on line {origin.line}, which only the run decides"
        outer, self._condition = self._condition, self._condition or why
        outcomes = []
        for body in bodies:
            outcome = state.copy()
            body(outcome)
            outcomes.append(outcome)
        self._condition = outer
        state.take(outcomes, why, origin)

    def _if(
        self, branches: tuple[tuple[Block, Block], ...], whole: If, state: ShellState
    ) -> Status:
        if not branches:
            return self.block(whole.otherwise, state)
        (condition, body), rest = branches[0], branches[1:]
        self._step(whole.origin)
        status = self._decided(condition, state)
        if status is None:
            otherwise = partial(self._if, rest, whole)
            self._maybe([partial(self.block, body), otherwise], state, whole.origin)
            return True
        return self.block(body, state) if status else self._if(rest, whole, state)

    def _decided(self, condition: Block, state: ShellState) -> Status:
        """Whether a condition holds; None where a program or an unknown value decides."""
        status = self.block(condition, state)
        last = condition[-1].pipelines[-1].commands[-1] if condition else None
        if isinstance(last, Simple) and last.words:
            name = plain(expand(last.words[0], state))
            if name not in ("[", "[[", "((", "test", "true", "false", ":"):
                return None
        return status

    def _for(self, loop: For, state: ShellState) -> Status:
        turns: list[Text] = list(state.arguments)
        if loop.words is not None:
            turns = [text for word in loop.words for text in fields(word, state)]
        if any(doubt_of(text) for text in turns) or len(turns) > MOST_TURNS:
            why = "takes values that only the run knows"
            state.variables[loop.name] = (Piece("", loop.origin, doubt=why),)
            self._maybe([partial(self.block, loop.body), _nothing], state, loop.origin)
            return True
        for text in turns:
            if not plain(text) and not is_known(text):
                continue
            if state.ended:
                break
            state.variables[loop.name] = text
            self.block(loop.body, state)
        return True

    def _case(self, case: Case, state: ShellState) -> Status:
        subject = expand(case.subject, state)
        undecided: list[Block] = []
        for branch in case.branches:
            answers = [case_matches(subject, pattern, state) for pattern in branch.patterns]
            if True in answers and branch.goes_on and not undecided:
                self.block(branch.body, state)
            elif True in answers:
                undecided.append(branch.body)
                break
            elif None in answers:
                undecided.append(branch.body)
        else:
            if not undecided:
                return True
            undecided.append(())
        if len(undecided) == 1:
            return self.block(undecided[0], state)
        self._maybe([partial(self.block, body) for body in undecided], state, case.origin)
        return True

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
        status = self._call(words, command.origin, state)
        environment = state.inherited()
        for assignment in command.assignments:
            assign(assignment, environment)
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
                state.arguments = state.arguments[1:]
            case "read" | "mapfile" | "readarray":
                for name in names[1:]:
                    if name.isidentifier():
                        doubt = "is read when the script runs"
                        state.variables[name] = (Piece("", origin, doubt=doubt),)
            case "source" | ".":
                outer = state.arguments
                state.arguments = tuple(words[2:]) or outer
                self._source(names[1] if len(names) > 1 else "", origin, state)
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
        if self._calls > _DEEPEST_CALL:
            raise too_much(f"calls functions more than {_DEEPEST_CALL} deep", function.origin)
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

    def _called(self, words: list[Text], place: int, origin: Origin, state: ShellState) -> bool:
        """Follows the script that a command runs, where it can be read."""
        script = self._read_file(plain(words[place]))
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
        if self._calls > _DEEPEST_CALL:
            raise too_much(f"runs files more than {_DEEPEST_CALL} deep", origin)
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
        if self._calls >= _DEEPEST_CALL:
            raise too_much(f"runs scripts in scripts more than {_DEEPEST_CALL} deep", origin)
        self._calls += 1
        try:
            return self.block(parse_script(script_of_text(text, origin)), state)
        finally:
            self._calls -= 1

    def _source(self, name: str, origin: Origin, state: ShellState) -> None:
        script = self._read_file(name) if name else None
        if script is None:
            self.unread.append(f"{name or 'a file'} (sourced on line {origin.line})")
            return
        self._follow(script, origin, state)
        state.ended = state.exited


def _nothing(state: ShellState) -> Status:
    return True


def _origin_of(pipeline: Pipeline) -> Origin:
    return pipeline.commands[0].origin
