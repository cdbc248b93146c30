"""Collective libraries: what their algorithms cost, whatever the device and the links."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo

from planner.errors import InputError
from planner.specs.files import catalog
from planner.specs.files.fields import (
    Constant,
    Count,
    Input,
    Name,
    Number,
    Text,
)
from planner.specs.files.or_text import OrText
from planner.specs.files.problems import validate
from planner.specs.files.source import SourceFile
from planner.specs.files.yaml_file import load_document
from planner.specs.networks import NetworkShares

USUAL = "nccl"
"""The library of devices whose vendor no shipped library names."""


class CollectiveLibrary(Input):
    """One collective library; `planner/hardware/collectives.py` has the model of it."""

    name: Name
    description: Text
    source: Text
    """Where its algorithms were read: repository, files."""
    vendors: Annotated[tuple[Text, ...], Field(max_length=20)] = ()
    """Vendors whose devices use it where neither the device file nor the node group names one."""
    local_copy: Constant[Number]
    """Time in which a member moves its own part between two buffers of its memory, in steps of a
    ring."""
    low_latency_cost: Constant[Number]
    """Time of a transfer by the low-latency protocol, which sends a flag with every word and has no
    pipeline to fill, in times of the usual one."""
    tree_level_steps: Constant[Number]
    """Steps of one level of a tree."""
    all_to_all_steps: Constant[Number]
    """Start of the many sends of an all-to-all, in steps inside the fast fabric."""
    fewest_switch_reducers: Constant[Count]
    """Fewest members of a domain at which the library leaves the reduction to the switches, where
    they can reduce."""
    ring_exits: Constant[Count]
    """Members of a domain that carry a ring's traffic to other domains, at most."""

    sustained_all_to_all: NetworkShares
    """Share of its rate on an idle network that an all-to-all between nodes keeps in training."""

    _file: SourceFile | None = PrivateAttr(default=None)

    @property
    def source_file(self) -> SourceFile | None:
        """The file the library was read from; None when it was written inline."""
        return self._file


def load_library(name_or_path: str | Path) -> CollectiveLibrary:
    """A collective library. Raises: InputError."""
    document = load_document(catalog.resolve("library", name_or_path))
    library = validate(document, CollectiveLibrary)
    library._file = SourceFile(path=document.path, sha256=document.sha256)
    return library


@cache
def vendor_library(vendor: str) -> CollectiveLibrary | None:
    """The shipped library that names the vendor, in any case of letters."""
    libraries = [load_library(name) for name in catalog.list_shipped("library")]
    word = vendor.lower()
    return next((one for one in libraries if word in map(str.lower, one.vendors)), None)


@cache
def usual_library() -> CollectiveLibrary:
    """The library of devices whose vendor has none."""
    return load_library(USUAL)


def referred_library(name: str, folder: Path) -> CollectiveLibrary:
    """The library that a file in `folder` means by a name or path.

    Raises: ValueError for the reference, InputError for the content of the file.
    """
    path = catalog.refer("library", name, folder)
    try:
        return load_library(path)
    except InputError as error:
        if error.line is not None:
            raise
        raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Beside:
    """What a file in a folder may refer to."""

    folder: Path

    def library(self, name: str) -> CollectiveLibrary:
        """Raises: as `referred_library`."""
        return referred_library(name, self.folder)


def _library_of(value: object, info: ValidationInfo) -> object:
    """The library a name or path stands for; the loader passes how to find it."""
    if isinstance(value, str) and info.context is not None:
        return info.context.library(value)
    return value


LibraryReference = Annotated[
    CollectiveLibrary,
    BeforeValidator(_library_of),
    OrText("Name of a shipped collective library, or path of its file."),
]
