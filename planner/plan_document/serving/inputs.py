"""What serving plans were made from, as their document records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.plan_document.inputs import record_file

if TYPE_CHECKING:
    from planner.plan_document.inputs import RecordedFile
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.engine import EngineProfile
    from planner.specs.model.spec import ModelSpec
    from planner.specs.serving_load import LoadFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingInputs:
    """`load`: all of the load file, so that a plan can be estimated again without it."""

    cluster: RecordedFile
    model: RecordedFile
    engine: RecordedFile
    load: LoadFile
    assumptions: tuple[str, ...] = ()


def record_serving_inputs(
    cluster: ClusterSpec,
    model: ModelSpec,
    engine: EngineProfile,
    load: LoadFile,
    assumptions: tuple[str, ...],
) -> ServingInputs:
    """The record of what a search is given."""
    known = (*cluster.doubts, *cluster.assumptions, *assumptions)
    return ServingInputs(
        cluster=record_file("cluster", cluster.name, cluster.source),
        model=record_file("model", model.name, model.source),
        engine=record_file("engine", engine.name, engine.source_file),
        load=load,
        assumptions=tuple(dict.fromkeys(known)),
    )
