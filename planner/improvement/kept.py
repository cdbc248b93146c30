"""Decisions of a script that a better one keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.importers.deepspeed.statement import SETTINGS
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from planner.importers.launch import LaunchedPlan

SWITCHES = (
    "data_sharding",
    "expert_overlap",
    "dispatch_pieces",
    "optimizer_offload",
    "weight_offload",
    "activation_offload",
)
_OF_THE_CODE = ("schedule", "virtual_stages", "sequence_parallel")
_AXES = ("tensor", "pipeline", "context", "expert", "expert_tensor")
"""What a DeepSpeed configuration leaves to the training code stays as the user says it is."""


def kept_decisions(launched: LaunchedPlan) -> Restrictions:
    """Decisions of the script that are switches of its framework, and stay as they are. Without
    expert parallelism a plan has no dispatcher; its framework has one all the same."""
    plan = launched.plan
    kept = {name: (getattr(plan, name),) for name in SWITCHES}
    if launched.statement.kind == SETTINGS:
        kept |= {name: (getattr(plan, name),) for name in _OF_THE_CODE}
        kept |= {axis: (getattr(plan.degrees, axis),) for axis in _AXES}
        kept["recompute"] = (plan.recompute.granularity,)
        if plan.shard_over is None:
            del kept["data_sharding"]
        else:
            kept["shard_over"] = (plan.shard_over,)
    if launched.scenario.model.moe is not None:
        sends_by = launched.scenario.job.software.expert.sends_by
        kept["dispatcher"] = (launched.plan.dispatcher or sends_by,)
    return Restrictions(**kept)
