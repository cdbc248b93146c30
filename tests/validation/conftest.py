"""`planner validate` run inside the test process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planner.cli.app import run


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture
def validate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """`validate(path, "--json")` runs `planner validate` and returns what it left behind."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLANNER_DEBUG", "1")

    def call(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run(["validate", *map(str, arguments)])
        written = capsys.readouterr()
        return Outcome(code, written.out, written.err)

    return call
