"""Where a value came from, for the plan's record of its inputs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that was read, and the SHA-256 of everything that shaped the value: for a cluster
    its own bytes, then those of its device files and its matrix."""

    path: str
    sha256: str
