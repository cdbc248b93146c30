"""JSON Schema of the account that a plan document gives of its search."""

from __future__ import annotations

from planner.budget import Stopped
from planner.plan import DATA_SHARDINGS, DISPATCHERS, GRANULARITIES
from planner.plan_document.schema_parts import (
    COUNT,
    FLAG,
    HOST,
    NUMBER,
    ONLY_WHERE_CHOSEN,
    PART,
    POSITIVE,
    SECONDS,
    SELDOM,
    TEXT,
    Schema,
    choice,
    decisions,
    list_of,
    record,
    ref,
)

RANK_BY = ("step", "goodput", "cost")

CLOUD_AXES = (
    "pipeline",
    "tensor",
    "context",
    "data",
    "expert",
    "expert_tensor",
    "micro_batch_size",
    "sequence_parallel",
    "virtual_stages",
    "schedule",
    "recompute",
    "data_sharding",
)
"""The columns of a cloud that say which combination it is."""

_AXIS_VALUES: dict[str, Schema] = {
    "sequence_parallel": FLAG,
    "schedule": TEXT,
    "recompute": {"type": "string", "enum": list(GRANULARITIES)},
    "data_sharding": {"type": "string", "enum": list(DATA_SHARDINGS)},
    "dispatcher": {"type": "string", "enum": list(DISPATCHERS)},
    "expert_overlap": FLAG,
    "dispatch_pieces": POSITIVE,
    "shard_over": {"anyOf": [{"const": "all"}, {"type": "integer", "minimum": 1}]},
    "optimizer_offload": PART,
    "weight_offload": FLAG,
    "activation_offload": PART,
}


def _solver() -> Schema:
    engine = record(
        {
            "name": TEXT,
            "version": {"type": ["string", "null"]},
            "answered": COUNT,
            "passed_over": {
                "description": "Why it was not asked any more.",
                "type": ["string", "null"],
            },
        }
    )
    return {
        "description": "The integer programs, how many of them no engine answered, and who was "
        "asked.",
        **record({"programs": COUNT, "unanswered": COUNT, "engines": list_of(engine)}),
    }


