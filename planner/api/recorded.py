"""Finds the files that a plan document records."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from planner.api.inputs import load_cluster, load_model, load_software
from planner.errors import InputError
from planner.specs.engine import load_engine
from planner.specs.files.catalog import find_shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from planner.plan_document import ReadPlan
    from planner.plan_document.inputs import RecordedFile
    from planner.plan_document.serving.read import ReadServingPlan
    from planner.specs.files.source import SourceFile

Kind = Literal["cluster", "model", "software", "engine"]

_LONGEST_SHOWN = 200
"""Most characters of a path in a message."""


def found_again(read: ReadPlan | ReadServingPlan, kind: Kind) -> str:
    """The name or the path of what the plan was made for: a shipped file, or the user's own, which
    is looked for under its recorded path, from the current folder and from that of the plan file,
    and under its name in the folder of the plan file. Of several files, the one with the recorded
    content counts, else the first; the caller decides what changed content means.

    Raises: InputError where there is none.
    """
    recorded: RecordedFile = getattr(read.inputs, kind)
    shipped = find_shipped(kind, recorded.name)
    if recorded.path is None:
        if shipped is None:
            raise InputError(
                f"the plan was made for {kind} {recorded.name}, which is not shipped",
                path=read.path,
                hint=f"say where its file is with --{kind}",
            )
        return str(recorded.name)
    there = list(_candidates(recorded.path, Path(read.path).parent))
    if len(there) == 1:
        return there[0]
    same = (one for one in there if _sha256(kind, one) == recorded.sha256)
    found = next(same, there[0] if there else None)
    if found is not None:
        return found
    if shipped is not None and _sha256(kind, str(shipped)) == recorded.sha256:
        return str(recorded.name)
    tail = recorded.path[-_LONGEST_SHOWN:]
    path = tail if tail == recorded.path else f"…{tail}"
    raise InputError(
        f"the plan was made for {kind} {recorded.name} of {path}, which is not there",
        path=read.path,
        hint=f"say where its file is with --{kind}",
    )


def _candidates(path: str, folder: Path) -> Iterator[str]:
    """The files that exist, each once."""
    seen = set()
    for one in (Path(path), folder / path, folder / Path(path).name):
        try:
            real = one.resolve()
            is_file = one.is_file()
        except (OSError, RuntimeError, ValueError):
            continue
        if is_file and real not in seen:
            seen.add(real)
            yield str(one)


def _sha256(kind: Kind, path: str) -> str | None:
    """The digest that a plan would record of the file; None for one that cannot be read."""
    try:
        source = _SOURCES[kind](path)
    except InputError:
        return None
    return None if source is None else source.sha256


_SOURCES: Mapping[Kind, Callable[[str], SourceFile | None]] = MappingProxyType(
    {
        "cluster": lambda path: load_cluster(path).source,
        "model": lambda path: load_model(path).source,
        "software": lambda path: load_software(path).source_file,
        "engine": lambda path: load_engine(path).source_file,
    }
)
