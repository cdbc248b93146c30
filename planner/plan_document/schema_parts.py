"""Parts of the plan document's JSON Schema that several places use, and the schema of a plan."""

from __future__ import annotations

from typing import Any

from planner.plan import AXES, DATA_SHARDINGS, DISPATCHERS, GRANULARITIES
from planner.specs.names import HOST_PATTERN, NAME_PATTERN
from planner.specs.settings_values import OFFLOADED, RECOMPUTED

Schema = dict[str, Any]

COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
SECONDS: Schema = {"type": "number", "minimum": 0}
NUMBER: Schema = {"type": "number", "minimum": 0}
SHARE: Schema = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
TEXT: Schema = {"type": "string"}
HOST: Schema = {"type": "string", "pattern": f"^{HOST_PATTERN}$"}
NAME: Schema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
FLAG: Schema = {"type": "boolean"}

PART: Schema = {"type": "number", "minimum": 0, "maximum": 1}

SHARED_OR_OFFLOADED = ("shard_over", "optimizer_offload", "weight_offload", "activation_offload")
"""Decisions about where states and activations live."""
SELDOM = ("dispatcher", "expert_overlap", "dispatch_pieces", *SHARED_OR_OFFLOADED)
"""Axes of a search that a document has where they are not the usual ones."""
MODULES = ("recompute_modules", "offload_modules")
"""Decisions about modules of layers."""
ONLY_WHERE_CHOSEN = (*SELDOM, *MODULES)
"""Decisions that a document has where they are not the usual ones."""


def record(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def list_of(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def choice(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def decisions() -> Schema:
    chunk = {"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2}
    return {
        "degrees": record(dict.fromkeys(AXES, POSITIVE), optional=("expert_tensor",)),
        "micro_batch_size": POSITIVE,
        "num_microbatches": POSITIVE,
        "schedule": TEXT,
        "virtual_stages": POSITIVE,
        "sequence_parallel": FLAG,
        "data_sharding": choice(*DATA_SHARDINGS),
        "recompute": record(
            {"granularity": choice(*GRANULARITIES), "layers_per_stage": list_of(COUNT, minItems=1)}
        ),
        "stages": list_of(
            record(
                {
                    "index": COUNT,
                    "chunks": list_of(chunk, minItems=1),
                    "embedding": FLAG,
                    "head": FLAG,
                }
            ),
            minItems=1,
        ),
        "placement": record(
            {"order": TEXT, "hosts": list_of(HOST, minItems=1), "ranks": TEXT},
        ),
        "dispatcher": {
            "description": "What carries tokens to their experts.",
            **choice(*DISPATCHERS),
        },
        "expert_overlap": {
            "description": "Exchanges of experts run beside the computation of another microbatch.",
            **FLAG,
        },
        "dispatch_pieces": {
            "description": "Parts of the tokens that travel to their experts one after the other, "
            "beside the products of another part. Missing: one.",
            **POSITIVE,
        },
        "shard_over": {
            "description": "Ranks of data · context among which what is sharded is divided. "
            "Missing: all of them.",
            "type": "integer",
            "minimum": 1,
        },
        "optimizer_offload": {
            "description": "Share of the optimizer in the memory of the hosts. Missing: none.",
            **PART,
        },
        "weight_offload": {
            "description": "Sharded weights are in the memory of the hosts. Missing: they are not.",
            **FLAG,
        },
        "activation_offload": {
            "description": "Share of what microbatches leave for their backward pass that is in "
            "the memory of the hosts. Missing: none.",
            **PART,
        },
        "recompute_modules": {
            "description": "What selective recomputation computes again. Missing: what the job "
            "says.",
            **list_of(choice(*RECOMPUTED), minItems=1),
        },
        "offload_modules": {
            "description": "Whose activations are in the memory of the hosts. Missing: what the "
            "job says.",
            **list_of(choice(*OFFLOADED), minItems=1),
        },
    }
