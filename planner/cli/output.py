"""Writing: one JSON document on stdout, whole files or none, notes on stderr."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.wording.printable import printable

if TYPE_CHECKING:
    from typing import NoReturn, TextIO


def note(text: str) -> None:
    """A line on stderr, for what is neither answer nor error."""
    _say(f"note: {text}")


def complain(*lines: str) -> None:
    """An error on stderr, each of its lines marked."""
    for line in lines:
        _say(f"error: {line}")


def _say(line: str) -> None:
    """One line, whatever it holds. A full stderr loses it, never the answer or the exit code."""
    try:
        print(printable(line), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def replace_closed_streams() -> None:
    """What is written to a stream that was closed from the start is meant for nobody."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def discard(stream: TextIO) -> None:
    """What the stream still holds goes nowhere when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def check_writable(target: str | None, *, option: str = "--output") -> None:
    """InputError now rather than after a long search when a file cannot be written."""
    if target is None:
        return
    path = _real(target, option)
    if not path.parent.is_dir():
        _refuse(target, f"there is no folder {path.parent}", option)
    if path.is_dir():
        _refuse(target, "it is a folder", option)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        _refuse(target, "permission denied", option)


def write_file(target: str, text: str, *, option: str = "--output") -> None:
    """The whole text or nothing: a new file beside the target takes its place at the end. A
    target that is no regular file, such as /dev/stdout, is written directly."""
    path = _real(target, option)
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(temporary, _mode(path))
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        _refuse(target, (error.strerror or str(error)).lower(), option)


def append_file(target: str, text: str, *, option: str = "--output") -> None:
    """Adds the text to the end of a file."""
    try:
        with open(target, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        _refuse(target, (error.strerror or str(error)).lower(), option)


def _mode(path: Path) -> int:
    """Permissions of the file that is replaced, or those that any new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _real(target: str, option: str) -> Path:
    try:
        return Path(os.path.realpath(target))
    except (OSError, ValueError) as error:
        _refuse(target, str(error), option)


def _refuse(target: str, reason: str, option: str) -> NoReturn:
    raise InputError(f"{option}: {target!r} cannot be written: {reason}")
