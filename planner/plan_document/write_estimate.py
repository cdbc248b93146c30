"""An estimate in the plan document."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from planner.plan_document.schema_estimate import SPENT, TIME_ONLY_WHERE_SPENT

if TYPE_CHECKING:
    from planner.plan import Estimate, StageMemory

TERA = 1e12


def estimate_fields(estimate: Estimate) -> dict[str, Any]:
    return {
        "step_s": estimate.step_s,
        "tokens_per_s": estimate.tokens_per_s,
        "tokens_per_s_per_device": estimate.tokens_per_s_per_device,
        "model_tflops_per_device": estimate.model_flops_per_device / TERA,
        "mfu": estimate.mfu,
        "time": {
            name: seconds
            for name, seconds in asdict(estimate.time).items()
            if seconds or name not in TIME_ONLY_WHERE_SPENT
        },
        "time_detail": dict(estimate.time_detail),
        "memory": _memory(estimate),
        "confidence": confidence_fields(estimate),
        "assumptions": list(estimate.assumptions),
        **_device_groups(estimate),
        **_goodput(estimate),
        **_whole_job(estimate),
        **_spending(estimate),
    }


def _device_groups(estimate: Estimate) -> dict[str, Any]:
    """Nothing where all devices are of one type."""
    groups = [
        {
            "stages": [group.first_stage, group.last_stage],
            "devices": list(group.devices),
            "hosts": list(group.hosts),
        }
        for group in estimate.device_groups
    ]
    return {"device_groups": groups} if groups else {}


def _goodput(estimate: Estimate) -> dict[str, Any]:
    """Nothing where nothing is known of failures."""
    known = estimate.goodput
    if known is None:
        return {}
    return {
        "goodput": {
            "share": known.share,
            "available": known.available,
            "tokens_per_day": estimate.tokens_per_day,
            "between_failures_s": known.between_failures_s,
            "restart_s": known.restart_s,
            "checkpoint": {
                "bytes": known.checkpoint_bytes,
                "stall_s": known.stall_s,
                "interval_s": known.interval_s,
            },
            "spares": {
                "needed": known.spares_needed,
                "given": known.spares,
                "chance": known.chance,
            },
        }
    }


def _whole_job(estimate: Estimate) -> dict[str, Any]:
    """Nothing where nobody says how many tokens the job has."""
    job_s = estimate.job_s
    if job_s is None:
        return {}
    low_s, high_s = estimate.job_range_s
    return {
        "whole_job": {
            "tokens": estimate.tokens,
            "wall_s": job_s,
            "low_s": low_s,
            "high_s": high_s,
            "device_hours": estimate.device_hours,
        }
    }


def _spending(estimate: Estimate) -> dict[str, Any]:
    """Nothing where nothing is known of prices and power."""
    known = estimate.spending
    if known is None:
        return {}
    spent = {"step": estimate.step_spent, "whole_job": estimate.job_spent}
    return {
        "spending": {
            **asdict(known),
            **{
                name: dict(zip(SPENT, map(asdict, amounts), strict=True))
                for name, amounts in spent.items()
                if amounts is not None
            },
        }
    }


def confidence_fields(estimate: Estimate) -> dict[str, Any] | None:
    """Between which seconds of a step and which bytes of the binding stage's device peak the
    measured ones are expected; None for an estimate that does not say."""
    known = estimate.confidence
    if known is None:
        return None
    step_s = known.step.around(estimate.step_s)
    peak_bytes = known.memory.around(estimate.memory.binding.peak_bytes)
    return {
        "step_s": {"low": step_s[0], "high": step_s[1], "level": known.level},
        "memory_peak_bytes": {
            "low": round(peak_bytes[0]),
            "high": round(peak_bytes[1]),
            "level": known.level,
        },
        "notes": list(known.notes),
        **({} if known.evidence is None else {"evidence": asdict(known.evidence)}),
    }


def _memory(estimate: Estimate) -> dict[str, Any]:
    """`peak_bytes` and `capacity_bytes` are those of the binding stage: on a mixed cluster the
    fullest device is not always the one with the least room."""
    memory, binding = estimate.memory, estimate.memory.binding
    return {
        "fits": memory.fits,
        "fit_class": estimate.fit_class,
        "peak_bytes": binding.peak_bytes,
        "capacity_bytes": binding.capacity_bytes,
        "binding_stage": binding.stage,
        "per_stage": [_stage_memory(stage) for stage in memory.per_stage],
        **({} if memory.host is None else {"host": asdict(memory.host)}),
    }


def _stage_memory(stage: StageMemory) -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "peak_bytes": stage.peak_bytes,
        "peak_phase": stage.peak_phase,
        "allocated_peak_bytes": stage.allocated_peak_bytes,
        "reserved_peak_bytes": stage.reserved_peak_bytes,
        "device_peak_bytes": stage.device_peak_bytes,
        "capacity_bytes": stage.capacity_bytes,
        "headroom_bytes": stage.headroom_bytes,
        "components": {
            field.name: getattr(stage.components, field.name) for field in fields(stage.components)
        },
        **_other_peak(stage),
    }


def _other_peak(stage: StageMemory) -> dict[str, Any]:
    """Nothing where it is not known."""
    other = stage.other_components
    if other is None:
        return {}
    return {
        "other_peak": {
            "phase": stage.other_phase,
            "peak_bytes": other.total_bytes,
            "components": asdict(other),
        }
    }
