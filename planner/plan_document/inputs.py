"""What a plan was made from, as its document records it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """A cluster or model file by its own name and the SHA-256 of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedJob:
    """The workload: enough to estimate a plan of the document again."""

    devices: int
    global_batch_size: int
    seq_length: int
    precision: str
    optimizer: str
    software: str
    headroom: float
    expert_imbalance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInputs:
    cluster: RecordedFile
    model: RecordedFile
    job: RecordedJob
    assumptions: tuple[str, ...] = ()
