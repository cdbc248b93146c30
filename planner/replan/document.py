"""The JSON document of `planner replan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.plan_document.write_estimate import estimate_fields
from planner.plan_document.write_plan import plan_fields

if TYPE_CHECKING:
    from planner.replan.option import Option
    from planner.replan.replan import Replanned

SCHEMA_ID = "planner/replan/1"


def to_document(found: Replanned, name: str) -> dict[str, Any]:
    """Seconds, tokens per second, shares. `name`: what the user called the plan."""
    damage, before = found.damage, found.before
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "plan": name,
        "lost": list(damage.lost),
        "slow": [
            {"host": one.host, "other": one.other, "factor": one.factor} for one in damage.slow
        ],
        "before": {
            "step_s": before.step_s,
            "tokens_per_s": before.tokens_per_s,
            "nodes": len(found.plan.placement.hosts),
        },
        "left_s": found.left_s,
        "repair_s": found.repair_s,
        "tokens_of_waiting": found.waiting,
        "options": [_option(one) for one in found.options],
        "not_possible": [{"way": one.way, "reason": one.reason} for one in found.no_ways],
        "assumptions": list(found.assumptions),
    }


def _option(one: Option) -> dict[str, Any]:
    estimate = one.moved.estimate
    return {
        "way": one.moved.way,
        "what": one.moved.what,
        "step_s": estimate.step_s,
        "tokens_per_s": estimate.tokens_per_s,
        "share": one.share,
        "global_batch_size": one.moved.scenario.job.global_batch_size,
        "nodes": len(one.moved.plan.placement.hosts),
        "idle_hosts": list(one.idle),
        "checkpoint": one.checkpoint.verdict,
        "checkpoint_reason": one.checkpoint.reason,
        "restart_s": one.restart_s,
        "break_even_s": one.break_even_s,
        "tokens": one.tokens,
        **plan_fields(one.moved.plan),
        "estimate": estimate_fields(estimate),
    }
