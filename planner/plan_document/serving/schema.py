"""JSON Schema (draft 2020-12) of the document of serving plans."""

from __future__ import annotations

from planner.budget import Stopped
from planner.plan.serving import ROLES
from planner.plan_document.schema import file_schema
from planner.plan_document.schema_parts import (
    COUNT,
    FLAG,
    HOST,
    NAME,
    NUMBER,
    POSITIVE,
    SECONDS,
    TEXT,
    Schema,
    choice,
    list_of,
    record,
    ref,
)
from planner.plan_document.serving.kind import SERVING_SCHEMA_ID
from planner.serving.search.result import OBJECTIVES


def serving_schema() -> Schema:
    """The schema document itself; every document of serving plans validates against it."""
    ranked = {"rank": POSITIVE, "pools": list_of(ref("pool"), minItems=1)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:planner:serving-plans:1",
        "title": "planner document of serving plans",
        "description": "Ranked serving plans with what they do. Times are seconds.",
        **record(
            {
                "schema": {"const": SERVING_SCHEMA_ID},
                "planner_version": TEXT,
                "job": {"const": "serving"},
                "inputs": _inputs(),
                "search": _search(),
                "plans": list_of(record({**ranked, "estimate": ref("estimate")})),
                "front": {
                    "description": "Plans of which none has both more throughput of a device and "
                    "more tokens per second of a user than another.",
                    **list_of(ref("offer")),
                },
                "expert_placement": list_of(ref("placement")),
            },
            optional=("search", "front", "expert_placement"),
        ),
        "$defs": {
            "pool": _pool(),
            "estimate": _estimate(),
            "placement": _placement(),
            "offer": record(
                {"pools": list_of(ref("pool"), minItems=1), "estimate": ref("estimate")}
            ),
        },
    }


def _inputs() -> Schema:
    file = file_schema()
    load = {
        "description": "The load file (`planner schema load`).",
        "type": "object",
        "required": ["requests"],
    }
    return record(
        {"cluster": file, "model": file, "engine": file, "load": load, "assumptions": list_of(TEXT)}
    )


def _pool() -> Schema:
    limit = "Of one rank that holds requests of its own."
    return record(
        {
            "role": {
                "description": "Aggregated replicas read prompts and write answers.",
                **choice(*ROLES),
            },
            "group": {"description": "The node group of the cluster.", **NAME},
            "device": NAME,
            "replicas": POSITIVE,
            "tensor": POSITIVE,
            "pipeline": POSITIVE,
            "attention_data": POSITIVE,
            "expert": POSITIVE,
            "weights": TEXT,
            "kv_format": TEXT,
            "max_running": {"description": limit, **POSITIVE},
            "max_step_tokens": {"description": limit, **POSITIVE},
            "kv_tokens": {"description": limit, **COUNT},
            "memory_share": {
                "description": "Of device memory, or of what weights leave, as the engine counts.",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1,
            },
            "clients": {"description": "Requests under way in one replica.", **NUMBER},
            "requests_per_s": {
                "description": "That come to one replica, where they come at times of their own.",
                **NUMBER,
            },
            "hosts": list_of(HOST),
        },
        optional=("requests_per_s",),
    )


def _placement() -> Schema:
    share = "Rows of the fullest group of devices over the mean, on average over layers"
    return record(
        {
            "expert": {"description": "The expert degree of the pools it is for.", **POSITIVE},
            "fullest": {"description": f"{share}.", **NUMBER},
            "in_order": {"description": f"{share}, with experts in their order.", **NUMBER},
            "gap": {
                "description": "How far `fullest` may be from the least, as a share.",
                **NUMBER,
            },
            "layers": {
                "description": "By mixture layer: its experts, those of the first group of devices "
                "first.",
                **list_of(list_of(COUNT), minItems=1),
            },
        }
    )


def _estimate() -> Schema:
    optional = {"type": ["number", "null"], "minimum": 0}
    statistics = ("mean_s", "p50_s", "p90_s", "p95_s", "p99_s")
    latency = record(dict.fromkeys(statistics, SECONDS))
    ends = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
    return record(
        {
            "ttft": {"description": "Time to the first token.", **latency},
            "tpot": {
                "description": "(end − first token)/(tokens − 1) of a request; null where answers "
                "have one token.",
                "anyOf": [latency, {"type": "null"}],
            },
            "output_tokens_per_s": NUMBER,
            "output_tokens_per_s_per_device": NUMBER,
            "tokens_per_s_per_user": {"description": "1/TPOT.", **optional},
            "requests_per_s": NUMBER,
            "clients": {"description": "Requests under way in all pools.", **NUMBER},
            "devices": POSITIVE,
            "bound_by": {
                "description": "The pool that has no more throughput; null with aggregated pools "
                "only.",
                "enum": ["prefill", "decode", None],
            },
            "transfer_s": {
                "description": "Mean seconds in which the KV cache of a prompt reaches its decode "
                "replica.",
                **SECONDS,
            },
            "price_per_million_tokens": {"description": "Of output tokens.", **optional},
            "joules_per_token": {"description": "Of an output token.", **optional},
            "ranges": record(
                {
                    "level": NUMBER,
                    "ttft_mean_s": ends,
                    "tpot_mean_s": ends,
                    "output_tokens_per_s_per_device": ends,
                },
                optional=("tpot_mean_s",),
            ),
            "missed": {"description": "Limits of the load that are not kept.", **list_of(TEXT)},
        }
    )


def _search() -> Schema:
    optional = {"type": ["number", "null"], "minimum": 0}
    return record(
        {
            "objective": choice(*OBJECTIVES),
            "value": {
                "description": "Of the first plan: output tokens per second, devices, price of a "
                "million output tokens, or joules of an output token.",
                **optional,
            },
            "bound": {"description": "A value that no plan of the space beats.", **optional},
            "proven": FLAG,
            "gap": {
                "description": "How far the first plan may be from the best, as a share.",
                **optional,
            },
            "kinds": {"description": "Kinds of replicas in the space.", **COUNT},
            "candidates": {
                "description": "Kinds with their requests under way that were bounded.",
                **COUNT,
            },
            "priced": {"description": "Of them, simulated step by step.", **COUNT},
            "stopped": choice(*(one.value for one in Stopped)),
            "excluded": list_of(record({"reason": TEXT, "replicas": COUNT})),
            "nearest": {
                "description": "Where no plan keeps the limits: those that miss them by least.",
                **list_of(ref("offer")),
            },
            "relaxations": {
                "description": "Limits that could be kept, each with the others given up to the "
                "nearest plan.",
                **list_of(TEXT),
            },
            "programs": {"description": "Integer programs that were solved.", **COUNT},
            "solvers": list_of(TEXT),
        }
    )
