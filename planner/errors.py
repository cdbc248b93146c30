"""Errors the user sees. `str(error)` is the complete message; nothing needs to be added to it.

PlannerError
├─ InputError     a file, an option or a value in it is wrong                 exit code 2
├─ RuleError      a combination breaks a named rule of the framework          exit code 2
├─ NothingFits    the input is fine, the answer is no                         exit code 1
└─ TimeRanOut     the input is fine, there was no time for an answer          exit code 1
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

LONGEST_LINE = 2_000
"""Characters of a message that are shown. One that names what a file says may be as long as the
file."""
LONGEST_WORD = 300
"""Characters of one word in it: a host name has 253 at most."""

_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def shortened(text: str) -> str:
    """The text with the middle left out of what is too long: first of its words, then of all."""
    return _without_middle(
        _LONG_WORD.sub(lambda found: _without_middle(found[0], LONGEST_WORD), text), LONGEST_LINE
    )


def _without_middle(text: str, longest: int) -> str:
    """Three quarters of what is shown are from the beginning; a hint stands at the end."""
    if len(text) <= longest:
        return text
    last = longest // 4
    return f"{text[: longest - last - 1]}…{text[-last:]}"


class PlannerError(Exception):
    """Base of every error raised on purpose. `exit_code` is what the command ends with."""

    exit_code = 2

    def __init__(self, text: str = "") -> None:
        super().__init__(_without_middle(text, LONGEST_LINE))

    @property
    def lines(self) -> tuple[str, ...]:
        """The complete message, a line for each problem. A line may hold what a file or a user
        wrote, line feeds too: `planner.wording.printable` is for showing it."""
        return (str(self),)


class InputError(PlannerError):
    """Something the user wrote is wrong: `file:line:column: message; hint`.

    `line` and `column` count from 1. An error made by `InputError.of` holds several in
    `problems`, one line each; a single error holds itself there.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = shortened(message)
        self.path = None if path is None else str(path)
        self.line = line
        self.column = column
        self.hint = None if hint is None else shortened(hint)
        self.problems: tuple[InputError, ...] = (self,)
        super().__init__(self._text())
        self._lines: tuple[str, ...] = (str(self),)

    @property
    def lines(self) -> tuple[str, ...]:
        return self._lines

    def _text(self) -> str:
        place = [str(part) for part in (self.path, self.line, self.column) if part is not None]
        text = f"{':'.join(place)}: {self.message}" if place else self.message
        return f"{text}; {self.hint}" if self.hint else text

    @classmethod
    def of(cls, problems: Iterable[InputError], *, limit: int = 5) -> InputError:
        """One error for several problems: the first `limit`, each on its own line, in the order
        given. The place is that of the first."""
        found = tuple(problems)
        if len(found) == 1:
            return found[0]
        first = found[0]
        error = cls(
            first.message, path=first.path, line=first.line, column=first.column, hint=first.hint
        )
        lines = [str(problem) for problem in found[:limit]]
        if len(found) > limit:
            where = f"{first.path}: " if first.path else ""
            more = len(found) - limit
            lines.append(f"{where}and {more} more {'problem' if more == 1 else 'problems'}")
        error.args = ("\n".join(lines),)
        error._lines = tuple(lines)
        error.problems = found
        return error


class RuleError(PlannerError):
    """A combination breaks a rule the framework enforces; `rule` is its id, such as "heads", and
    `axes` name what it is about. Where a file states the combination, `placed` says where."""

    def __init__(
        self,
        rule: str,
        message: str,
        *,
        hint: str | None = None,
        axes: tuple[str, ...] = (),
        path: str | Path | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        self.rule = rule
        self.message = message = shortened(message)
        self.hint = hint = None if hint is None else shortened(hint)
        self.axes = axes
        self.path = None if path is None else str(path)
        self.line = line
        self.column = column
        place = [str(part) for part in (self.path, line, column) if part is not None]
        text = f"{':'.join(place)}: {rule}: {message}" if place else f"{rule}: {message}"
        super().__init__(f"{text}; {hint}" if hint else text)

    def placed(self, path: str | Path, line: int | None, column: int | None) -> RuleError:
        """The same error with the place in a file that states the combination."""
        return RuleError(
            self.rule,
            self.message,
            hint=self.hint,
            axes=self.axes,
            path=path,
            line=line,
            column=column,
        )


class NothingFits(PlannerError):  # noqa: N818 - an answer, not a failure
    """No plan fits the memory of the devices."""

    exit_code = 1


class TimeRanOut(PlannerError):  # noqa: N818 - an answer, not a failure
    """A time limit passed before anything was known."""

    exit_code = 1
