"""JSON Schema (draft 2020-12) of the plan document."""

from __future__ import annotations

from dataclasses import fields

from planner.plan import PRECISIONS
from planner.plan_document.schema_estimate import estimate_schema, memory_schema
from planner.plan_document.schema_parts import (
    FLAG,
    NAME,
    ONLY_WHERE_CHOSEN,
    POSITIVE,
    SECONDS,
    TEXT,
    Schema,
    choice,
    decisions,
    list_of,
    record,
    ref,
)
from planner.plan_document.schema_search import search_schema
from planner.specs.job import OPTIMIZERS
from planner.specs.settings import Settings
from planner.specs.settings_values import (
    ALLOCATORS,
    MASTERS,
    MOMENTS,
    OFFLOADED,
    PLACES,
    RECOMPUTED,
    STATES,
)
from planner.specs.software_words import MOST_STRIDE

SCHEMA_ID = "planner/plans/1"
SERVING_SCHEMAS = "planner/serving-plans/"
"""What the names of the schemas of serving plans begin with."""


def plan_schema() -> Schema:
    """The schema document itself; every plan document validates against it."""
    tied = {
        "description": "Too close to the plan of rank 1 to tell which is faster.",
        **FLAG,
    }
    proof = {
        "description": "How far from the best a decision of the plan may be, the others as they "
        "are: no other takes less than 1 − gap of the step.",
        **record(
            {
                "decision": choice("placement", "stage layout"),
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
    ranked = record(
        {
            "rank": POSITIVE,
            "tied_with_best": tied,
            "worst_step_s": {
                "description": "The step in the worst case that plans were ranked by.",
                **SECONDS,
            },
            **decisions(),
            "proofs": list_of(proof),
            "why": {
                "description": "Why the plan of rank 1 is the best, a sentence each.",
                **list_of(TEXT),
            },
            "estimate": ref("estimate"),
        },
        optional=("tied_with_best", "worst_step_s", "proofs", "why", *ONLY_WHERE_CHOSEN),
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:planner:plans:1",
        "title": "planner plan document",
        "description": "Ranked plans with their estimates. Times are seconds, sizes are bytes.",
        **record(
            {
                "schema": {"const": SCHEMA_ID},
                "planner_version": TEXT,
                "inputs": _inputs(),
                "search": search_schema(),
                "plans": list_of(ranked),
            },
            optional=("search",),
        ),
        "$defs": {"estimate": estimate_schema(), "memory": memory_schema()},
    }


_SHA256: Schema = {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"}
_PATH: Schema = {
    "type": "string",
    "description": "The file as it was given, from the folder the command ran in; absent for "
    "a shipped one.",
}


def file_schema() -> Schema:
    """Of the record of one input file."""
    return record({"name": NAME, "sha256": _SHA256, "path": _PATH}, optional=("path",))


def _inputs() -> Schema:
    file = file_schema()
    job = record(
        {
            "devices": POSITIVE,
            "global_batch_size": POSITIVE,
            "seq_length": POSITIVE,
            "precision": choice(*PRECISIONS),
            "optimizer": choice(*OPTIMIZERS),
            "software": NAME,
            "software_sha256": _SHA256,
            "headroom": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            "expert_imbalance": {"type": "number", "minimum": 1},
            "software_path": _PATH,
            "settings": _settings(),
            "tokens": {"description": "Of the whole job.", **POSITIVE},
        },
        optional=("software_path", "settings", "tokens"),
    )
    return record({"cluster": file, "model": file, "job": job, "assumptions": list_of(TEXT)})


def _settings() -> Schema:
    found = record(
        {
            "master_weights": choice(*MASTERS),
            "moments": {**list_of(choice(*MOMENTS)), "minItems": 1, "maxItems": 2},
            "gradients": choice(*STATES),
            "loss_chunks": POSITIVE,
            "expert_capacity": {"type": "number", "exclusiveMinimum": 0},
            "pad_experts": FLAG,
            "packed_length": POSITIVE,
            "start_whole": FLAG,
            "resumes": FLAG,
            "fp8_param_gather": FLAG,
            "offload_to": choice(*PLACES),
            "update_stride": {"type": "integer", "minimum": 2, "maximum": MOST_STRIDE},
            "recompute_modules": list_of(choice(*RECOMPUTED)),
            "offload_modules": list_of(choice(*OFFLOADED)),
            "context_heads": {"anyOf": [{"const": "all"}, POSITIVE]},
            "allocator": choice(*ALLOCATORS),
            "uneven_replicas": FLAG,
        },
        optional=tuple(one.name for one in fields(Settings)),
    )
    return {"description": "What the job sets in its framework.", **found}
