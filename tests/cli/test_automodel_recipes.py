"""Recipes of NeMo AutoModel in place of a plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

RECIPE: dict[str, Any] = {
    "recipe": "BenchmarkingRecipeForNextTokenPrediction",
    "step_scheduler": {"global_batch_size": 256, "local_batch_size": 4},
    "distributed": {
        "strategy": "fsdp2",
        "tp_size": 1,
        "cp_size": 1,
        "pp_size": 2,
        "ep_size": 8,
        "dp_size": "none",
        "activation_checkpointing": True,
        "pipeline": {
            "pp_schedule": "interleaved1f1b",
            "pp_microbatch_size": 1,
            "round_virtual_stages_to_pp_multiple": "down",
            "layers_per_stage": 5,
        },
        "moe": {"reshard_after_forward": False},
    },
    "model": {
        "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_config",
        "config": {"pretrained_model_name_or_path": "Qwen/Qwen3-30B-A3B"},
        "backend": {"dispatcher": "deepep"},
    },
    "dataset": {"seq_len": 4096},
    "optimizer": {"_target_": "torch.optim.Adam"},
}


@pytest.fixture
def estimated(planner: Run, tmp_path: Path) -> Callable[..., Outcome]:
    """The estimate of a recipe with values in place of some, on two nodes."""

    def run(*changes: tuple[str, Any]) -> Outcome:
        recipe = json.loads(json.dumps(RECIPE))
        for name, value in changes:
            *groups, key = name.split(".")
            place = recipe
            for group in groups:
                place = place.setdefault(group, {})
            place[key] = value
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return planner("estimate", "--cluster", "dgx-h100-16", "--nodes", "2", "--plan", str(path),
                       "--json")  # fmt: skip

    return run


def plan(done: Outcome) -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["plans"][0]
    return found


def test_a_recipe_is_a_plan(estimated: Callable[..., Outcome]) -> None:
    """48 layers by 5 are 10 chunks; weights stay gathered in pipelines and mixtures."""
    done = estimated()
    found = plan(done)
    wanted = {"tensor": 1, "pipeline": 2, "data": 8, "context": 1, "expert": 8}
    assert {axis: found["degrees"][axis] for axis in wanted} == wanted
    assert (found["schedule"], found["virtual_stages"]) == ("interleaved", 5)
    assert (found["micro_batch_size"], found["num_microbatches"]) == (1, 32)
    assert found["recompute"]["granularity"] == "full"
    assert (found["data_sharding"], found["dispatcher"]) == ("optimizer+gradients", "deepep")
    assert "pipelines of 4 sequences (local_batch_size)" in done.stderr


def test_weights_and_states_have_the_types_that_a_recipe_gives_them(
    estimated: Callable[..., Outcome],
) -> None:
    """bf16 weights with moments of 2 bytes each; fp32 weights and moments; remainders of 2 bytes
    beside fp32 moments (Transformer Engine's FusedAdam)."""

    def optimizer(*changes: tuple[str, Any]) -> int:
        stages = plan(estimated(*changes))["estimate"]["memory"]["per_stage"]
        return int(stages[0]["components"]["optimizer"])

    plain = optimizer()
    adam = (
        ("optimizer.master_weights", True),
        ("optimizer.store_param_remainders", True),
        ("optimizer.exp_avg_dtype", "torch.float32"),
        ("optimizer.exp_avg_sq_dtype", "torch.float32"),
    )
    assert optimizer(*adam) == pytest.approx(plain * 10 / 4, rel=1e-3)
    assert optimizer(("model.torch_dtype", "float32")) > 2 * plain


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("peft", {"dim": 8}, "peft: adapters, which alone are trained, are not planned"),
        ("teacher_model", {}, "teacher_model: a teacher beside the model is not planned"),
        ("distributed.strategy", "ddp", "distributed.strategy: only FSDP2 is read"),
        ("fp8", {"enabled": True}, "fp8: training in 8 bits is not planned for AutoModel"),
        ("dataset", {}, "does not say how long sequences are; give --seq-length"),
        ("distributed.pp_size", 3, "does not divide the 16 devices"),
        ("model.config.pretrained_model_name_or_path", "me/mine", "'me/mine' is not a model"),
        ("distributed.pipeline.pp_schedule", "zbv", "expected one of 1f1b, interleaved1f1b"),
        ("distributed.activation_checkpointing", "selective", "expected true, false or full"),
        ("model.torch_dtype", "int8", "model.torch_dtype: expected one of bfloat16"),
    ],
)
def test_what_is_not_planned_is_said_at_its_place(
    estimated: Callable[..., Outcome], path: str, value: Any, said: str
) -> None:
    done = estimated((path, value))
    assert done.code == 2
    assert said in done.stderr


def test_an_exported_recipe_is_the_plan_again(planner: Run, tmp_path: Path) -> None:
    chosen = ("--cluster", "dgx-h100-16", "--nodes", "2", "--model", "llama-3-8b", "--software",
              "automodel", "--pipeline", "2", "--virtual-stages", "2", "--tensor", "2",
              "--stage-layers", "7,9,9,7", "--micro-batch-size", "2", "--global-batch-size", "64",
              "--seq-length", "4096", "--recompute", "full", "--json")  # fmt: skip
    done = planner("estimate", *chosen)
    first = plan(done)
    (tmp_path / "plan.json").write_text(done.stdout)
    recipe = tmp_path / "automodel.yaml"
    planner("export", str(tmp_path / "plan.json"), "--format", "automodel", "-o", str(recipe))
    options = ("--cluster", "dgx-h100-16", "--nodes", "2", "--plan", str(recipe), "--json")
    again = plan(planner("estimate", *options))
    for key in ("degrees", "stages", "recompute", "micro_batch_size", "data_sharding"):
        assert again[key] == first[key], key
    assert again["estimate"]["step_s"] == first["estimate"]["step_s"]
