"""The software profile that the container of a launch file tells (`defaults/containers.yaml`)."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from planner.specs.files.catalog import general_file
from planner.specs.files.fields import Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.importers.statement import Statement

_IMAGE = re.compile(r"nvcr\.io[/#]nvidia/([a-z-]+):(\d\d\.\d\d)|nvidia\+([a-z-]+)\+(\d\d\.\d\d)")
"""As registries, Enroot and the names of its files have it."""
_COMMENT = re.compile(r"\s*#(?!SBATCH)")

Release = Annotated[str, Field(pattern=r"^\d\d\.\d\d$")]


class Releases(Input):
    """`profile` describes what images of these names hold, from `first` to `last`."""

    instead_of: Text
    images: tuple[Text, ...]
    first: Release = "00.00"
    last: Release = "99.99"
    profile: Text


class Containers(Input):
    containers: tuple[Releases, ...]


@cache
def known_containers() -> Containers:
    return validate(load_document(general_file("containers")), Containers)


def of_its_container(statement: Statement, source: Source) -> Statement:
    """The statement with the software profile of the only container that its file names."""
    named = {
        (found[1] or found[3], found[2] or found[4])
        for line in source.text.splitlines()
        if not _COMMENT.match(line)
        for found in _IMAGE.finditer(line)
    }
    if len(named) != 1:
        return statement
    ((image, release),) = named
    for one in known_containers().containers:
        if one.instead_of != statement.software or image not in one.images:
            continue
        if one.first <= release <= one.last:
            statement.notes.read.append(
                f"container {image}:{release}, which software profile {one.profile} describes"
            )
            return replace(statement, software=one.profile)
    return statement
