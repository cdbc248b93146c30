"""Follows the compound commands of a script: lists, conditions, loops and cases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

from planner.importers.shell.conditions import arithmetic_test, case_matches, decider_in
from planner.importers.shell.counting import carry_out
from planner.importers.shell.expansion import expand
from planner.importers.shell.ran import Ran, too_much
from planner.importers.shell.splitting import fields
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
    Literal,
    Pipeline,
    Simple,
    While,
    Word,
)
from planner.importers.shell.text import Origin, Piece, Text, doubt_of, is_known, plain

MOST_STEPS = 20_000
MOST_COMMANDS = 2_000
MOST_TURNS = 256
"""Most turns of a for loop that are followed."""

Status = bool | None
"""Undecided (None). Programs are assumed to succeed."""


class ControlFlow(ABC):
    """Follows commands that hold other commands. Where a condition is undecided, every branch is
    followed, and what the branches leave differently is in doubt."""

    def __init__(self) -> None:
        self.ran: list[Ran] = []
        self._condition = ""
        self._steps = 0
        self._loops = 0

    @abstractmethod
    def _simple(self, command: Simple, state: ShellState) -> Status:
        """Follows a command of words."""

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
                why = _why(_origin_of(pipeline), decider_in(_words(and_or.pipelines[:1]), state))
                self._maybe([partial(self._pipeline, pipeline), _nothing], state, why)
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
                return self._while(command, state)
            case Case():
                return self._case(command, state)
            case CommandGroup():
                return self.block(command.body, state.copy() if command.subshell else state)
            case Function():
                state.functions[command.name] = command
        return True

    def _maybe(
        self,
        bodies: Sequence[Callable[[ShellState], Status]],
        state: ShellState,
        why: tuple[str, Origin],
    ) -> None:
        """One of several things happens; whatever differs afterwards is in doubt, and `why` says
        what decides it."""
        doubt, origin = why
        outer, self._condition = self._condition, self._condition or doubt
        outcomes = []
        for body in bodies:
            outcome = state.copy()
            body(outcome)
            outcomes.append(outcome)
        self._condition = outer
        state.take(outcomes, doubt, origin)

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
            words = [word for and_or in condition for word in _words(and_or.pipelines)]
            why = _why(whole.origin, decider_in(words, state))
            self._maybe([partial(self.block, body), otherwise], state, why)
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
            self._maybe([partial(self._turn, loop.body), _nothing], state, _why(loop.origin))
            return True
        for text in turns:
            if not plain(text) and not is_known(text):
                continue
            state.variables[loop.name] = text
            if not self._turn(loop.body, state):
                break
        return True

    def _while(self, loop: While, state: ShellState) -> Status:
        """Turns are followed as long as the condition is decided; one that always holds counts for
        one turn."""
        if loop.counts:
            carry_out(loop.counts[0], state)
        for _ in range(MOST_TURNS):
            self._step(loop.origin)
            goes_on = self._goes_on(loop, state)
            if goes_on is None:
                break
            before = dict(state.variables), state.arguments
            if not goes_on or not self._turn(loop.body, state) or _endless(loop):
                return True
            if loop.counts:
                carry_out(loop.counts[2], state)
            if before == (state.variables, state.arguments):
                return True
        words = [word for and_or in loop.condition for word in _words(and_or.pipelines)]
        why = _why(loop.origin, decider_in(words, state))
        self._maybe([partial(self._turn, loop.body), _nothing], state, why)
        return True

    def _goes_on(self, loop: While, state: ShellState) -> Status:
        if loop.counts:
            return arithmetic_test(loop.counts[1], state) if loop.counts[1].parts else True
        status = self._decided(loop.condition, state) if loop.condition else None
        return not status if loop.until and status is not None else status

    def _turn(self, body: Block, state: ShellState) -> bool:
        """One turn of a loop. Returns whether another may follow."""
        self._loops += 1
        self.block(body, state)
        self._loops -= 1
        leaving, state.leaving = state.leaving, ""
        state.ended = state.ended and not leaving
        return leaving != "break" and not state.ended

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
        why = _why(case.origin, decider_in([case.subject], state))
        self._maybe([partial(self.block, body) for body in undecided], state, why)
        return True


def _nothing(state: ShellState) -> Status:
    return True


def _endless(loop: While) -> bool:
    """Whether the condition always holds: a loop that ends from within, if ever."""
    if loop.counts:
        return not loop.counts[1].parts
    return [_literal(word) for word in _words(loop.condition[-1].pipelines)] in ([":"], ["true"])


def _literal(word: Word) -> str:
    return "".join(part.text for part in word.parts if isinstance(part, Literal))


def _why(origin: Origin, decider: str = "only the run") -> tuple[str, Origin]:
    """What decides a condition, and where it stands."""
    return f"depends on the condition on line {origin.line}, which {decider} decides", origin


def _words(pipelines: Sequence[Pipeline]) -> list[Word]:
    """The words of the simple commands of a condition."""
    commands = [command for pipeline in pipelines for command in pipeline.commands]
    return [word for one in commands if isinstance(one, Simple) for word in one.words]


def _origin_of(pipeline: Pipeline) -> Origin:
    return pipeline.commands[0].origin
