"""Running the program inside the test process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import inf
from typing import TYPE_CHECKING

import pytest

from planner.cli import progress
from planner.cli.app import run
from tests.cli.process import planner_process

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def planner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """`planner("search", "--nodes", "4")` runs the command and returns what it left behind, without
    the progress that only a slow machine shows."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLANNER_DEBUG", "1")
    monkeypatch.setattr(progress, "QUIET_S", inf)

    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(arguments)
        written = capsys.readouterr()
        return Outcome(code, written.out, written.err)

    return call


@pytest.fixture(scope="session")
def searched_plans(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """`searched_plans("--nodes", "2")` is the plan document of such a search, which runs once for
    all tests that ask for it."""

    @cache
    def search(*arguments: str) -> str:
        path = tmp_path_factory.mktemp("searched") / "plans.json"
        spent = planner_process("search", *arguments, "--output", str(path))
        assert spent.code == 0, spent.stderr
        return path.read_text(encoding="utf-8")

    return search
