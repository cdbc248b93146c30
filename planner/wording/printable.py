"""Text from outside for a terminal or a log: names of files, of hosts, whatever a file says.

Raw, an escape sequence in it would move the cursor, a line feed would begin a line that a CI
service takes for a command, and an override of the writing direction would show a name that is
none.
"""

from __future__ import annotations

import re
import unicodedata

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_LEGACY_COMMAND = re.compile(r"#(?=#(?:vso)?\[)")
_COMMAND = re.compile(r"^(\s*):(?=:)")


def printable(text: str) -> str:
    r"""The text on one line, an escape such as \n, \x1b or \u202e for every character that shows
    nothing of its own, spaces apart. Applied twice it changes nothing.

    `##[error]` and `##vso[` are commands to GitHub's runner and to Azure Pipelines wherever they
    stand in a line, so that their first # is written \x23.
    """
    if not text.isascii() or not text.isprintable():
        text = _UNPRINTABLE.sub(lambda found: "".join(map(_escaped, found[0])), text)
    return _LEGACY_COMMAND.sub(r"\\x23", text)


def log_line(line: str) -> str:
    """A line of output that is no command to a CI service: GitHub's runner takes `::error::` for
    one at the beginning of a line (actions/runner, `ActionCommand.TryParseV2`)."""
    return _COMMAND.sub(r"\1\\x3a", line)


def log_json(document: str) -> str:
    """JSON text with the same meaning in which no CI service finds a command."""
    return _LEGACY_COMMAND.sub(r"\\u0023", document)


def quoted(text: str) -> str:
    r"""The text in double quotes, as Python and YAML read it back: \n, \x1b, \u202e for what shows
    nothing of its own."""
    inside = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{"".join(map(_escaped, inside))}"'


def _escaped(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
