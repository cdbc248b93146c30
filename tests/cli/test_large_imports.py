"""Long lines and repeated parts in files to import: an answer at once, and a short one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

OVERRIDES = "model.num_layers=2 model.hidden_size=64 model.seq_length={} {}\n"


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("model", "overrides.txt", OVERRIDES.format(8, "(" + "x" * 100_000)),
        ("model", "overrides.txt", OVERRIDES.format("8" * 50_000, "")),
        ("model", "overrides.txt", OVERRIDES.format("${a:-" * 20_000, "")),
        ("cluster", "system.xml", "<!---->" * 200 + "x"),
        ("cluster", "system.xml", "<!---->" * 200 + "<system"),
    ],
)
def test_refused_at_once(planner: Run, tmp_path: Path, kind: str, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    started = time.process_time()
    outcome = planner("import", kind, str(path))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")
    assert len(outcome.stderr) < 1000
    assert time.process_time() - started < 5
