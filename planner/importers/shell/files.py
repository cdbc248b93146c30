"""Which files a script reads, as far as its own text says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planner.importers.shell.text import Piece, Text, is_known, plain

if TYPE_CHECKING:
    from planner.importers.shell.state import ShellState
    from planner.importers.shell.syntax import Substitution

_OWN_FOLDER = re.compile(r"\b(?:dirname|pwd)\b")
"""Commands whose output is the folder of the script, or the one that it is run in."""
_FROM_OWN_FOLDER = re.compile(r"\$\(dirname [^()]*\)((?:/[\w.-]+)+)")
"""A folder that is called by the way to it from the script's, such as `$(dirname "$0")/..`."""
_OWN_VARIABLES = ("0", "BASH_SOURCE", "PWD", "SLURM_SUBMIT_DIR")
_PRINTED = re.compile(r"""\s*(?:cat\s|<)\s*(["']?)([\w.][\w./-]*)\1\s*""")


def file_name(text: Text) -> str:
    """The name of a file, looked for in the folder of the script: what stands for that folder in
    front of it, such as `$(dirname "$0")/`, is left out. Empty where the name is not known."""
    rest = tuple(piece for piece in text if piece.text or not is_known((piece,)))
    here = bool(rest) and _is_own_folder(rest[0])
    name = rest[1:] if here else rest
    if not is_known(name):
        return ""
    if not here:
        return plain(name)
    way = _FROM_OWN_FOLDER.search(rest[0].doubt)
    return f"{way[1] if way else ''}{plain(name)}".lstrip("/")


def _is_own_folder(piece: Piece) -> bool:
    if piece.text:
        return False
    return piece.unset in _OWN_VARIABLES or _OWN_FOLDER.search(piece.doubt) is not None


def printed_file(part: Substitution, state: ShellState) -> Text | None:
    """What `$(cat FILE)` and `$(<FILE)` give: the text of the file without the ends of its last
    lines; None for other commands and files that cannot be read."""
    found = _PRINTED.fullmatch(part.command)
    script = state.read_file(found[2]) if found is not None else None
    if script is None:
        return None
    lines = script.text.rstrip("\n").split("\n")
    ends = ["\n"] * (len(lines) - 1) + [""]
    pieces: list[Piece] = []
    at = 0
    for line, end in zip(lines, ends, strict=True):
        pieces.append(Piece(line + end, script.origin(at), part.quoted))
        at += len(line) + 1
    return tuple(piece for piece in pieces if piece.text)
