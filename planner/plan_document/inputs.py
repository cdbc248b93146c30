"""What a plan was made from, as its document records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.specs.files.catalog import is_shipped

if TYPE_CHECKING:
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.files.catalog import Kind
    from planner.specs.files.source import SourceFile
    from planner.specs.job import JobSpec
    from planner.specs.model.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """A cluster, model or software profile by its own name, and the SHA-256 of the files that
    shaped it (None for one that comes from no file). `path`: its file as the user gave it, None for
    a shipped one."""

    name: str
    sha256: str | None
    path: str | None = None


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
    software_path: str | None = None
    settings: dict[str, Any] | None = None
    """What the job sets in its framework, by name (`planner.specs.settings`); None for nothing."""
    tokens: int | None = None
    """Of the whole job; None where nobody says, and then the document does not either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInputs:
    cluster: RecordedFile
    model: RecordedFile
    job: RecordedJob
    assumptions: tuple[str, ...] = ()

    @property
    def software(self) -> RecordedFile:
        """The software profile of the job."""
        job = self.job
        return RecordedFile(name=job.software, sha256=job.software_sha256, path=job.software_path)


def record_inputs(cluster: ClusterSpec, model: ModelSpec, job: JobSpec) -> RecordedInputs:
    """The record of what a search or an estimate is given."""
    software = record_file("software", job.software.name, job.software.source_file)
    return RecordedInputs(
        cluster=record_file("cluster", cluster.name, cluster.source),
        model=record_file("model", model.name, model.source),
        job=RecordedJob(
            devices=job.devices,
            global_batch_size=job.global_batch_size,
            seq_length=job.seq_length,
            precision=job.precision,
            optimizer=job.optimizer,
            software=job.software.name,
            software_sha256=software.sha256,
            software_path=software.path,
            headroom=job.headroom,
            expert_imbalance=job.expert_imbalance,
            settings=job.settings.stated or None,
            tokens=job.tokens,
        ),
        assumptions=tuple(
            dict.fromkeys(
                (*cluster.doubts, *cluster.assumptions, *model.assumptions, *job.assumptions)
            )
        ),
    )


def record_file(kind: Kind, name: str, source: SourceFile | None) -> RecordedFile:
    """The record of one file, or of a value that comes from none."""
    if source is None:
        return RecordedFile(name=name, sha256=None)
    path = None if is_shipped(kind, source.path) else source.path
    return RecordedFile(name=name, sha256=source.sha256, path=path)
