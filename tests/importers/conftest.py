"""Sample inputs by name, and text as if it had been read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.importers.source import Source, load_source, source_of

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    return DATA


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Source]:
    """`sample("topology.conf")` is a file of tests/importers/data."""
    return lambda name: load_source(str(DATA / name))


@pytest.fixture(scope="session")
def written() -> Callable[..., Source]:
    """`written("text")` is a file of that content."""
    return lambda text, path="file": source_of(text.encode(), path)
