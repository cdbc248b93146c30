"""Typed access to the flags of a training command, with errors at their places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from planner.errors import InputError
from planner.importers.megatron.command import Command, CommandWord, Flag
from planner.importers.megatron.table import INTEGERS, KNOWN, LISTS, OLD_SWITCHES, SWITCHES, TEXTS
from planner.importers.shell.text import Origin
from planner.specs.files.spelling import did_you_mean

MOST = 10**9

ONLY_VOCABULARY = (
    "--tokenizer-type",
    "--tokenizer-model",
    "--patch-tokenizer-type",
    "--extra-vocab-size",
)
"""Flags that only affect the size of the vocabulary, which other sources may state."""

_DECIMAL = re.compile(r"(?:[0-9]{1,12}\.?[0-9]{0,12}|\.[0-9]{1,12})(?:[eE]-?[0-9]{1,2})?")
_DECIDING = re.compile(r"which \$(\w+) decides")
_WHOLE = re.compile(r"[0-9]{1,12}")


class Flags:
    """The flags that count. If a flag is given several times, the last one counts, as in
    argparse.
    """

    def __init__(
        self,
        flags: Iterable[Flag],
        *,
        path: str,
        origin: Origin,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """`names`: how the file calls a flag, where that differs."""
        self.path = path
        self.origin = origin
        self._names = names or {}
        self._all = tuple(flags)
        self._last = {flag.name: flag for flag in self._all}
        for flag in self._last.values():
            self._check_shape(flag)

    @classmethod
    def of(cls, command: Command, path: str) -> Flags:
        """Raises: InputError where a known flag has too few or too many values, and where it is
        uncertain whether a known flag is given."""
        for word in command.uncertain:
            self_named = [part for part in word.maybe.split() if part.partition("=")[0] in KNOWN]
            if self_named:
                raise _error(
                    f"{self_named[0]} {word.problem}",
                    word.origin,
                    hint=_how_to_give(word.problem),
                )
        return cls(command.flags, path=path, origin=command.origin)

    def _check_shape(self, flag: Flag) -> None:
        values = flag.values
        if flag.name in SWITCHES | OLD_SWITCHES:
            if values and values[0].text:
                raise _error(f"{flag.name} takes no value, found {_shown(values)}", flag.origin)
        elif flag.name in INTEGERS | TEXTS:
            if not values:
                raise _error(f"{flag.name} without a value", flag.origin)
            for value in values if flag.name not in ONLY_VOCABULARY else ():
                self._check_known(flag.name, value)
            if len(values) > 1 and flag.name not in ONLY_VOCABULARY:
                raise _error(
                    f"{flag.name} takes one value, found {_shown(values)}", values[1].origin
                )
        elif flag.name in LISTS:
            for value in values:
                self._check_known(flag.name, value)

    def _check_known(self, name: str, value: CommandWord) -> None:
        if value.problem:
            raise _error(
                f"the value of {name} {_said(value.problem)}",
                value.origin,
                hint=_how_to_give(value.problem),
            )

    def given(self, name: str) -> bool:
        return name in self._last

    def find(self, name: str) -> Flag | None:
        return self._last.get(name)

    def all_of(self, name: str) -> tuple[Flag, ...]:
        """Every time that a flag is given."""
        return tuple(flag for flag in self._all if flag.name == name)

    def unread(self) -> tuple[Flag, ...]:
        """The flags, as they count, that the importer does not read."""
        return tuple(flag for name, flag in self._last.items() if name not in KNOWN)

    def repeated(self) -> list[str]:
        """Flags given several times with different values."""
        texts: dict[str, set[tuple[str, ...]]] = {}
        for flag in self._all:
            texts.setdefault(flag.name, set()).add(tuple(value.text for value in flag.values))
        return [name for name, found in texts.items() if len(found) > 1 and name in KNOWN]

    def integer(self, name: str, *, least: int = 1, most: int = MOST) -> int | None:
        """The whole number that a flag has; None without the flag."""
        flag = self._last.get(name)
        if flag is None:
            return None
        text = flag.values[0].text
        if _WHOLE.fullmatch(text) is None or not least <= int(text) <= most:
            raise self.error(f"{text[:60]!r} is not a whole number from {least} to {most:,}", name)
        return int(text)

    def known_number(self, name: str, *, least: int = 0) -> int | None:
        """As `integer`, and None where the value is unknown."""
        flag = self._last.get(name)
        known = flag is not None and not any(value.problem for value in flag.values)
        return self.integer(name, least=least) if known else None

    def number(self, name: str) -> float | None:
        """The decimal number, 0 or more, that a flag has; None without the flag."""
        found = self.text(name)
        if found is None:
            return None
        if _DECIMAL.fullmatch(found) is None:
            raise self.error(f"{found[:60]!r} is not a number of 0 or more", name)
        return float(found)

    def needed(self, name: str, *, most: int = MOST) -> int:
        value = self.integer(name, most=most)
        if value is None:
            near = did_you_mean(name, [flag.name for flag in self._all if flag.name not in KNOWN])
            raise _error(f"{self._names.get(name, name)} is missing", self.origin, hint=near)
        return value

    def text(self, name: str) -> str | None:
        flag = self._last.get(name)
        return flag.values[0].text if flag else None

    def known_text(self, name: str) -> str:
        """The value of a flag; "" without the flag. Raises: InputError where it is unknown."""
        flag = self._last.get(name)
        for value in flag.values if flag else ():
            self._check_known(name, value)
        return self.text(name) or ""

    def words(self, name: str) -> tuple[str, ...] | None:
        """All values of a flag; a word with commas or in brackets is split."""
        flag = self._last.get(name)
        if flag is None:
            return None
        joined = " ".join(value.text for value in flag.values)
        return tuple(re.findall(r"[^\s,()\[\]'\"]+", joined))

    def choice(self, name: str, allowed: Iterable[str]) -> str | None:
        found = self.text(name)
        words = list(allowed)
        if found is not None and found not in words:
            raise self.error(
                f"{found[:60]!r} is not one of {', '.join(words)}",
                name,
                hint=did_you_mean(found, words),
            )
        return found

    def place(self, name: str) -> Origin:
        """The place of a flag's value; without the flag, that of the command."""
        flag = self._last.get(name)
        if flag is None:
            return self.origin
        return flag.values[0].origin if flag.values else flag.origin

    def places(self) -> dict[str, Origin]:
        """The place of every flag's value."""
        return {name: self.place(name) for name in self._last}

    def error(self, message: str, name: str, *, hint: str | None = None) -> InputError:
        """An error at a flag's value."""
        return _error(f"{self._names.get(name, name)}: {message}", self.place(name), hint=hint)


def _said(problem: str) -> str:
    """Turns a problem into the predicate of a value: "… is not set in this file" has the variable
    as its subject."""
    if problem.startswith(("$", "argument ")):
        return f"is unknown: {problem}"
    return problem


def _how_to_give(problem: str) -> str:
    if "argument " in problem:
        return 'give the arguments with --args "…", or write them in the file'
    if "placeholder" in problem:
        return "write it in the file"
    if (variable := _DECIDING.search(problem)) is not None:
        return f"give --set {variable[1]}=…, or write it in the file"
    what = "the variable's value" if "condition" in problem else "it"
    return f"give {what} with --set NAME=VALUE, or write it in the file"


def _error(message: str, origin: Origin, *, hint: str | None = None) -> InputError:
    return InputError(message, path=origin.path, line=origin.line, column=origin.column, hint=hint)


def _shown(values: tuple[CommandWord, ...]) -> str:
    return " ".join(value.text for value in values)[:60]
