"""The plan document: plans, what they were made from and what they cost, as one JSON file.

Writing is deterministic: the same search gives the same bytes. Reading is strict: what a plan is
made of must be there, of the right type, and nothing else may be there.
"""

from planner.plan_document.inputs import RecordedFile, RecordedInputs, RecordedJob, record_inputs
from planner.plan_document.read import ReadPlan, read_plan, read_plans
from planner.plan_document.schema import SCHEMA_ID, plan_schema
from planner.plan_document.text import to_text
from planner.plan_document.write import to_document

__all__ = [
    "SCHEMA_ID",
    "ReadPlan",
    "RecordedFile",
    "RecordedInputs",
    "RecordedJob",
    "plan_schema",
    "read_plan",
    "read_plans",
    "record_inputs",
    "to_document",
    "to_text",
]
