"""General values: what a constant is taken to be where a file leaves it out.

They stand in `defaults/`, in files of the same form as those they are for, with basis and source
like any other constant.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeVar

from planner.specs.files.catalog import general_file
from planner.specs.files.document import Tree
from planner.specs.files.fields import Constant, Input
from planner.specs.files.yaml_file import load_document

T = TypeVar("T")
P = TypeVar("P", bound=Input)
WithGeneralValues = Literal["cluster", "device", "software"]


def general(kind: WithGeneralValues, at: str, constant: type[Constant[T]]) -> Constant[T]:
    """The constant at a place of the general file, such as "memory.efficiency"."""
    return general_part(kind, at, constant)


def general_part(kind: WithGeneralValues, at: str, part: type[P]) -> P:
    """The same for several that belong together, such as "expert.dispatchers.deepep"."""
    node = _tree(kind)
    for key in at.split("."):
        node = node[key]
    return part.model_validate(node)


@cache
def _tree(kind: WithGeneralValues) -> Tree:
    return load_document(general_file(kind)).tree
