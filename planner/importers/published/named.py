"""A published model that a file names."""

from __future__ import annotations

from typing import Any

from planner.importers.notes import Notes
from planner.importers.published.names import (
    nearest_published,
    published_model,
    published_name,
)
from planner.specs.files.document import Document, Location


def model_named(document: Document, stated: str, at: Location) -> tuple[dict[str, Any], Notes]:
    """Raises: InputError, at the place of the name, for a model whose sizes are not known."""
    name = published_name(stated)
    if name is None:
        raise document.error(
            f"{stated[:80]!r} is not a model whose sizes are known here",
            at,
            hint=nearest_published(stated) or "import its config.json",
        )
    return published_model(name)
