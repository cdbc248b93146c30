"""Configurations of GPT-NeoX in place of a plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

NEOX = """{
   # YAML that begins as JSON does
   "pipe-parallel-size": 2,
   "model-parallel-size": 2,
   "num-layers": 24, "hidden-size": 2048, "num-attention-heads": 16,
   "seq-length": 2048, "max-position-embeddings": 2048,
   "norm": "layernorm", "pos-emb": "rotary", "no-weight-tying": true,
   "attention-config": [[["flash"], 24]],
   "zero_optimization": {"stage": 1},
   "train_micro_batch_size_per_gpu": 8,
   "gradient_accumulation_steps": 2,
   "checkpoint-activations": true,
   "fp16": {"fp16": true, "enabled": true},
   "vocab_file": "/data/20B_tokenizer.json",
}"""


@pytest.fixture
def estimated(planner: Run, tmp_path: Path) -> Callable[[str], Outcome]:
    def run(text: str) -> Outcome:
        path = tmp_path / "job.yml"
        path.write_text(text)
        return planner("estimate", "--cluster", "dgx-a100-16", "--nodes", "2", "--plan", str(path),
                       "--json")  # fmt: skip

    return run


def test_a_configuration_is_a_plan(estimated: Callable[[str], Outcome]) -> None:
    """16 devices by 4 are 4 replicas, each with 2 microbatches of 8 sequences."""
    done = estimated(NEOX)
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    plan, job = document["plans"][0], document["inputs"]["job"]
    wanted = {"tensor": 2, "pipeline": 2, "data": 4}
    assert {axis: plan["degrees"][axis] for axis in wanted} == wanted
    assert (plan["micro_batch_size"], plan["num_microbatches"]) == (8, 2)
    assert (plan["data_sharding"], plan["recompute"]["granularity"]) == ("optimizer", "full")
    assert (job["precision"], job["global_batch_size"], job["seq_length"]) == ("fp16", 64, 2048)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"stage": 1', '"stage": 3', "zero_optimization.stage: stage 3 is not planned"),
        ('"stage": 1', '"stage": 1, "cpu_offload": true', "offloading is not planned for GPT-NeoX"),
        ('"pipe-parallel-size": 2', '"pipe-parallel-size": 3', "does not divide the 16 devices"),
        ('"no-weight', '"sequence-parallel": true, "no-weight', "sequence parallelism is not"),
        ('"flash"', '"mamba"', "layers of mamba cannot be described"),
    ],
)
def test_what_is_not_planned_is_said(
    estimated: Callable[[str], Outcome], before: str, after: str, said: str
) -> None:
    assert before in NEOX
    done = estimated(NEOX.replace(before, after))
    assert done.code == 2
    assert said in done.stderr
    assert "job.yml:" in done.stderr
