"""Which documents hold serving plans: told from what a file says of itself, so that commands for
training plans load nothing of serving."""

from __future__ import annotations

from planner.errors import InputError
from planner.plan_document.nodes import parse_file, split_rank

SERVING_SCHEMA_ID = "planner/serving-plans/1"


def is_serving_document(reference: str) -> bool:
    """Whether `FILE#rank` points into a document of serving plans."""
    try:
        schema = parse_file(split_rank(reference)[0]).get("schema")
    except InputError:
        return False
    return schema is not None and schema.value == SERVING_SCHEMA_ID
