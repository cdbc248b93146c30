"""What selective recomputation of a mixture keeps and does again."""

from __future__ import annotations

import pytest

from planner.specs.load import load_model, load_software
from planner.training.layer.memory import layer_memory
from planner.workload.layers import layer_operators
from planner.workload.recompute import selective
from planner.workload.shard import Shard
from planner.workload.workload import Workload

SHARED = ("shared_expert",)
ROUTED = ("router", "route", "dispatch", "expert", "combine")


def workload(*modules: str) -> Workload:
    software = load_software("megatron-core")
    switch = software.recompute.model_copy(update={"selective_modules": modules})
    return Workload(
        model=load_model("deepseek-v3"),
        software=software.model_copy(update={"recompute": switch}),
        precision="bf16",
        seq_length=4096,
        expert_imbalance=1.0,
        shard=Shard(expert=8),
    )


@pytest.mark.parametrize(
    ("module", "redone"),
    [("moe", (*ROUTED, *SHARED)), ("shared_experts", SHARED), ("mlp", ())],
)
def test_modules_of_a_mixture(module: str, redone: tuple[str, ...]) -> None:
    """`moe` is the layer from its router to its shared experts, of which its input stays: two bytes
    for each of 4,096 · 7,168 elements. `mlp` is the dense layers' alone."""
    w = workload(module)
    operators = layer_operators(w, "moe")
    effects = selective(w, operators)
    for operator, effect in zip(operators, effects, strict=True):
        assert effect.redone_share == float(operator.name.startswith(redone)), operator.name
    dropped = sum(one.saved_bytes for one in operators if one.name.startswith(redone))
    kept = 2 * 4096 * 7168 if module == "moe" else 0
    memory = layer_memory(w, operators)
    assert memory.saved_bytes - memory.selective_bytes == dropped - kept
    assert (dropped > 0) == bool(redone)


def test_the_dense_layers_of_a_mixture_recompute_their_mlp() -> None:
    w = workload("mlp")
    memory = layer_memory(w, layer_operators(w, "dense"))
    assert memory.selective_bytes < memory.saved_bytes
    other = workload("moe")
    memory = layer_memory(other, layer_operators(other, "dense"))
    assert memory.selective_bytes == memory.saved_bytes
