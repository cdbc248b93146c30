"""Plan values to the plan document."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.plan import AXES
from planner.plan_document.schema import SCHEMA_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Estimate, Plan, RankedPlan, StageMemory
    from planner.plan_document.inputs import RecordedFile, RecordedInputs, RecordedJob
    from planner.training.search.result import Cloud, Robustness, SearchResult, SizedPlan, Space

TERA = 1e12
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def to_document(
    inputs: RecordedInputs,
    plans: Sequence[RankedPlan],
    *,
    search: SearchResult | None = None,
    why: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of `plans`, in the contract's key order. Without `search` the document is that
    of an estimate and has no "search". `why`: sentences about the plan of rank 1. Times are
    seconds, sizes are integer bytes."""
    document: dict[str, Any] = {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "inputs": {
            "cluster": _stated(inputs.cluster),
            "model": _stated(inputs.model),
            "job": _stated(inputs.job),
            "assumptions": list(inputs.assumptions),
        },
    }
    if search is not None:
        document["search"] = _search(search)
    document["plans"] = [
        {
            "rank": ranked.rank,
            **_tie(ranked),
            **_worst(ranked),
            **plan_fields(ranked.plan),
            **_proofs(ranked),
            **({"why": list(why)} if why and ranked.rank == 1 else {}),
            "estimate": _estimate(ranked.estimate),
        }
        for ranked in plans
    ]
    return document


def _stated(record: RecordedFile | RecordedJob) -> dict[str, Any]:
    """The fields of a record, without optional ones that say nothing."""
    silent = {
        field.name
        for field in fields(record)
        if field.default is None and getattr(record, field.name) is None
    }
    return {name: value for name, value in asdict(record).items() if name not in silent}


def _proofs(ranked: RankedPlan) -> dict[str, Any]:
    """Nothing for a plan that was not searched for."""
    return {"proofs": [asdict(proof) for proof in ranked.proofs]} if ranked.proofs else {}


def _worst(ranked: RankedPlan) -> dict[str, float]:
    """Nothing for a plan that was ranked by its estimate."""
    worst_s = ranked.worst_step_s
    return {} if worst_s is None else {"worst_step_s": worst_s}


def _tie(ranked: RankedPlan) -> dict[str, bool]:
    """Nothing for a plan that was not compared with others."""
    tied = ranked.tied_with_best
    return {} if tied is None else {"tied_with_best": tied}


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
    """Decisions that a document has where they are not the usual ones, or where there is something
    to decide."""
    found: dict[str, Any] = {}
    if plan.dispatcher is not None:
        found |= {"dispatcher": plan.dispatcher, "expert_overlap": plan.expert_overlap}
    return found if plan.shard_over is None else {**found, "shard_over": plan.shard_over}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "step_s": estimate.step_s,
        "tokens_per_s": estimate.tokens_per_s,
        "tokens_per_s_per_device": estimate.tokens_per_s_per_device,
        "model_tflops_per_device": estimate.model_flops_per_device / TERA,
        "mfu": estimate.mfu,
        "time": {field.name: getattr(estimate.time, field.name) for field in fields(estimate.time)},
        "time_detail": dict(estimate.time_detail),
        "memory": _memory(estimate),
        "confidence": confidence_fields(estimate),
        "assumptions": list(estimate.assumptions),
        **_device_groups(estimate),
        **_goodput(estimate),
        **_whole_job(estimate),
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
            "tokens_per_day": estimate.lasting_tokens_per_s * DAY_S,
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
            "device_hours": estimate.devices * job_s / HOUR_S,
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


def _search(result: SearchResult) -> dict[str, Any]:
    return {
        "candidates": result.candidates,
        "fitting": result.fitting,
        "refined": result.refined,
        "proven": result.proven,
        "gap": result.gap,
        "layout_gap": result.layout_gap,
        "placement_gap": result.placement_gap,
        "bound_s": result.bound_s,
        "stopped": result.stopped.value,
        "tied_within": result.tied_within,
        "solver": {
            "programs": result.solver.programs,
            "unanswered": result.solver.unanswered,
            "engines": [asdict(engine) for engine in result.solver.engines],
        },
        **_robust(result.robustness),
        **_fewer_devices(result),
        **_fewer(result.fewer_nodes),
        "space": _space(result.space),
        "nearest": [
            {
                "reason": miss.reason,
                **plan_fields(miss.plan),
                "estimate": _estimate(miss.estimate),
            }
            for miss in result.nearest
        ],
        "changes": [
            {
                "description": change.description,
                **plan_fields(change.plan),
                "estimate": _estimate(change.estimate),
            }
            for change in result.changes
        ],
        **_cloud(result.cloud),
        **_scaling(result.scaling),
    }


def _cloud(cloud: Cloud | None) -> dict[str, Any]:
    """Nothing for a search that was not asked for it."""
    if cloud is None:
        return {}
    columns = {axis: list(values) for axis, values in cloud.axes.items()}
    return {
        "cloud": {
            "step_bound_s": list(cloud.step_bound_s),
            "peak_bytes": list(cloud.peak_bytes),
            **columns,
        }
    }


def _scaling(sized: Sequence[SizedPlan]) -> dict[str, Any]:
    """Nothing for a search that was not asked for it."""
    if not sized:
        return {}
    return {"scaling": [_sized(one) for one in sized]}


def _fewer(sized: SizedPlan | None) -> dict[str, Any]:
    """Nothing where no smaller job was found to be faster."""
    return {} if sized is None else {"fewer_nodes": _sized(sized)}


def _sized(one: SizedPlan) -> dict[str, Any]:
    return {
        "nodes": one.nodes,
        "step_s": one.step_s,
        "tokens_per_s": one.tokens_per_s,
        "reason": one.reason,
        "plan": None if one.plan is None else plan_fields(one.plan),
    }


def _robust(robustness: Robustness | None) -> dict[str, Any]:
    """Nothing for a search that was ranked by estimates."""
    if robustness is None:
        return {}
    link = robustness.link
    costliest = None if link is None else {"hosts": list(link.hosts), "step_s": link.step_s}
    return {"robust": {"share": robustness.share, "link": costliest}}


def _fewer_devices(result: SearchResult) -> dict[str, Any]:
    """Nothing where no device type is better left out."""
    found = [
        {"devices": one.devices, "without": list(one.without), "step_s": one.step_s}
        for one in result.fewer_devices
    ]
    return {"fewer_devices": found} if found else {}


def _space(space: Space) -> dict[str, Any]:
    return {
        "dimensions": [
            {
                "name": dimension.name,
                "values": list(dimension.values),
                "restricted_by_user": dimension.restricted_by_user,
            }
            for dimension in space.dimensions
        ],
        "excluded": [
            {
                "rule": exclusion.rule,
                "sentence": exclusion.sentence,
                "combinations": exclusion.excluded,
            }
            for exclusion in space.exclusions
        ],
    }
