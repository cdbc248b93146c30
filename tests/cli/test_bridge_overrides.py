"""Overrides of Megatron-Bridge in place of a plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

ON = ("--cluster", "dgx-h100-16", "--nodes", "2")


def plan(done: Outcome) -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["plans"][0]
    return found


@pytest.mark.parametrize(
    "chosen",
    [
        ("--model", "llama-3-8b", "--precision", "fp8", "--tensor", "2", "--pipeline", "2",
         "--virtual-stages", "2", "--global-batch-size", "64"),
        ("--model", "qwen3-30b-a3b", "--expert", "8", "--global-batch-size", "128",
         "--seq-length", "4096"),
    ],
)  # fmt: skip
def test_exported_overrides_are_the_plan_again(
    planner: Run, tmp_path: Path, chosen: tuple[str, ...]
) -> None:
    """With 8-bit recipes, fusions and graphs, none of which a model file states."""
    options = (*ON, *chosen, "--software", "megatron-core-perf", "--json")
    done = planner("estimate", *options)
    (tmp_path / "plan.json").write_text(done.stdout)
    overrides = tmp_path / "overrides.txt"
    options = ("--format", "megatron-bridge", "-o", str(overrides))
    planner("export", str(tmp_path / "plan.json"), *options)
    first = plan(done)
    again = plan(planner("estimate", *ON, "--plan", str(overrides), "--json"))
    assert again["degrees"] == first["degrees"]
    assert again["estimate"]["step_s"] == first["estimate"]["step_s"]
    assert again["estimate"]["memory"]["peak_bytes"] == first["estimate"]["memory"]["peak_bytes"]


def test_overrides_of_a_recipe_say_that_its_sizes_are_missing(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "overrides.txt"
    path.write_text("model.tensor_model_parallel_size=2 train.global_batch_size=64\n")
    done = planner("estimate", *ON, "--plan", str(path))
    assert done.code == 2
    assert "the overrides do not say how large the model is" in done.stderr


def test_adapters_are_no_plan_and_what_does_not_count_may_be_unknown(
    planner: Run, tmp_path: Path
) -> None:
    sizes = (
        "model.num_layers=4 model.hidden_size=512 model.num_attention_heads=8 "
        "model.seq_length=1024 model.vocab_size=32000 train.global_batch_size=64 "
        "train.micro_batch_size=1 checkpoint.save=${SOMEWHERE} "
    )
    path = tmp_path / "run.sh"
    path.write_text(f"torchrun run.py {sizes}\n")
    assert planner("estimate", *ON, "--plan", str(path)).code == 0
    path.write_text(f"torchrun run.py {sizes} peft.dim=8\n")
    done = planner("estimate", *ON, "--plan", str(path))
    assert "peft.dim: adapters, which alone are trained, are not planned" in done.stderr
