"""What a plan was made from, as its document records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.files.source import SourceFile
    from planner.specs.job import JobSpec
    from planner.specs.model.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """A cluster or model by its own name, and the SHA-256 of the files that shaped it (None for
    one that comes from no file)."""

    name: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedJob:
    """The workload: enough to estimate a plan of the document again."""

    devices: int
    global_batch_size: int
    seq_length: int
    precision: str
    optimizer: str
    software: str
    software_sha256: str | None
    headroom: float
    expert_imbalance: float
    tokens: int | None = None
    """Of the whole job; None where nobody says, and then the document does not either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInputs:
    cluster: RecordedFile
    model: RecordedFile
    job: RecordedJob
    assumptions: tuple[str, ...] = ()


def record_inputs(cluster: ClusterSpec, model: ModelSpec, job: JobSpec) -> RecordedInputs:
    """The record of what a search or an estimate is given."""
    return RecordedInputs(
        cluster=RecordedFile(name=cluster.name, sha256=_sha256(cluster.source)),
        model=RecordedFile(name=model.name, sha256=_sha256(model.source)),
        job=RecordedJob(
            devices=job.devices,
            global_batch_size=job.global_batch_size,
            seq_length=job.seq_length,
            precision=job.precision,
            optimizer=job.optimizer,
            software=job.software.name,
            software_sha256=_sha256(job.software.source_file),
            headroom=job.headroom,
            expert_imbalance=job.expert_imbalance,
            tokens=job.tokens,
        ),
        assumptions=tuple(
            dict.fromkeys(
                (*cluster.doubts, *cluster.assumptions, *model.assumptions, *job.assumptions)
            )
        ),
    )


def _sha256(source: SourceFile | None) -> str | None:
    return None if source is None else source.sha256
