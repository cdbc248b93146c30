"""The text of a launch script, where its flags stand in it, and edits of it.

An edit is made only where the words themselves stand: a value that is computed or given from
outside is refused, with its place. Whether a script with its edits says what was meant is for its
reader to find out: nothing here knows what else a changed variable does.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from planner.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.importers.megatron.command import CommandWord, Flag
    from planner.importers.shell.text import Origin

_TOKEN = r"""(?:"[^"\n]*"|'[^'\n]*'|\$\{[^{}\n]*\}|\$\w+|[^\s"'`$()<>|;&\\])+"""
"""A word of a command on one line."""
_PLAIN = re.compile(r"[\w.,:/=+-]+")
"""A value that means itself in a command, in an array and inside quotes."""
_PART_OF_WORD = re.compile(r"[\w.]")
_ASSIGNED = re.compile(r"""(?:^|[\s;])(\w+)=(?:\$\{\w+:?-)?["']?$""")
"""In front of the value of a variable."""
_AS_FLAG = re.compile(r"""--[\w-]+(?:[ \t]+|=)["']?\$(?:\w+|\{\w+\})""")
"""A variable as the value of a flag."""
_CONTINUED = re.compile(r"[ \t]*\\[ \t]*$")


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Characters `start` to `stop` become `text`."""

    start: int
    stop: int
    text: str


@dataclass(frozen=True, slots=True)
class ScriptText:
    """`path` is what places of the script call it."""

    path: str
    text: str

    def assigned(self, edits: Sequence[Edit]) -> list[tuple[str, int]]:
        """Variables whose values change, with the lines that set them."""
        found = []
        for edit in sorted(set(edits)):
            first = self.text.rfind("\n", 0, edit.start) + 1
            named = _ASSIGNED.search(self.text[first : edit.start])
            if named is not None:
                found.append((named[1], self.text.count("\n", 0, first) + 1))
        return found

    def uses(self, name: str, *, leaving_out: int | None) -> list[int]:
        """Lines that use a variable for anything but a flag."""
        used = re.compile(rf"\$\{{?{name}\b")
        return [
            number
            for number, line in enumerate(self.text.split("\n"), start=1)
            if used.search(_AS_FLAG.sub("", line)) and not line.lstrip().startswith("#")
            if number != leaving_out
        ]

    def edited(self, edits: Sequence[Edit]) -> str:
        """Raises: InputError where two edits are of the same characters."""
        result, stop = [], 0
        for edit in sorted(set(edits)):
            if edit.start < stop:
                line = self.text.count("\n", 0, edit.start) + 1
                raise InputError("two changes meet here", path=self.path, line=line)
            result += [self.text[stop : edit.start], edit.text]
            stop = edit.stop
        return "".join([*result, self.text[stop:]])

    def rewritten(self, flag: Flag, values: tuple[str, ...]) -> Edit:
        """A flag with another number of values. Raises: InputError where its own do not stand
        behind it."""
        start, stop = self._span(flag)
        words = [self._word(start, value, flag.origin) for value in values]
        return Edit(start, stop, " ".join([flag.name, *words]))

    def with_value(self, flag: Flag, word: CommandWord, value: str) -> Edit:
        """Another text in the place of one value of a flag. Raises: InputError where the value is
        not written here as it is."""
        start = self.index(word.origin)
        stop = start + len(word.text)
        around = self.text[start - 1 : start] + self.text[stop : stop + 1]
        if self.text[start:stop] != word.text or _PART_OF_WORD.search(around):
            raise self.refusal(
                word.origin, f"the value of {flag.name} is made of other values here"
            )
        if not _PLAIN.fullmatch(value):
            value = self._quoted(start, value, word.origin)
        return Edit(start, stop, value)

    def removed(self, flags: Sequence[Flag]) -> list[Edit]:
        """Without these flags. Lines that held nothing else go as a whole."""
        spans = sorted(self._span(flag) for flag in flags)
        edits: list[Edit] = []
        whole: list[tuple[int, int]] = []
        for first, of_line in groupby(spans, lambda span: self.text.rfind("\n", 0, span[0]) + 1):
            parts = list(of_line)
            last = self._end_of_line(first)
            left = self.text[first:last]
            for start, stop in reversed(parts):
                left = left[: start - first] + left[stop - first :]
            if _CONTINUED.sub("", left).strip():
                edits += [Edit(self._after_word(first, start), stop, "") for start, stop in parts]
            elif whole and whole[-1][1] + 1 == first:
                whole[-1] = (whole[-1][0], last)
            else:
                whole.append((first, last))
        return [*edits, *(self._without_lines(first, last) for first, last in whole)]

    def _without_lines(self, first: int, last: int) -> Edit:
        """Without the lines from `first` to the end of line at `last`; where they end a command,
        the line before them does so instead."""
        ends = not _CONTINUED.search(self.text[self.text.rfind("\n", 0, last) + 1 : last])
        if ends and first > 0:
            before = self.text.rfind("\n", 0, first - 1) + 1
            continued = _CONTINUED.search(self.text[before : first - 1])
            if continued is not None:
                return Edit(before + continued.start(), last, "")
        return Edit(first, min(last + 1, len(self.text)), "")

    def _end_of_line(self, start: int) -> int:
        found = self.text.find("\n", start)
        return len(self.text) if found < 0 else found

    def _after_word(self, first: int, start: int) -> int:
        """Where the word in front of `start` ends, on the line that begins at `first`."""
        while start > first and self.text[start - 1] in " \t":
            start -= 1
        return start

    def inserted(self, anchor: Flag, flags: dict[str, tuple[str, ...]]) -> Edit:
        """Flags in front of another one, on lines of their own where that has one."""
        start = self._start(anchor)
        words = [
            " ".join([name, *(self._word(start, value, anchor.origin) for value in values)])
            for name, values in flags.items()
        ]
        first = self.text.rfind("\n", 0, start) + 1
        indent = self.text[first:start]
        if indent.strip() or first == 0:
            return Edit(start, start, "".join(f"{word} " for word in words))
        before = self.text[self.text.rfind("\n", 0, first - 1) + 1 : first - 1]
        end = " \\" if _CONTINUED.search(before) else ""
        return Edit(start, start, "".join(f"{word}{end}\n{indent}" for word in words))

    def index(self, origin: Origin) -> int:
        """Of a place in the text. Raises: InputError for one in another file."""
        lines = self.text.split("\n")
        if origin.path != self.path or not 1 <= origin.line <= len(lines):
            raise self.refusal(origin, "a flag that would change stands in a file that is not read")
        return sum(len(line) + 1 for line in lines[: origin.line - 1]) + origin.column - 1

    def holds(self, flag: Flag) -> bool:
        """Whether the name of a flag stands in the script."""
        try:
            self._start(flag)
        except InputError:
            return False
        return True

    def refusal(self, origin: Origin, reason: str) -> InputError:
        return InputError(
            reason,
            path=origin.path,
            line=origin.line,
            column=origin.column,
            hint="`planner compare` shows the flags to change by hand",
        )

    def _start(self, flag: Flag) -> int:
        start = self.index(flag.origin)
        if not re.match(r"--[\w-]+", self.text[start:]):
            raise self.refusal(flag.origin, f"{flag.name} is made of other values here")
        return start

    def _span(self, flag: Flag) -> tuple[int, int]:
        """A flag with its values, which follow it on its line."""
        start = self._start(flag)
        pattern = r"--[\w-]+" + rf"(?:[ \t]+|=){_TOKEN}" * len(flag.values)
        found = re.compile(pattern).match(self.text, start)
        if found is None:
            raise self.refusal(flag.origin, f"the values of {flag.name} are not on its line")
        return start, found.end()

    def _word(self, start: int, value: str, origin: Origin) -> str:
        return value if _PLAIN.fullmatch(value) else self._quoted(start, value, origin)

    def _quoted(self, start: int, value: str, origin: Origin) -> str:
        """A value as one word. Raises: InputError where the place may be inside quotes already."""
        before = self.text[self.text.rfind("\n", 0, start) + 1 : start]
        if "'" in before or '"' in before:
            raise self.refusal(origin, f"{value} would need quotes inside quotes here")
        return shlex.quote(value)
