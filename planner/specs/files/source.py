"""Where a value came from, for the plan's record of its inputs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that was read, and the SHA-256 of everything that shaped the value: for a cluster
    its own bytes, then those of its device files and its matrix. `content` is the value as it was
    read, without its source: copies that were changed since differ from it."""

    path: str
    sha256: str
    content: object = field(default=None, compare=False, repr=False)
