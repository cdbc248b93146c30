"""Whole files or none. Refusals name the option that a target was given by, where it was one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn


def check_writable(target: str | None, *, option: str | None = "--output") -> None:
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


def write_file(target: str, text: str, *, option: str | None = "--output") -> None:
    """The whole text or nothing: a new file in the same folder takes its place at the end. A
    target that is no regular file, such as /dev/stdout, is written directly."""
    path = _real(target, option)
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        temporary = _staged(path, text)
        try:
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        _refuse(target, (error.strerror or str(error)).lower(), option)


def write_files(texts: Mapping[str, str]) -> None:
    """Every text into its file, or no file changes: all are written beside their targets before
    the first takes its place, and what went before comes back where a later one fails."""
    staged: list[tuple[str, Path, str]] = []
    done: list[tuple[Path, bytes]] = []
    try:
        for target, text in texts.items():
            check_writable(target, option=None)
            path = _real(target, None)
            staged.append((target, path, _staged(path, text)))
        for target, path, temporary in staged:  # noqa: B007 - the error names it
            before = path.read_bytes()
            os.replace(temporary, path)
            done.append((path, before))
    except BaseException as error:
        for path, before in done:
            path.write_bytes(before)
        for _, _, temporary in staged:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            _refuse(target, (error.strerror or str(error)).lower(), None)
        raise


def _staged(path: Path, text: str) -> str:
    """A new file in the folder of another, with its permissions."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, _mode(path))
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return temporary


def append_file(target: str, text: str, *, option: str | None = "--output") -> None:
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


def _real(target: str, option: str | None) -> Path:
    try:
        return Path(os.path.realpath(target))
    except (OSError, ValueError) as error:
        _refuse(target, str(error), option)


def _refuse(target: str, reason: str, option: str | None) -> NoReturn:
    if option is None:
        raise InputError(f"cannot be written: {reason}", path=target)
    raise InputError(f"{option}: {target!r} cannot be written: {reason}")
