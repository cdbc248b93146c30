"""Text from outside in the files that exporters write: data there, whatever it holds."""

from __future__ import annotations

import csv
import io
import re
import shlex
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.names import check_host
from planner.wording.printable import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE_ENDS = "\r\n"
"""The writer puts cells in quotes that hold a character of its line terminator."""
_MARK = re.compile(r"@([A-Z]+)@")


def filled(template: str, **parts: str) -> str:
    """The template with `@PART@` replaced by each part, in one pass: what a part holds is never
    taken for a mark."""
    return _MARK.sub(lambda mark: parts[mark[1].lower()], template)


def shell_word(text: str) -> str:
    """The text as one word of a shell script. Raises: InputError for what a script cannot hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{text!r} is not text that a shell script can hold") from error
    if "\0" in text:
        raise InputError(f"{text!r} holds a null character, which no shell script can")
    return shlex.quote(text)


def heredoc(lines: Iterable[str], *, name: str) -> str:
    """`<< 'NAME'`, the lines as they are, and NAME again, which none of the lines is."""
    content = "\n".join(lines)
    taken = set(content.split("\n"))
    end, number = name, 1
    while end in taken:
        number += 1
        end = f"{name}_{number}"
    return f"<< '{end}'\n{content}\n{end}"


def docstring(text: str) -> str:
    """The text, on one line, between the quotes of a docstring."""
    return quoted(printable(text))[1:-1]


def csv_line(cells: Iterable[object]) -> str:
    """A line of a CSV file, cells in quotes where they need them."""
    text = io.StringIO()
    csv.writer(text, lineterminator=_LINE_ENDS).writerow(cells)
    return f"{text.getvalue().removesuffix(_LINE_ENDS)}\n"


def plain_hosts(names: Iterable[str]) -> list[str]:
    """Host names for a file that has no way to quote one. Raises: InputError for any other text."""
    try:
        return [check_host(name) for name in names]
    except ValueError as error:
        raise InputError(f"placement.hosts: {error}") from error