def search_schema() -> Schema:
    dimension = record(
        {
            "name": TEXT,
            "values": list_of({"type": ["number", "string", "boolean"]}),
            "restricted_by_user": FLAG,
        }
    )
    exclusion = record({"rule": TEXT, "sentence": TEXT, "combinations": COUNT})
    return record(
        {
            "candidates": COUNT,
            "fitting": COUNT,
            "refined": COUNT,
            "proven": {
                "description": "No plan is better under the model, or none fits: the gap is 0.",
                **FLAG,
            },
            "gap": {
                "description": "No plan with other degrees, layouts or hosts is faster than those "
                "listed by more than this share: the largest of the three gaps below.",
                **NUMBER,
            },
            "best_gap": {
                "description": "No plan with other degrees, layouts or hosts is faster than the "
                "best one listed by more than this share.",
                **NUMBER,
            },
            "gap_from": {
                "description": "The decision that the gap comes from; null without a gap.",
                "enum": ["combination", "modules", "layout", "placement", None],
            },
            "combination_gap": {
                "description": "No combination of degrees that was left out is faster than the "
                "slowest plan listed by more than this share, with the layouts that were tried.",
                **NUMBER,
            },
            "layout_gap": {
                "description": "No layout that was not chosen is faster than the slowest plan "
                "listed by more than this share.",
                **NUMBER,
            },
            "placement_gap": {
                "description": "No other hosts make a listed plan faster than by this share.",
                **NUMBER,
            },
            "bound_s": {"type": ["number", "null"], "minimum": 0},
            "stopped": choice(*(one.value for one in Stopped)),
            "tied_within": {
                "description": "Plans less than this share slower than the best are tied with it.",
                **NUMBER,
            },
            "solver": _solver(),
            "robust": record(
                {
                    "share": NUMBER,
                    "link": {
                        "description": "The link between two hosts that costs the winner most "
                        "when it alone is half as fast, and the step then.",
                        "anyOf": [
                            record({"hosts": list_of(HOST), "step_s": SECONDS}),
                            {"type": "null"},
                        ],
                    },
                }
            ),
            "ranked": {
                "description": "Where plans were ranked by another objective than the step, or "
                "within limits: the value of every plan listed (seconds of the step, seconds with "
                "failures, or money a step), and a lower bound of all others. Null: no limit, no "
                "other plan.",
                **record(
                    {
                        "by": choice(*RANK_BY),
                        **{
                            key: {"type": ["number", "null"], "minimum": 0}
                            for key in ("at_least", "step_budget", "job_budget", "bound")
                        },
                        "values": list_of(NUMBER),
                    }
                ),
            },
            "nodes": {
                "description": "Where all nodes are alike, or fewer are faster, so that plans may "
                "leave some idle: the nodes given, how many smaller numbers have a combination, on "
                "how many of these plans were looked for (no other can be faster), and what the "
                "best plan leaves idle.",
                **record(
                    {
                        "given": POSITIVE,
                        "others": COUNT,
                        "opened": COUNT,
                        "idle_hosts": list_of(HOST),
                    }
                ),
            },
            "switches": {
                "description": "What overlaps that a framework switches together are worth to the "
                "best plan: whether they are on, and the step with them over that without.",
                **list_of(record({"overlap": list_of(TEXT), "on": FLAG, "ratio": NUMBER})),
            },
            "near_batches": {
                "description": "Plans with a slightly smaller or larger global batch that train "
                "more tokens a second.",
                **list_of(
                    record(
                        {
                            "global_batch_size": POSITIVE,
                            "nodes": POSITIVE,
                            "step_s": SECONDS,
                            "tokens_per_s": NUMBER,
                            "plan": record(decisions(), optional=ONLY_WHERE_CHOSEN),
                        }
                    )
                ),
            },
            "fewer_devices": {
                "description": "On mixed devices, faster plans without some of the types.",
                **list_of(
                    record({"devices": POSITIVE, "without": list_of(TEXT), "step_s": SECONDS})
                ),
            },
            "space": record({"dimensions": list_of(dimension), "excluded": list_of(exclusion)}),
            "nearest": list_of(
                record(
                    {"reason": TEXT, **decisions(), "estimate": ref("estimate")},
                    optional=ONLY_WHERE_CHOSEN,
                )
            ),
            "changes": list_of(_change()),
            "modules": {
                "description": "The best plan with other modules computed again, and offloaded, "
                "where that is faster, and the options that say so.",
                **_change(),
            },
            "fewer_nodes": {
                "description": "A plan on fewer nodes that is faster than the best on all of them.",
                **record(_sized()),
            },
            "needs_offloading": {
                "description": "Nothing fits without offloading, and the plans have some.",
                **FLAG,
            },
            "cloud": _cloud(),
            "scaling": {
                "description": "The best plan on other numbers of nodes, or why there is none.",
                **list_of(record(_sized())),
            },
        },
        optional=(
            "best_gap",
            "gap_from",
            "combination_gap",
            "robust",
            "ranked",
            "nodes",
            "switches",
            "modules",
            "near_batches",
            "fewer_devices",
            "fewer_nodes",
            "needs_offloading",
            "cloud",
            "scaling",
        ),
    )


def _change() -> Schema:
    return record(
        {"description": TEXT, **decisions(), "estimate": ref("estimate")},
        optional=ONLY_WHERE_CHOSEN,
    )


def _sized() -> Schema:
    return {
        "nodes": POSITIVE,
        "step_s": {"type": ["number", "null"], "minimum": 0},
        "tokens_per_s": {"type": ["number", "null"], "minimum": 0},
        "reason": {"type": ["string", "null"]},
        "plan": {"anyOf": [{"type": "null"}, record(decisions(), optional=ONLY_WHERE_CHOSEN)]},
    }


def _cloud() -> Schema:
    columns = {
        "step_bound_s": list_of(SECONDS),
        "peak_bytes": list_of(COUNT),
        **{axis: list_of(_AXIS_VALUES.get(axis, POSITIVE)) for axis in (*CLOUD_AXES, *SELDOM)},
    }
    return {
        "description": "Every combination that fits, in columns of one length: what its step takes "
        "at least and the peak of the stage with the least room. Both are of the usual stage "
        "layout; where nodes differ, the first is of every layout. No modules are chosen.",
        **record(columns, optional=SELDOM),
    }
