"""The pipeline of a NeMo AutoModel recipe: its schedule, chunks and microbatches.

`components/distributed/pipelining/functional.py` (how layers become virtual stages) and config.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from planner.importers.automodel.model import AT, STEP

if TYPE_CHECKING:
    from planner.importers.statement import Decision
    from planner.importers.values import Values

_SCHEDULES = {"1f1b": "1f1b", "interleaved1f1b": "interleaved", "gpipe": "gpipe"}


def pipeline_decisions(
    read: Values, pipeline: int, layers: int, chunks: tuple[int, ...] | None
) -> dict[str, Decision]:
    """Chunks of each stage and the microbatch. Without a pipeline it is the local batch."""
    local = read.whole(STEP, "local_batch_size") or 1
    if pipeline == 1:
        return {"micro_batch_size": local, "schedule": "1f1b", "virtual_stages": 1}
    at = (AT, "pipeline")
    name = str(read.at(*at, "pp_schedule") or "1f1b").lower()
    if name not in _SCHEDULES:
        found = ", ".join(_SCHEDULES)
        raise read.error(f"expected one of {found}", (*at, "pp_schedule"), name)
    each = read.whole(*at, "layers_per_stage")
    count = pipeline * (1 if _SCHEDULES[name] != "interleaved" else 2)
    if chunks is not None:
        count = len(chunks)
    elif each is not None:
        count = math.ceil(layers / each)
        rest = count % pipeline
        way = read.at(*at, "round_virtual_stages_to_pp_multiple")
        if rest and way in ("up", "down"):
            count += pipeline - rest if way == "up" else -rest
    if count % pipeline or count < pipeline:
        at_layers = (*at, "layers_per_stage")
        raise read.error(f"{count} chunks are not divided by {pipeline} stages", at_layers, each)
    return {
        "micro_batch_size": read.whole(*at, "pp_microbatch_size") or 1,
        "schedule": _SCHEDULES[name],
        "virtual_stages": count // pipeline,
    }


def stated_stage_layers(read: Values) -> tuple[int, ...] | None:
    """Layers of each chunk, by the names of its modules."""
    at = (AT, "pipeline", "module_fqns_per_model_part")
    stated = read.at(*at)
    if stated is None:
        return None
    if not isinstance(stated, tuple) or not all(isinstance(one, tuple) for one in stated):
        raise read.error("expected a list of lists of modules", at, stated)
    return tuple(sum(".layers." in str(name) for name in part) for part in stated)
