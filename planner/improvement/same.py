"""Whether a changed script says the plan that was meant, of the same job."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from planner.importers.launch import LaunchedPlan
    from planner.plan import Plan

_OF_THE_JOB = (
    "devices",
    "global_batch_size",
    "seq_length",
    "precision",
    "optimizer",
    "headroom",
)
_DECIDED = "recompute"
"""The part of a profile that states modules to recompute, which follow from the plan."""
_OF_THE_PLAN = (
    "degrees",
    "micro_batch_size",
    "num_microbatches",
    "virtual_stages",
    "schedule",
    "sequence_parallel",
    "data_sharding",
    "recompute",
    "stages",
)


def what_else_changed(
    before: LaunchedPlan, after: LaunchedPlan, meant: Plan, *, follows: Collection[str] = ()
) -> str | None:
    """The first field of the job that is another than before, or of the plan that is not as meant;
    None where all are. Hosts are those that the script takes in any case. `follows`: parts of the
    profile that the plan decides."""
    job, was = after.scenario.job, before.scenario.job
    for name in _OF_THE_JOB:
        if getattr(job, name) != getattr(was, name):
            return name
    software, switched = job.software, was.software
    for name in type(software).model_fields:
        if name not in (_DECIDED, *follows) and getattr(software, name) != getattr(switched, name):
            return f"software {name}"
    models = (replace(one.scenario.model, source=None, assumptions=()) for one in (before, after))
    if len(set(map(repr, models))) > 1:
        return "model"
    return next(
        (name for name in _OF_THE_PLAN if getattr(after.plan, name) != getattr(meant, name)), None
    )
