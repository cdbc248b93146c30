"""Host names in the form that a cluster file may hold, from measurements and configurations."""

from __future__ import annotations

from collections.abc import Sequence

from planner.importers.notes import Notes
from planner.specs.cluster.hostlist import compress_hosts
from planner.specs.names import as_host


def clean_hosts(names: Sequence[str], notes: Notes) -> tuple[str, ...]:
    """Replaces characters that no host name may have by dashes; a note says so."""
    cleaned = [as_host(name) for name in names]
    if len(set(cleaned)) < len(set(names)):
        cleaned = [f"{name}-{index}" for index, name in enumerate(cleaned)]
    changed = [old for old, new in zip(names, cleaned, strict=True) if old != new]
    if changed:
        notes.assumed.append(
            f"host names without characters that none may have: {changed[0][:60]!r} and "
            f"{len(changed) - 1} more"
            if len(changed) > 1
            else f"host name {changed[0][:60]!r} without characters that none may have"
        )
    return tuple(cleaned)


def short(names: Sequence[str]) -> str | list[str]:
    """`node[01-16,18]` where some of the names have such a form, otherwise the list."""
    text = compress_hosts(names)
    return text if "[" in text else list(names)
