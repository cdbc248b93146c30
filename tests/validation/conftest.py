"""Small files of measured runs, and the program run inside the test process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planner.cli.app import run

CLUSTER = {
    "node_groups": [
        {
            "device": "a100-sxm-80gb",
            "devices_per_node": 8,
            "intra_node": {"bandwidth": "300 GB/s"},
            "network": {"cards": 8, "bandwidth": "25 GB/s"},
        }
    ]
}
MODEL = {
    "architecture": "gpt",
    "num_layers": 6,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "vocab_size": 51200,
}
DEFAULTS = {"seq_length": 1024, "global_batch_size": 16, "micro_batch_size": 2, "precision": "fp16"}

WriteRuns = Callable[..., Path]


@pytest.fixture
def write_runs(tmp_path: Path) -> WriteRuns:
    """`write_runs({"id": …}, …, software=…)` writes a file of runs on eight A100 and returns its
    path. JSON is YAML, so that no test formats text."""

    def write(*runs: dict[str, Any], name: str = "runs.yaml", **top: Any) -> Path:
        document = {
            "source": "a test",
            "cluster": CLUSTER,
            "software": "megatron-lm-2021",
            "model": MODEL,
            "defaults": {"devices": 8, **DEFAULTS},
            "runs": [{"id": f"run-{index}", **one} for index, one in enumerate(runs)],
        } | top
        path = tmp_path / name
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write


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
