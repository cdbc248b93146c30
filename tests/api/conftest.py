"""Commands run inside the test process, and a search that tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from planner import api
from planner.cli.app import run

CLUSTER, MODEL = "dgx-a100-8", "gpt-7.5b"


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def planner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """`planner("search", "--nodes", "4")` runs the command and returns what it left behind."""
    monkeypatch.setenv("PLANNER_DEBUG", "1")

    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(arguments)
        written = capsys.readouterr()
        return Outcome(code, written.out, written.err)

    return call


@pytest.fixture(scope="session")
def found() -> api.FoundPlans:
    """Three plans for two nodes, with another batch, sequence and headroom than the model's."""
    return api.search(
        CLUSTER, MODEL, nodes=2, top=3, global_batch_size=64, seq_length=1024, headroom=0.1
    )
