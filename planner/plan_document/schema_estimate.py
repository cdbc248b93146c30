"""JSON Schema of an estimate in a plan document."""

from __future__ import annotations

from dataclasses import fields

from planner.plan import FIT_CLASSES, PEAK_PHASES, Evidence, MemoryComponents, TimeBreakdown
from planner.plan_document.schema_parts import (
    COUNT,
    FLAG,
    HOST,
    NUMBER,
    POSITIVE,
    SECONDS,
    SHARE,
    TEXT,
    Schema,
    choice,
    list_of,
    record,
    ref,
)

SPENT = ("expected", "low", "high")
"""What is spent, and between what the range of the step makes of it."""

TIME_ONLY_WHERE_SPENT = ("offload_s",)
"""Parts of a step that a document has where they take any time."""


def estimate_schema() -> Schema:
    return record(
        {
            "step_s": SECONDS,
            "tokens_per_s": NUMBER,
            "tokens_per_s_per_device": NUMBER,
            "model_tflops_per_device": NUMBER,
            "mfu": NUMBER,
            "time": {
                "description": "Exposed seconds on the critical path; they add up to step_s.",
                **record(
                    {field.name: SECONDS for field in fields(TimeBreakdown)},
                    optional=TIME_ONLY_WHERE_SPENT,
                ),
            },
            "time_detail": {
                "description": "Seconds that do not add up: hidden behind something else.",
                "type": "object",
                "additionalProperties": {"type": "number"},
            },
            "memory": ref("memory"),
            "confidence": _confidence(),
            "assumptions": list_of(TEXT),
            "device_groups": {
                "description": "Where devices are of several types: the first and the last of "
                "neighbouring stages on the same types, these types and the hosts.",
                **list_of(
                    record(
                        {
                            "stages": list_of(COUNT, minItems=2, maxItems=2),
                            "devices": list_of(TEXT, minItems=1),
                            "hosts": list_of(HOST, minItems=1),
                        }
                    )
                ),
            },
            "goodput": _goodput(),
            "whole_job": _whole_job(),
            "spending": _spending(),
        },
        optional=("device_groups", "goodput", "whole_job", "spending"),
    )


def _goodput() -> Schema:
    checkpoint = record({"bytes": COUNT, "stall_s": SECONDS, "interval_s": SECONDS})
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
        **record(
            {
                "share": NUMBER,
                "available": SHARE,
                "tokens_per_day": NUMBER,
                "between_failures_s": SECONDS,
                "restart_s": SECONDS,
                "checkpoint": checkpoint,
                "spares": record(spares),
            },
            optional=("available",),
        ),
    }


def _whole_job() -> Schema:
    return {
        "description": "Where the tokens of the job are known: how long it takes, with failures "
        "where they are known, and with the range of the step.",
        **record(
            {
                "tokens": POSITIVE,
                "wall_s": SECONDS,
                "low_s": SECONDS,
                "high_s": SECONDS,
                "device_hours": NUMBER,
            }
        ),
    }


def _spending() -> Schema:
    amount = {"type": ["number", "null"], "minimum": 0}
    spent = record({"price": amount, "energy_kwh": amount, "carbon_kg": amount})
    range_of = record(dict.fromkeys(SPENT, spent))
    return {
        "description": "Where the cluster states prices or power: what all devices of the plan "
        "cost, and what that makes of a step and of the whole job. Null: the cluster does not say.",
        **record(
            {
                "currency": {"type": ["string", "null"]},
                "devices_per_hour": amount,
                "egress_per_step": NUMBER,
                "power_w": amount,
                "carbon_g_per_kwh": amount,
                "tariff_per_kwh": amount,
                "step": range_of,
                "whole_job": range_of,
            },
            optional=("whole_job",),
        ),
    }


def _confidence() -> Schema:
    def between(what: Schema) -> Schema:
        return record({"low": what, "high": what, "level": SHARE})

    return {
        "description": "Ranges that hold the measured value with the stated probability; the "
        "memory is the device peak of the binding stage. Null: nothing is known.",
        "anyOf": [
            {"type": "null"},
            record(
                {
                    "step_s": between(SECONDS),
                    "memory_peak_bytes": between(COUNT),
                    "notes": list_of(TEXT),
                    "evidence": {
                        "description": "How many measured step times and memory peaks the ranges "
                        "rest on: steps_alike of this kind of job, device_peaks of the whole "
                        "device.",
                        **record({one.name: COUNT for one in fields(Evidence)}),
                    },
                },
                optional=("evidence",),
            ),
        ],
    }


def memory_schema() -> Schema:
    components = record({field.name: COUNT for field in fields(MemoryComponents)})
    stage = record(
        {
            "stage": COUNT,
            "peak_bytes": COUNT,
            "peak_phase": choice(*PEAK_PHASES),
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
                **record(
                    {
                        "phase": choice(*PEAK_PHASES),
                        "peak_bytes": COUNT,
                        "components": components,
                    }
                ),
            },
        },
        optional=("other_peak",),
    )
    return record(
        {
            "fits": FLAG,
            "fit_class": choice(*FIT_CLASSES),
            "peak_bytes": COUNT,
            "capacity_bytes": COUNT,
            "binding_stage": COUNT,
            "per_stage": list_of(stage, minItems=1),
            "host": {
                "description": "What the fullest node keeps in the memory of its host, where "
                "something is offloaded. A capacity of null: nobody says.",
                **record(
                    {
                        "peak_bytes": COUNT,
                        "capacity_bytes": {"type": ["integer", "null"], "minimum": 0},
                    }
                ),
            },
        },
        optional=("host",),
    )
