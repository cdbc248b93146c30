"""Fields that hold a mapping, or text that stands for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema


class OrText:
    """Adds "or text" to a field's JSON Schema."""

    def __init__(self, description: str) -> None:
        self._description = description

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        text = {"type": "string", "description": self._description}
        return {"anyOf": [text, handler(core_schema)]}
