"""Plans whose context ranks exchange heads, as DeepSpeed is told of them and as they are read back.

DeepSpeed edaa7221: `deepspeed/__init__.py` (the mesh of data_parallel_size and
sequence_parallel_size), `runtime/engine.py` (seq_parallel_communication_data_type).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.exporters.conftest import Outcome

CLUSTER = ("--cluster", "dgx-a100-16", "--nodes", "2", "--model", "llama-3-8b")
JOB = (*CLUSTER, "--software", "deepspeed")
LONG = (*JOB, "--seq-length", "32768", "--global-batch-size", "16", "--micro-batch-size", "1")
SHARDED = (*LONG, "--data-sharding", "optimizer+gradients", "--recompute", "full", "--context", "4")
TWO_REPLICAS = {"data_parallel_size": 2, "gradient_accumulation_steps": 8}


def document(done: Outcome) -> dict[str, Any]:
    assert done.code in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def exported(planner: Callable[..., Outcome], folder: Path) -> Path:
    plan, settings = folder / "plan.json", folder / "ds.json"
    plan.write_text(json.dumps(document(planner("estimate", *SHARDED, "--json"))))
    done = planner("export", str(plan), "--format", "deepspeed", "-o", str(settings))
    assert done.code == 0, done.stderr
    assert "DistributedAttention" in done.stdout + done.stderr
    return settings


def test_export_and_import_are_the_identity(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    settings = exported(planner, tmp_path)
    found = json.loads(settings.read_text())
    assert (found["sequence_parallel_size"], found["data_parallel_size"]) == (4, 4)
    there = json.loads((tmp_path / "plan.json").read_text())["plans"][0]
    back = document(
        planner(
            *("estimate", *CLUSTER, "--plan", str(settings), "--recompute", "full"),
            *("--seq-length", "32768", "--json"),
        )
    )["plans"][0]
    assert back["degrees"] == there["degrees"]
    assert back["degrees"]["context"] == 4
    assert back["estimate"]["time"] == there["estimate"]["time"]
    assert back["estimate"]["memory"] == there["estimate"]["memory"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data_parallel_size": 8}, "data_parallel_size is 8, and there are 4 replicas"),
        (
            {
                "tensor_parallel": {"autotp_size": 2},
                "data_parallel_size": 2,
                "gradient_accumulation_steps": 8,
            },
            "only without tensor",
        ),
        ({"sequence_parallel_size": 0}, "expected a whole number from 1"),
    ],
)
def test_settings_that_stop_deepspeed_are_named(
    planner: Callable[..., Outcome], tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    settings = exported(planner, tmp_path)
    wrong = json.loads(settings.read_text()) | change
    settings.write_text(json.dumps(wrong))
    done = planner("estimate", *CLUSTER, "--plan", str(settings), "--seq-length", "32768")
    assert done.code == 2
    assert says in " ".join(done.stderr.split())


@pytest.mark.parametrize("axis", ["--tensor", "--pipeline"])
def test_a_divided_sequence_excludes_other_degrees(
    planner: Callable[..., Outcome], axis: str
) -> None:
    done = planner("estimate", *LONG, "--context", "4", axis, "2")
    assert done.code == 2
    assert "only without tensor or pipeline parallelism" in " ".join(done.stderr.split())


def test_a_search_divides_long_sequences(planner: Callable[..., Outcome]) -> None:
    """A device cannot hold a sequence of 262,144 tokens; 8 or 16 exchange its heads."""
    job = (*JOB, "--seq-length", "262144", "--global-batch-size", "8")
    best = document(planner("search", *job, "--json", "--top", "1"))["plans"][0]["degrees"]
    assert best["context"] > 1
    assert best["tensor"] == best["pipeline"] == 1
