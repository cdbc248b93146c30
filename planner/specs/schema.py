"""JSON Schemas (draft 2020-12) of the files a user writes, for editors and other programs.

Descriptions are the docstrings under the fields, so that the schema and the code say the same.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic.json_schema import GenerateJsonSchema

from planner.specs.cluster.file import ClusterInput
from planner.specs.device import DeviceSpec
from planner.specs.device_parts import MatmulConstants
from planner.specs.engine import EngineProfile
from planner.specs.files.fields import Constant
from planner.specs.library import CollectiveLibrary
from planner.specs.model.file import ModelInput
from planner.specs.runs.file import RunsInput
from planner.specs.serving_load import LoadFile
from planner.specs.software import SoftwareProfile
from planner.specs.study.file import StudyInput

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import core_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SchemaKind = Literal[
    "cluster", "model", "runs", "study", "device", "library", "software", "engine", "load"
]
SCHEMA_KINDS: tuple[SchemaKind, ...] = get_args(SchemaKind)

_MODELS: dict[SchemaKind, type[BaseModel]] = {
    "cluster": ClusterInput,
    "model": ModelInput,
    "runs": RunsInput,
    "study": StudyInput,
    "device": DeviceSpec,
    "library": CollectiveLibrary,
    "software": SoftwareProfile,
    "engine": EngineProfile,
    "load": LoadFile,
}
_BARE = {"memory": "The capacity alone, with its unit.", "peak": "The dense 16-bit peak."}
_PARTIAL: dict[SchemaKind, tuple[str, ...]] = {
    "runs": ("ModelInput", "MoeInput", "MlaInput", "TrainingInput"),
    "software": ("Fused", "DataShardingSwitch", "RecomputeSwitch", "ScheduleSwitch"),
}
"""Mappings that may be stated in part, over those of another file."""


def json_schema(kind: SchemaKind) -> dict[str, Any]:
    """The schema of a kind of file."""
    schema = _MODELS[kind].model_json_schema(schema_generator=_Generator)
    for name in _PARTIAL.get(kind, ()):
        schema["$defs"][name].pop("required", None)
    schema = _short_names(schema)
    head = {"$schema": DIALECT, "$id": f"urn:planner:schema:{kind}:1", "title": f"planner {kind}"}
    return {**head, **{key: value for key, value in schema.items() if key != "title"}}


def _short_names(schema: dict[str, Any]) -> dict[str, Any]:
    """Definitions under the names of their classes; generic classes get generated ones."""
    names = {
        f"#/$defs/{name}": definition.get("title", name)
        for name, definition in schema.get("$defs", {}).items()
    }

    def renamed(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                key: f"#/$defs/{names[value]}" if key == "$ref" else renamed(value)
                for key, value in part.items()
            }
        return [renamed(one) for one in part] if isinstance(part, list) else part

    short: dict[str, Any] = renamed(schema)
    definitions = short.get("$defs", {})
    return {**short, "$defs": {names[f"#/$defs/{name}"]: definitions[name] for name in definitions}}


class _Generator(GenerateJsonSchema):
    """Describes fields by their docstrings and leaves titles made of field names out."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        described = super().model_schema(schema)
        generic = schema["cls"].__mro__[1]
        if "description" not in described and generic.__doc__:
            described["description"] = inspect.cleandoc(generic.__doc__)
        for name, text in _field_docstrings(schema["cls"]).items():
            field = described.get("properties", {}).get(name)
            if field is not None:
                units = field.get("description")
                field["description"] = f"{text} {units}" if units else text
        if issubclass(schema["cls"], Constant):
            return _bare_or(described)
        if schema["cls"] is MatmulConstants:
            described.pop("required")
        if schema["cls"] is SoftwareProfile:
            return _like_another(described)
        return _in_few_figures(described) if schema["cls"] is DeviceSpec else described


def _in_few_figures(device: dict[str, Any]) -> dict[str, Any]:
    """What a device may leave out or say in one word (`DeviceSpec`, validators)."""
    properties = dict(device["properties"])
    for name in ("memory", "peak"):
        text = {"type": "string", "description": _BARE[name]}
        properties[name] = {"anyOf": [text, properties[name]]}
    stated = [{"required": ["like"]}, {"required": ["name", "memory", "peak"]}]
    rest = {key: value for key, value in device.items() if key != "required"}
    return {**rest, "properties": properties, "allOf": [{"anyOf": stated}]}


def _like_another(profile: dict[str, Any]) -> dict[str, Any]:
    """A software profile that is `like` another may leave out all that the other says."""
    own = [name for name in profile["required"] if name in ("name", "description", "source")]
    stated = [{"required": ["like", *own]}, {"required": profile["required"]}]
    rest = {key: value for key, value in profile.items() if key != "required"}
    return {**rest, "allOf": [{"anyOf": stated}]}


def _bare_or(constant: dict[str, Any]) -> dict[str, Any]:
    """A constant as a mapping, or its bare value."""
    title = {"title": constant["title"]} if "title" in constant else {}
    bare = {k: v for k, v in constant["properties"]["value"].items() if k != "description"}
    return {**title, "anyOf": [bare, {k: v for k, v in constant.items() if k != "title"}]}


def _field_docstrings(model: type[Any]) -> dict[str, str]:
    """The text under each field of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if base.__module__.startswith("planner.") and "[" not in base.__name__:
            found |= _own_docstrings(base)
    return found


@cache
def _own_docstrings(model: type[Any]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(model))
    except (OSError, TypeError):
        return {}
    statements = ast.parse(source).body[0]
    body = statements.body if isinstance(statements, ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, text in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = " ".join(text.value.value.split())
    return found
