"""JSON Schema (draft 2020-12) of the plan document."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from planner.budget import Stopped
from planner.plan import (
    AXES,
    DATA_SHARDINGS,
    DISPATCHERS,
    FIT_CLASSES,
    GRANULARITIES,
    PEAK_PHASES,
    PRECISIONS,
    Evidence,
    MemoryComponents,
    TimeBreakdown,
)
from planner.specs.job import OPTIMIZERS
from planner.specs.names import HOST_PATTERN, NAME_PATTERN

SCHEMA_ID = "planner/plans/1"

Schema = dict[str, Any]

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

COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
SECONDS: Schema = {"type": "number", "minimum": 0}
NUMBER: Schema = {"type": "number", "minimum": 0}
SHARE: Schema = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
TEXT: Schema = {"type": "string"}
HOST: Schema = {"type": "string", "pattern": f"^{HOST_PATTERN}$"}
NAME: Schema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
FLAG: Schema = {"type": "boolean"}

_AXIS_VALUES: dict[str, Schema] = {
    "dispatcher": {"type": "string", "enum": list(DISPATCHERS)},
    "expert_overlap": FLAG,
    "sequence_parallel": FLAG,
    "schedule": TEXT,
    "recompute": {"type": "string", "enum": list(GRANULARITIES)},
    "data_sharding": {"type": "string", "enum": list(DATA_SHARDINGS)},
    "shard_over": {"anyOf": [{"const": "all"}, {"type": "integer", "minimum": 2}]},
}


def plan_schema() -> Schema:
    """The schema document itself; every plan document validates against it."""
    tied = {
        "description": "Too close to the plan of rank 1 to tell which is faster.",
        **FLAG,
    }
    proof = {
        "description": "How far from the best a decision of the plan may be, the others as they "
        "are: no other takes less than 1 − gap of the step.",
        **_record(
            {
                "decision": _choice("placement", "stage layout"),
                "gap": {"type": ["number", "null"], "minimum": 0},
                "method": TEXT,
                "gain": {
                    "description": "How much longer the step takes with the framework's own "
                    "choice; null: that was not priced.",
                    "type": ["number", "null"],
                    "minimum": 0,
                },
            }
        ),
    }
    ranked = _record(
        {
            "rank": POSITIVE,
            "tied_with_best": tied,
            "worst_step_s": {
                "description": "The step in the worst case that plans were ranked by.",
                **SECONDS,
            },
            **_plan(),
            "proofs": _list(proof),
            "why": {
                "description": "Why the plan of rank 1 is the best, a sentence each.",
                **_list(TEXT),
            },
            "estimate": _ref("estimate"),
        },
        optional=("tied_with_best", "worst_step_s", "proofs", "why", *ONLY_WHERE_CHOSEN),
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:planner:plans:1",
        "title": "planner plan document",
        "description": "Ranked plans with their estimates. Times are seconds, sizes are bytes.",
        **_record(
            {
                "schema": {"const": SCHEMA_ID},
                "planner_version": TEXT,
                "inputs": _inputs(),
                "search": _search(),
                "plans": _list(ranked),
            },
            optional=("search",),
        ),
        "$defs": {"estimate": _estimate(), "memory": _memory()},
    }


def _record(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _choice(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _inputs() -> Schema:
    sha256 = {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"}
    path = {
        "type": "string",
        "description": "The file as it was given, from the folder the command ran in; absent for "
        "a shipped one.",
    }
    file = _record({"name": NAME, "sha256": sha256, "path": path}, optional=("path",))
    job = _record(
        {
            "devices": POSITIVE,
            "global_batch_size": POSITIVE,
            "seq_length": POSITIVE,
            "precision": _choice(*PRECISIONS),
            "optimizer": _choice(*OPTIMIZERS),
            "software": NAME,
            "software_sha256": sha256,
            "headroom": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            "expert_imbalance": {"type": "number", "minimum": 1},
            "software_path": path,
            "tokens": {"description": "Of the whole job.", **POSITIVE},
        },
        optional=("software_path", "tokens"),
    )
    return _record({"cluster": file, "model": file, "job": job, "assumptions": _list(TEXT)})


def _plan() -> Schema:
    chunk = {"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2}
    return {
        "degrees": _record(dict.fromkeys(AXES, POSITIVE), optional=("expert_tensor",)),
        "micro_batch_size": POSITIVE,
        "num_microbatches": POSITIVE,
        "schedule": TEXT,
        "virtual_stages": POSITIVE,
        "sequence_parallel": FLAG,
        "data_sharding": _choice(*DATA_SHARDINGS),
        "recompute": _record(
            {"granularity": _choice(*GRANULARITIES), "layers_per_stage": _list(COUNT, minItems=1)}
        ),
        "stages": _list(
            _record(
                {
                    "index": COUNT,
                    "chunks": _list(chunk, minItems=1),
                    "embedding": FLAG,
                    "head": FLAG,
                }
            ),
            minItems=1,
        ),
        "placement": _record(
            {"order": TEXT, "hosts": _list(HOST, minItems=1), "ranks": TEXT},
        ),
        "dispatcher": {
            "description": "What carries tokens to their experts.",
            **_choice(*DISPATCHERS),
        },
        "expert_overlap": {
            "description": "Exchanges of experts run beside the computation of another microbatch.",
            **FLAG,
        },
        "shard_over": {
            "description": "Ranks of data · context among which what is sharded is divided. "
            "Missing: all of them.",
            "type": "integer",
            "minimum": 2,
        },
    }


ONLY_WHERE_CHOSEN = ("dispatcher", "expert_overlap", "shard_over")
"""Decisions that a document has where they are not the usual ones."""


def _estimate() -> Schema:
    return _record(
        {
            "step_s": SECONDS,
            "tokens_per_s": NUMBER,
            "tokens_per_s_per_device": NUMBER,
            "model_tflops_per_device": NUMBER,
            "mfu": NUMBER,
            "time": {
                "description": "Exposed seconds on the critical path; they add up to step_s.",
                **_record({field.name: SECONDS for field in fields(TimeBreakdown)}),
            },
            "time_detail": {
                "description": "Seconds that do not add up: hidden behind something else.",
                "type": "object",
                "additionalProperties": {"type": "number"},
            },
            "memory": _ref("memory"),
            "confidence": _confidence(),
            "assumptions": _list(TEXT),
            "device_groups": {
                "description": "Where devices are of several types: the first and the last of "
                "neighbouring stages on the same types, these types and the hosts.",
                **_list(
                    _record(
                        {
                            "stages": _list(COUNT, minItems=2, maxItems=2),
                            "devices": _list(TEXT, minItems=1),
                            "hosts": _list(HOST, minItems=1),
                        }
                    )
                ),
            },
            "goodput": _goodput(),
            "whole_job": _whole_job(),
        },
        optional=("device_groups", "goodput", "whole_job"),
    )


def _goodput() -> Schema:
    checkpoint = _record({"bytes": COUNT, "stall_s": SECONDS, "interval_s": SECONDS})
    spares = {
        "needed": {
            "description": "So that one is at hand with this chance; null: nothing says how long a "
            "repair takes.",
            "type": ["integer", "null"],
            "minimum": 0,
        },
        "given": COUNT,
        "chance": SHARE,
    }
    return {
        "description": "Where the cluster says how often it fails: the share of wall time that is "
        "progress, and what it comes from.",
        **_record(
            {
                "share": NUMBER,
                "tokens_per_day": NUMBER,
                "between_failures_s": SECONDS,
                "restart_s": SECONDS,
                "checkpoint": checkpoint,
                "spares": _record(spares),
            }
        ),
    }


def _whole_job() -> Schema:
    return {
        "description": "Where the tokens of the job are known: how long it takes, with failures "
        "where they are known, and with the range of the step.",
        **_record(
            {
                "tokens": POSITIVE,
                "wall_s": SECONDS,
                "low_s": SECONDS,
                "high_s": SECONDS,
                "device_hours": NUMBER,
            }
        ),
    }


def _confidence() -> Schema:
    def between(what: Schema) -> Schema:
        return _record({"low": what, "high": what, "level": SHARE})

    return {
        "description": "Ranges that hold the measured value with the stated probability; the "
        "memory is the device peak of the binding stage. Null: nothing is known.",
        "anyOf": [
            {"type": "null"},
            _record(
                {
                    "step_s": between(SECONDS),
                    "memory_peak_bytes": between(COUNT),
                    "notes": _list(TEXT),
                    "evidence": {
                        "description": "How many measured step times and memory peaks the ranges "
                        "rest on: steps_alike of this kind of job, device_peaks of the whole "
                        "device.",
                        **_record({one.name: COUNT for one in fields(Evidence)}),
                    },
                },
                optional=("evidence",),
            ),
        ],
    }


def _memory() -> Schema:
    components = _record({field.name: COUNT for field in fields(MemoryComponents)})
    stage = _record(
        {
            "stage": COUNT,
            "peak_bytes": COUNT,
            "peak_phase": _choice(*PEAK_PHASES),
            "allocated_peak_bytes": COUNT,
            "reserved_peak_bytes": COUNT,
            "device_peak_bytes": COUNT,
            "capacity_bytes": COUNT,
            "headroom_bytes": COUNT,
            "components": {
                "description": "Bytes at the instant of the peak; they add up to peak_bytes.",
                **components,
            },
            "other_peak": {
                "description": "The fullest instant of the phase that the peak is not in.",
                **_record(
                    {
                        "phase": _choice(*PEAK_PHASES),
                        "peak_bytes": COUNT,
                        "components": components,
                    }
                ),
            },
        },
        optional=("other_peak",),
    )
    return _record(
        {
            "fits": FLAG,
            "fit_class": _choice(*FIT_CLASSES),
            "peak_bytes": COUNT,
            "capacity_bytes": COUNT,
            "binding_stage": COUNT,
            "per_stage": _list(stage, minItems=1),
        }
    )


def _solver() -> Schema:
    engine = _record(
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
        **_record({"programs": COUNT, "unanswered": COUNT, "engines": _list(engine)}),
    }


def _search() -> Schema:
    dimension = _record(
        {
            "name": TEXT,
            "values": _list({"type": ["integer", "string", "boolean"]}),
            "restricted_by_user": FLAG,
        }
    )
    exclusion = _record({"rule": TEXT, "sentence": TEXT, "combinations": COUNT})
    return _record(
        {
            "candidates": COUNT,
            "fitting": COUNT,
            "refined": COUNT,
            "proven": {
                "description": "No plan is better under the model, or none fits: there is no gap "
                "of any kind.",
                **FLAG,
            },
            "gap": NUMBER,
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
            "stopped": _choice(*(one.value for one in Stopped)),
            "tied_within": {
                "description": "Plans less than this share slower than the best are tied with it.",
                **NUMBER,
            },
            "solver": _solver(),
            "robust": _record(
                {
                    "share": NUMBER,
                    "link": {
                        "description": "The link between two hosts that costs the winner most "
                        "when it alone is half as fast, and the step then.",
                        "anyOf": [
                            _record({"hosts": _list(HOST), "step_s": SECONDS}),
                            {"type": "null"},
                        ],
                    },
                }
            ),
            "fewer_devices": {
                "description": "On mixed devices, faster plans without some of the types.",
                **_list(_record({"devices": POSITIVE, "without": _list(TEXT), "step_s": SECONDS})),
            },
            "space": _record({"dimensions": _list(dimension), "excluded": _list(exclusion)}),
            "nearest": _list(
                _record(
                    {"reason": TEXT, **_plan(), "estimate": _ref("estimate")},
                    optional=ONLY_WHERE_CHOSEN,
                )
            ),
            "changes": _list(
                _record(
                    {"description": TEXT, **_plan(), "estimate": _ref("estimate")},
                    optional=ONLY_WHERE_CHOSEN,
                )
            ),
            "fewer_nodes": {
                "description": "A plan on fewer nodes that is faster than the best on all of them.",
                **_record(_sized()),
            },
            "cloud": _cloud(),
            "scaling": {
                "description": "The best plan on other numbers of nodes, or why there is none.",
                **_list(_record(_sized())),
            },
        },
        optional=("robust", "fewer_devices", "fewer_nodes", "cloud", "scaling"),
    )


def _sized() -> Schema:
    return {
        "nodes": POSITIVE,
        "step_s": {"type": ["number", "null"], "minimum": 0},
        "tokens_per_s": {"type": ["number", "null"], "minimum": 0},
        "reason": {"type": ["string", "null"]},
        "plan": {"anyOf": [{"type": "null"}, _record(_plan(), optional=ONLY_WHERE_CHOSEN)]},
    }


def _cloud() -> Schema:
    columns = {
        "step_bound_s": _list(SECONDS),
        "peak_bytes": _list(COUNT),
        **{
            axis: _list(_AXIS_VALUES.get(axis, POSITIVE))
            for axis in (*CLOUD_AXES, *ONLY_WHERE_CHOSEN)
        },
    }
    return {
        "description": "Every combination that fits, in columns of one length: what its step takes "
        "at least and the peak of the stage with the least room. Both are of the usual stage "
        "layout; where nodes differ, the first is of every layout.",
        **_record(columns, optional=ONLY_WHERE_CHOSEN),
    }
