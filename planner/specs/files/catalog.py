"""Names of shipped files. A name works wherever a path does, from any folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, get_args

from planner.errors import InputError
from planner.specs.files.spelling import did_you_mean

Kind = Literal["cluster", "model", "device", "library", "software", "runs", "engine"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_FOLDERS: dict[Kind, str] = {
    "cluster": "clusters",
    "model": "models",
    "device": "clusters/devices",
    "library": "libraries",
    "software": "software",
    "runs": "runs",
    "engine": "engines",
}
_SUFFIXES = (".yaml", ".yml", ".csv", ".json")


@cache
def _root() -> Path:
    """Where the shipped files are: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent


def list_shipped(kind: Kind) -> tuple[str, ...]:
    """Names of the shipped files of a kind, sorted.

    >>> "gpt3-175b" in list_shipped("model")
    True
    """
    return tuple(sorted(path.stem for path in (_root() / _FOLDERS[kind]).glob("*.yaml")))


def folder(kind: Kind) -> Path:
    """Where the shipped files of a kind are."""
    return _root() / _FOLDERS[kind]


def general_file(
    kind: Kind | Literal["checkpoints", "containers", "generations", "serving", "unpriced"],
) -> Path:
    """The file of general values for files of a kind."""
    return _root() / "defaults" / f"{kind}.yaml"


def looks_like_path(name: str) -> bool:
    """Whether a text means a file of the user's rather than a shipped name."""
    return "/" in name or "\\" in name or name.lower().endswith(_SUFFIXES)


def find_shipped(kind: Kind, name: str) -> Path | None:
    """The shipped file of a name, or None."""
    return _root() / _FOLDERS[kind] / f"{name}.yaml" if name in list_shipped(kind) else None


def is_shipped(kind: Kind, path: str | Path) -> bool:
    """Whether a path leads to a shipped file of the kind."""
    shipped = find_shipped(kind, Path(path).stem)
    return shipped is not None and Path(path).resolve() == shipped.resolve()


def unknown_name(kind: Kind, name: str) -> tuple[str, str | None]:
    """Message and hint for a name that is neither shipped nor a path."""
    shown = name if len(name) <= 80 else f"{name[:80]}…"
    where = "`planner validate` shows all" if kind == "runs" else "`planner list` shows all"
    message = f"no {kind} file is shipped as {shown!r}; {where}, a path works too"
    versions = [one for one in list_shipped(kind) if name and one.startswith(f"{name}-")]
    if len(versions) == 1:
        return message, f"did you mean {versions[0]}?"
    if versions:
        return message, f"shipped are {', '.join(versions[:-1])} and {versions[-1]}"
    return message, did_you_mean(name[:80], list_shipped(kind))


def resolve(kind: Kind, name_or_path: str | Path) -> Path:
    """The file meant by a path or the name of a shipped file.

    Anything with a slash or a YAML suffix is a path, and so is the name of an existing file.
    Raises: InputError for an unknown name, with the nearest one.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, Path) or looks_like_path(name) or _is_file(name):
        return Path(name)
    shipped = find_shipped(kind, name)
    if shipped is None:
        message, hint = unknown_name(kind, name)
        raise InputError(message, hint=hint)
    return shipped


def refer(kind: Kind, name: str, folder: Path) -> Path:
    """The file that a file in `folder` means by a name or a path relative to it.

    Raises: ValueError for an unknown name, for the caller to say where it stands.
    """
    if looks_like_path(name):
        return folder / name
    shipped = find_shipped(kind, name)
    if shipped is None:
        message, hint = unknown_name(kind, name)
        raise ValueError(f"{message}; {hint}" if hint else message)
    return shipped


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False
