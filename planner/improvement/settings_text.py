"""The text of a DeepSpeed configuration that says another plan.

Values change where they stand, and keys that are missing go in front of the others of their object.
A value that the training program fills in ("auto") is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from planner.exporters.deepspeed import STAGES
from planner.improvement.script_text import Edit, ScriptText
from planner.specs.files.json_file import nearest_value, parse_json

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.plan import Plan
    from planner.specs.files.document import Location
    from planner.specs.files.json_file import JsonFile

FOLLOWING = frozenset({"data_sharding", "overlap"})
"""Parts of the software profile that the ZeRO stage decides."""

_MICRO: Location = ("train_micro_batch_size_per_gpu",)
_STEPS: Location = ("gradient_accumulation_steps",)
_STAGE: Location = ("zero_optimization", "stage")
_INDENT = re.compile(r"\n([ \t]+)\S")


def changed_settings(source: Source, now: Plan, then: Plan) -> str:
    """The configuration with its micro-batch size, accumulation steps and ZeRO stage changed.
    Raises: InputError, with the place, for a value that is no number."""
    file = parse_json(source.text, source.path)
    edits = []
    for location, was, value in (
        (_MICRO, now.micro_batch_size, then.micro_batch_size),
        (_STEPS, now.num_microbatches, then.num_microbatches),
        (_STAGE, STAGES[now.data_sharding], STAGES[then.data_sharding]),
    ):
        follows = location == _STEPS and _stated(file, ("train_batch_size",)) is not None
        if value != was and not (follows and _stated(file, location) is None):
            edits.append(_edit(file, location, value))
    return ScriptText(source.path, source.text).edited(edits)


def _stated(file: JsonFile, location: Location) -> Any:
    value: Any = file.tree
    for key in location:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _edit(file: JsonFile, location: Location, value: int) -> Edit:
    was = _stated(file, location)
    if was is None:
        return _inserted(file, location, value)
    span = nearest_value(file.text, location)
    if isinstance(was, bool) or not isinstance(was, int | float) or span is None:
        raise file.error(
            f"would become {value}, and the training program fills it in",
            location,
            hint="put a number in its place",
        )
    return Edit(span.start, span.end, str(value))


def _inserted(file: JsonFile, location: Location, value: Any) -> Edit:
    """The value in front of all others of the innermost object that is there."""
    inside = location[:-1]
    holder = _stated(file, inside)
    if not isinstance(holder, dict):
        return _inserted(file, inside, {location[-1]: value})
    span = nearest_value(file.text, inside)
    start = 1 if span is None else span.start + 1
    indent = _INDENT.match(file.text, start)
    gap = indent[0][:-1] if indent else ""
    text = f"{gap}{json.dumps(location[-1])}: {json.dumps(value)}"
    return Edit(start, start, f"{text}{',' if holder else ''}{'' if gap or not holder else ' '}")
