"""The decisions of a plan in the plan document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.plan import AXES
from planner.plan_document.schema_parts import MODULES

if TYPE_CHECKING:
    from planner.plan import Plan


def plan_fields(plan: Plan) -> dict[str, Any]:
    """The decisions of a plan, without what it costs."""
    return {
        "degrees": {axis: getattr(plan.degrees, axis) for axis in AXES},
        "micro_batch_size": plan.micro_batch_size,
        "num_microbatches": plan.num_microbatches,
        "schedule": plan.schedule,
        "virtual_stages": plan.virtual_stages,
        "sequence_parallel": plan.sequence_parallel,
        "data_sharding": plan.data_sharding,
        "recompute": {
            "granularity": plan.recompute.granularity,
            "layers_per_stage": list(plan.recompute.layers_per_stage),
        },
        "stages": [
            {
                "index": stage.index,
                "chunks": [list(chunk) for chunk in stage.chunks],
                "embedding": stage.embedding,
                "head": stage.head,
            }
            for stage in plan.stages
        ],
        "placement": {
            "order": plan.placement.order,
            "hosts": list(plan.placement.hosts),
            "ranks": plan.placement.ranks,
        },
        **_only_where_chosen(plan),
    }


def _only_where_chosen(plan: Plan) -> dict[str, Any]:
    """Decisions that a document has where they are not the usual ones."""
    experts = {"dispatcher": plan.dispatcher, "expert_overlap": plan.expert_overlap}
    return {
        **({} if plan.dispatcher is None else experts),
        **({} if plan.dispatch_pieces == 1 else {"dispatch_pieces": plan.dispatch_pieces}),
        **({} if plan.shard_over is None else {"shard_over": plan.shard_over}),
        **({"optimizer_offload": plan.optimizer_offload} if plan.optimizer_offload else {}),
        **({"weight_offload": True} if plan.weight_offload else {}),
        **({"activation_offload": plan.activation_offload} if plan.activation_offload else {}),
        **{
            name: list(chosen)
            for name in MODULES
            for chosen in (getattr(plan, name),)
            if chosen is not None
        },
    }
