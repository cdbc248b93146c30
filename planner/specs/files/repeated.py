"""Names that stand twice where each may stand once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that an earlier one equals; None where all differ."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
