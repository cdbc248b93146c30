"""The account of a search in the plan document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from planner.plan_document.write_estimate import estimate_fields
from planner.plan_document.write_plan import plan_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.training.search.result import (
        Change,
        Cloud,
        NodeCounts,
        RankedBy,
        Robustness,
        SearchResult,
        SizedPlan,
        Space,
    )


def search_fields(result: SearchResult) -> dict[str, Any]:
    return {
        "candidates": result.candidates,
        "fitting": result.fitting,
        "refined": result.refined,
        "proven": result.proven,
        "gap": result.gap,
        "best_gap": result.best_gap,
        "gap_from": result.gap_from,
        "combination_gap": result.combination_gap,
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
        **_ranked(result.ranked),
        **_nodes(result.nodes),
        **_near_batches(result),
        **_switches(result),
        **_modules(result),
        **_fewer_devices(result),
        **_fewer(result.fewer_nodes),
        **({"needs_offloading": True} if result.needs_offloading else {}),
        "space": _space(result.space),
        "nearest": [
            {
                "reason": miss.reason,
                **plan_fields(miss.plan),
                "estimate": estimate_fields(miss.estimate),
            }
            for miss in result.nearest
        ],
        "changes": [_change(change) for change in result.changes],
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


def _ranked(ranked: RankedBy | None) -> dict[str, Any]:
    """Nothing for a search by the step without limits."""
    if ranked is None:
        return {}
    known = {name: one for name, one in asdict(ranked).items() if name != "closest"}
    return {"ranked": {**known, "values": list(ranked.values)}}


def _robust(robustness: Robustness | None) -> dict[str, Any]:
    """Nothing for a search that was ranked by estimates."""
    if robustness is None:
        return {}
    link = robustness.link
    costliest = None if link is None else {"hosts": list(link.hosts), "step_s": link.step_s}
    return {"robust": {"share": robustness.share, "link": costliest}}


def _nodes(counts: NodeCounts | None) -> dict[str, Any]:
    """Nothing where every plan takes all nodes."""
    if counts is None:
        return {}
    return {"nodes": {**asdict(counts), "idle_hosts": list(counts.idle_hosts)}}


def _switches(result: SearchResult) -> dict[str, Any]:
    """Nothing where the framework has no overlap to switch."""
    found = [
        {"overlap": list(one.overlap), "on": one.on, "ratio": 1 + one.share}
        for one in result.switches
    ]
    return {"switches": found} if found else {}


def _modules(result: SearchResult) -> dict[str, Any]:
    """Nothing where the best plan does best as it is."""
    return {} if result.modules is None else {"modules": _change(result.modules)}


def _change(change: Change) -> dict[str, Any]:
    return {
        "description": change.description,
        **plan_fields(change.plan),
        "estimate": estimate_fields(change.estimate),
    }


def _near_batches(result: SearchResult) -> dict[str, Any]:
    """Nothing where the job's own batch is as good as those close to it."""
    found = [
        {
            "global_batch_size": one.global_batch_size,
            "nodes": one.nodes,
            "step_s": one.step_s,
            "tokens_per_s": one.tokens_per_s,
            "plan": plan_fields(one.plan),
        }
        for one in result.near_batches
    ]
    return {"near_batches": found} if found else {}


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
