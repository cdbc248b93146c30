"""The plan document: plans, what they were made from and what they cost, as one JSON file.

Writing is deterministic: the same search gives the same bytes. Reading is strict: what a plan is
made of must be there, of the right type, and nothing else may be there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.plan_document.inputs import RecordedFile as RecordedFile
    from planner.plan_document.inputs import RecordedInputs as RecordedInputs
    from planner.plan_document.inputs import RecordedJob as RecordedJob
    from planner.plan_document.inputs import record_inputs as record_inputs
    from planner.plan_document.read import ReadPlan as ReadPlan
    from planner.plan_document.read import read_plan as read_plan
    from planner.plan_document.read import read_plans as read_plans
    from planner.plan_document.schema import SCHEMA_ID as SCHEMA_ID
    from planner.plan_document.schema import plan_schema as plan_schema
    from planner.plan_document.text import to_text as to_text
    from planner.plan_document.write import to_document as to_document

_HOME_OF = {
    "SCHEMA_ID": "schema",
    "ReadPlan": "read",
    "RecordedFile": "inputs",
    "RecordedInputs": "inputs",
    "RecordedJob": "inputs",
    "plan_schema": "schema",
    "read_plan": "read",
    "read_plans": "read",
    "record_inputs": "inputs",
    "to_document": "write",
    "to_text": "text",
}
"""Where each name comes from: its file is imported when the name is used, as what writes a document
needs nothing of what reads one."""

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
