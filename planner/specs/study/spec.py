"""A study: the axes of its points, and what is the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from planner.specs.files.document import Document, Tree
    from planner.specs.study.file import LimitsInput, Objective, StudyJobInput
    from planner.specs.study.paths import FieldPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One field and the values that it takes. `texts`: the same for people and tables."""

    name: str
    path: FieldPath
    values: tuple[Document, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """`laid_over`: blocks that go over every cluster. `apart`: axes of which every value has a
    front of its own. Files are named relative to `folder`."""

    name: str
    axes: tuple[Axis, ...]
    cluster: str | None
    model: str | None
    job: StudyJobInput
    search: Mapping[str, Tree]
    laid_over: Document
    apart: tuple[str, ...]
    objectives: tuple[Objective, ...]
    limits: LimitsInput
    folder: Path
    document: Document

    @property
    def size(self) -> int:
        """How many points it has."""
        number = 1
        for axis in self.axes:
            number *= len(axis.values)
        return number

    def points(self) -> Iterator[tuple[int, ...]]:
        """For every point, which value of each axis it has; the last axis changes fastest."""
        return product(*(range(len(axis.values)) for axis in self.axes))
