"""What frameworks' checkpoints survive: which decisions of a plan may change before one loads."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from planner.specs.files.catalog import general_file
from planner.specs.files.fields import Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document

Decision = Literal[
    "tensor", "pipeline", "data", "context", "expert", "expert_tensor", "layout", "sharding"
]
"""A degree; "layout": virtual stages and layers of stages; "sharding": what replicas share."""


class CheckpointRules(Input):
    """Of one framework. `freely`: a checkpoint loads as it is when these change; `prepared`: it
    does after what `how` says; it does not load when anything else changes."""

    freely: Annotated[tuple[Decision, ...], Field(max_length=8)]
    prepared: Annotated[tuple[Decision, ...], Field(max_length=8)]
    how: Annotated[str, Field(max_length=500)]
    basis: Literal["code", "datasheet"]
    source: Text


class _Checkpoints(Input):
    frameworks: dict[str, CheckpointRules]


def checkpoint_rules(framework: str) -> CheckpointRules | None:
    """Of a framework by its name in software profiles; None where they are not known."""
    return _shipped().frameworks.get(framework)


@cache
def _shipped() -> _Checkpoints:
    return validate(load_document(general_file("checkpoints")), _Checkpoints)
