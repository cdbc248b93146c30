"""The JSON document of `planner improve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA_ID = "planner/improvement/1"


def to_document(
    *,
    script: str,
    files: Sequence[str],
    gain: float,
    gain_range: tuple[float, float],
    diff: str,
    look_at: Sequence[str],
    left_out: Sequence[str],
    comparison: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Gains are shares of the step. `files`: those that the diff changes. `comparison` is that of
    `planner compare`, the script as it is first; None, and an empty diff, where no better plan was
    found."""
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "script": script,
        "files": list(files),
        "better": comparison is not None,
        "gain": gain,
        "gain_low": gain_range[0] if comparison is not None else 0.0,
        "gain_high": gain_range[1] if comparison is not None else 0.0,
        "diff": diff,
        "look_at": list(look_at),
        "left_out": list(left_out),
        "comparison": None if comparison is None else dict(comparison),
    }
