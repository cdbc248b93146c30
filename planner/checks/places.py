"""Where the parts of a plan, a model and a cluster stand in their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from planner.checks.finding import Region, Related
from planner.errors import InputError
from planner.plan_document.nodes import read_file
from planner.specs.files.document import show_location
from planner.specs.files.json_file import nearest_value
from planner.specs.files.text_file import place_of
from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from planner.importers.launch import LaunchedPlan
    from planner.specs.files.document import Location


class Places(Protocol):
    """Where the file of a plan has a field of it."""

    def region(self, field: Location) -> Region:
        """The field's place, or the nearest around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPlaces:
    """Fields of one plan of a plan document. Those that begin with "inputs" are of the document."""

    path: str
    rank: int

    def region(self, field: Location) -> Region:
        """The field's value, or that of the nearest around it; a page of `planner report` has no
        lines that a person wrote, and is named as a whole."""
        at = field if field[:1] == ("inputs",) else ("plans", self.rank - 1, *field)
        file = read_file(Path(self.path))
        text = file.text
        span = None if file.packed else nearest_value(text, at)
        if span is None:
            return Region(path=shown_path(self.path))
        place = place_of(text, span.start)
        return Region(
            path=shown_path(self.path),
            line=place.line,
            column=place.column,
            end_column=place.column + span.end - span.start,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlaces:
    """Fields of the plan that a launch file describes, and its flags by their names."""

    launched: LaunchedPlan

    def region(self, field: Location) -> Region:
        """Where the field was decided; without a flag for it, the beginning of the command."""
        names = [part for part in field if isinstance(part, str)]
        place = self.launched.place(".".join(names))
        return Region(path=shown_path(place.path), line=place.line, column=place.column)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPlaces:
    """Fields of a plan that stands in no file: all that can be said is its name."""

    name: str

    def region(self, field: Location) -> Region:
        return Region(path=self.name)


def related_places(reads: Iterable[str], files: Mapping[str, str | None]) -> tuple[Related, ...]:
    """The keys among `reads`, such as model.num_layers, that stand in the model and cluster files
    of `files`. Files outside the working directory are not the user's to change and left out."""
    found: list[Related] = []
    for key in reads:
        kind, _, dotted = key.partition(".")
        path = files.get(kind)
        if path is None or not _is_below_here(path):
            continue
        location = tuple(int(part) if part.isdigit() else part for part in dotted.split("."))
        region = _yaml_region(path, location)
        if region is not None:
            found.append(Related(region=region, what=show_location(location)))
    return tuple(found)


def _yaml_region(path: str, location: Location) -> Region | None:
    """Where a YAML file has a key; None where it leaves it out."""
    try:
        document = load_document(Path(path))
    except InputError:
        return None
    mark = document.key_marks.get(location) or document.marks.get(location)
    if mark is None:
        return None
    key = str(location[-1])
    return Region(
        path=shown_path(path),
        line=mark.place.line,
        column=mark.place.column,
        end_column=mark.place.column + len(key),
    )


def shown_path(path: str) -> str:
    """Relative to the working directory where the file is below it, with forward slashes."""
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return Path(path).as_posix()


def _is_below_here(path: str) -> bool:
    return Path(path).resolve().is_relative_to(Path.cwd())
