"""Where a value came from, for the plan's record of its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that was read, and the SHA-256 of everything that shaped the value: for a cluster
    its own bytes, then those of its device files and its matrix; for a device or a software profile
    that is `like` another, those of the other too. `content` is the value as it was
    read, without its source: copies that were changed since differ from it."""

    path: str
    sha256: str
    content: object = field(default=None, compare=False, repr=False)


def combined_sha256(digests: Sequence[str]) -> str:
    """One digest as it is; of several, the SHA-256 of their hexadecimal texts in a row."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
