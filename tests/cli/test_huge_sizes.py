"""Sizes that no job has are refused before anything is built for them, wherever they stand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.process import planner_process

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """\
PP_SIZE={pipeline}
torchrun --nproc-per-node {devices} --nnodes 1 pretrain_gpt.py \\
  --num-layers {layers} --hidden-size 4096 --num-attention-heads 32 --seq-length 2048 \\
  --max-position-embeddings 2048 --vocab-size 50257 --tokenizer-type NullTokenizer \\
  --micro-batch-size 1 --global-batch-size {batch} --tensor-model-parallel-size 1 \\
  --pipeline-model-parallel-size $PP_SIZE --bf16
"""
USUAL = {"pipeline": 1, "devices": 8, "layers": 32, "batch": 64}
ESTIMATE = ("estimate", "--cluster", "dgx-a100-8", "--model", "gpt-7.5b", "--nodes", "1")
SEARCH = ("search", "--cluster", "dgx-a100-8", "--model", "gpt-7.5b", "--nodes", "1")
SCRIPTS = {
    "pipeline": {"pipeline": 1_000_000},
    "layers": {"layers": 10**9},
    "devices": {"devices": 10**9},
    "batch": {"batch": 10**15},
    "pipeline beyond 64 bits": {"pipeline": 10**25},
}
OPTIONS = {
    "pipeline": (*ESTIMATE, "--pipeline", "1000000"),
    "virtual stages": (*ESTIMATE, "--pipeline", "8", "--virtual-stages", "1000000"),
    "layers of stages": (*ESTIMATE, "--pipeline", "8", "--stage-layers", ",".join(["1"] * 10_000)),
    "microbatches": (*ESTIMATE, "--pipeline", "8", "--global-batch-size", "1000000"),
    "searched pipeline": (*SEARCH, "--pipeline", "1000000"),
}
CPU_S, MIB = 4.0, 400.0
"""Of a process with its start; what is built for such sizes takes gigabytes."""


@pytest.mark.parametrize("sizes", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_sizes_of_a_launch_script(tmp_path: Path, sizes: dict[str, int]) -> None:
    script = tmp_path / "train.sh"
    script.write_text(SCRIPT.format(**{**USUAL, **sizes}), encoding="utf-8")
    spent = planner_process("estimate", "--cluster", "dgx-a100-8", "--plan", str(script))
    assert (spent.code, spent.stdout) == (2, "")
    assert spent.stderr.startswith(f"error: {script}:")
    assert spent.cpu_s < CPU_S
    assert spent.peak_mib < MIB


@pytest.mark.parametrize("arguments", OPTIONS.values(), ids=OPTIONS.keys())
def test_sizes_of_options(arguments: tuple[str, ...]) -> None:
    spent = planner_process(*arguments)
    assert (spent.code, spent.stdout) == (2, "")
    assert spent.stderr.startswith("error: ")
    assert len(spent.stderr) < 1_000
    assert spent.cpu_s < CPU_S
    assert spent.peak_mib < MIB


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_layers", 10**9), ("num_attention_heads", 10**9), ("vocab_size", 10**18)],
)
def test_sizes_of_a_model_file(tmp_path: Path, key: str, value: int) -> None:
    sizes = {
        "num_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "vocab_size": 50257,
        "seq_length": 2048, key: value,
    }  # fmt: skip
    path = tmp_path / "model.yaml"
    path.write_text(json.dumps({"name": "huge", "architecture": "gpt", **sizes}), encoding="utf-8")
    spent = planner_process(
        *("estimate", "--cluster", "dgx-a100-8", "--nodes", "1", "--model", str(path)),
        *("--global-batch-size", "64"),
    )
    assert (spent.code, spent.stdout) == (2, "")
    assert spent.stderr.startswith(f"error: {path}:1:")
    assert spent.cpu_s < CPU_S
    assert spent.peak_mib < MIB


def test_a_million_microbatches_are_priced_from_those_that_repeat() -> None:
    """The steps of whole numbers of microbatches per stage lie on a line."""
    steps = []
    for batch in (1_000_000, 600_000, 200_000):
        spent = planner_process(
            *("estimate", "--cluster", "dgx-a100-8", "--model", "llama-2-7b", "--devices", "8"),
            *("--tensor", "4", "--pipeline", "2", "--global-batch-size", str(batch), "--json"),
        )
        assert spent.code == 0
        assert spent.cpu_s < CPU_S
        assert spent.peak_mib < MIB
        steps.append(json.loads(spent.stdout)["plans"][0]["estimate"]["step_s"])
    assert steps[0] - steps[1] == pytest.approx(steps[1] - steps[2], rel=1e-7)


def test_a_model_of_ten_thousand_layers_is_searched(tmp_path: Path) -> None:
    """Chunks and layouts that are tried by themselves are limited, whatever the layers."""
    path = tmp_path / "deep.yaml"
    sizes = {
        "num_layers": 10_000, "hidden_size": 512, "num_attention_heads": 8, "vocab_size": 32000,
        "seq_length": 2048, "training": {"global_batch_size": 64},
    }  # fmt: skip
    path.write_text(json.dumps({"name": "deep", "architecture": "gpt", **sizes}), encoding="utf-8")
    spent = planner_process(
        *("search", "--cluster", "dgx-a100-8", "--model", str(path), "--json"),
        *("--pipeline", "8", "--micro-batch-size", "1", "--data", "8", "--top", "2"),
        *("--recompute", "full"),
    )
    assert spent.code == 0, spent.stderr
    found = json.loads(spent.stdout)
    assert len(found["plans"]) == 2
    assert all(plan["virtual_stages"] <= 64 for plan in found["plans"])
    assert spent.cpu_s < 60  # minutes, where the work grows with the square of the layers
    assert spent.peak_mib < 1_500
