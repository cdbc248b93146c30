"""General values: what a constant is taken to be where a file leaves it out.

They stand in `defaults/`, in files of the same form as those they are for, with basis and source
like any other constant.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeVar

from planner.specs.files.catalog import general_file
from planner.specs.files.document import Tree
from planner.specs.files.fields import Constant
from planner.specs.files.yaml_file import load_document

T = TypeVar("T")
WithGeneralValues = Literal["cluster", "device", "software"]


def general(kind: WithGeneralValues, at: str, constant: type[Constant[T]]) -> Constant[T]:
    """The constant at a place of the general file, such as "memory.efficiency"."""
    node = _tree(kind)
    for key in at.split("."):
        node = node[key]
    return constant.model_validate(node)


@cache
def _tree(kind: WithGeneralValues) -> Tree:
    return load_document(general_file(kind)).tree
