"""Operators against the formulas that the papers print."""

from __future__ import annotations

import dataclasses

import pytest

from planner.specs.load import load_model, load_software
from planner.specs.model.spec import ModelSpec
from planner.training.layer.memory import layer_memory
from planner.workload.layers import layer_kinds, layer_operators
from planner.workload.operators import Collective
from planner.workload.parameters import mtp_parameters, total_parameters
from planner.workload.shard import Shard
from planner.workload.workload import Workload

B, S = 2, 2048


def workload(
    model: ModelSpec, shard: Shard, software: str = "megatron-lm-2022", precision: str = "fp16"
) -> Workload:
    return Workload(
        model=model,
        software=load_software(software),
        precision=precision,
        seq_length=S,
        expert_imbalance=1.0,
        shard=shard,
    )


@pytest.mark.parametrize("tensor", [1, 2, 8])
@pytest.mark.parametrize("name", ["megatron-22b", "gpt3-175b"])
def test_activations_of_a_gpt_layer_are_those_of_korthikanti(name: str, tensor: int) -> None:
    """Korthikanti et al. 2022, table 2: activation bytes per transformer layer."""
    model = load_model(name)
    h, a, t = model.hidden_size, model.num_attention_heads, tensor
    sbh = S * B * h
    scores = 5 * a * S * S * B // t
    tensor_only = workload(model, Shard(tensor=t, micro_batch_size=B))
    memory = layer_memory(tensor_only, layer_operators(tensor_only, "dense"))
    assert memory.saved_bytes == 10 * sbh + 24 * sbh // t + scores
    assert memory.full_bytes == 2 * sbh
    if t == 1:
        assert memory.saved_bytes == 34 * sbh + scores
        return
    sequence = workload(model, Shard(tensor=t, micro_batch_size=B, sequence_parallel=True))
    memory = layer_memory(sequence, layer_operators(sequence, "dense"))
    assert memory.saved_bytes == 34 * sbh // t + scores
    assert memory.selective_bytes == 34 * sbh // t
    assert memory.full_bytes == 2 * sbh // t


@pytest.mark.parametrize(
    "name",
    [
        "gpt3-175b",
        "bloom-176b",
        "gpt-neox-20b",
        "llama-3-70b",
        "mixtral-8x7b",
        "qwen3-235b-a22b",
        "deepseek-v2",
        "deepseek-v3",
        "gpt-oss-120b",
    ],
)
def test_parameters_of_the_operators_add_up_to_the_model(name: str) -> None:
    """Two independent counts: operator by operator, and by the closed formulas."""
    model = dataclasses.replace(load_model(name), make_vocab_size_divisible_by=1)
    job = workload(model, Shard(), "megatron-core", "bf16")
    kinds = ["embedding", *layer_kinds(model), *["mtp"] * model.mtp_num_layers, "head"]
    counted = sum(operator.parameters for kind in kinds for operator in layer_operators(job, kind))
    if model.tie_embeddings:
        counted -= model.vocab_size * model.hidden_size
    modules = model.mtp_num_layers * mtp_parameters(model).total if model.mtp_num_layers else 0
    assert counted == total_parameters(model) + modules


@pytest.mark.parametrize(("tensor", "expert", "expert_tensor"), [(1, 8, 1), (4, 2, 1), (2, 4, 2)])
def test_expert_parameters_shard_by_expert_and_expert_tensor(
    tensor: int, expert: int, expert_tensor: int
) -> None:
    model = load_model("mixtral-8x7b")
    whole = workload(model, Shard(), "megatron-core", "bf16")
    shard = Shard(
        tensor=tensor, expert=expert, expert_tensor=expert_tensor, sequence_parallel=tensor > 1
    )
    part = workload(model, shard, "megatron-core", "bf16")
    all_experts = layer_memory(whole, layer_operators(whole, "moe")).expert_parameters
    local = layer_memory(part, layer_operators(part, "moe")).expert_parameters
    assert local * expert * expert_tensor == all_experts


def test_tensor_collectives_of_a_layer() -> None:
    """Two all-reduces each way without sequence parallelism, two gathers and two scatters with it
    (Korthikanti et al. 2022, figures 4 and 5), the backward pass gathering the inputs again."""
    model = load_model("gpt3-175b")
    plain = _collectives(workload(model, Shard(tensor=8)))
    assert plain == {("all_reduce", "forward"): 2, ("all_reduce", "backward"): 2}
    sequence = _collectives(workload(model, Shard(tensor=8, sequence_parallel=True)))
    assert sequence == {
        ("all_gather", "forward"): 2,
        ("reduce_scatter", "forward"): 2,
        ("all_gather", "backward"): 4,
        ("reduce_scatter", "backward"): 2,
    }


def _collectives(job: Workload) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for operator in layer_operators(job, "dense"):
        if isinstance(operator, Collective):
            key = (operator.operation, "forward" if operator.in_forward else "backward")
            counts[key] = counts.get(key, 0) + 1
    return counts


def test_context_parallelism_divides_activations() -> None:
    model = load_model("llama-3-8b")
    whole = workload(model, Shard(context=2), "megatron-core", "bf16")
    part = workload(model, Shard(context=8), "megatron-core", "bf16")
    saved = layer_memory(whole, layer_operators(whole, "dense")).saved_bytes
    assert layer_memory(part, layer_operators(part, "dense")).saved_bytes * 4 == saved


def test_flash_attention_keeps_no_scores() -> None:
    """Nothing a layer keeps may grow with the square of the sequence."""
    model = load_model("llama-3-8b")
    kept = []
    for seq_length in (2048, 4096):
        job = dataclasses.replace(
            workload(model, Shard(), "megatron-core", "bf16"), seq_length=seq_length
        )
        kept.append(layer_memory(job, layer_operators(job, "dense")).saved_bytes)
    assert kept[1] == 2 * kept[0]


@pytest.mark.parametrize("context", [1, 4])
def test_rotated_queries_keys_and_values_are_kept_once(context: int) -> None:
    """Values are copied beside the rotated queries and keys, or into the buffer of a ring."""
    model = load_model("llama-3-70b")
    job = workload(model, Shard(context=context, micro_batch_size=B), "megatron-core", "bf16")
    operators = {o.name: o for o in layer_operators(job, "dense")}
    query, key_value = 8192, 8 * 128
    elements = query + 2 * key_value
    assert operators["query_key_value"].saved_bytes == 2 * (B * S // context) * elements


@pytest.mark.parametrize(("norms", "shared"), [(2, False), (1, True)])
def test_parallel_attention_keeps_its_input_once_and_reduces_once(norms: int, shared: bool) -> None:
    """x + attention(norm(x)) + mlp(norm(x)) beside the same model one after the other."""
    parallel = dataclasses.replace(load_model("gpt-neox-20b"), norms_per_layer=norms)
    sequential = dataclasses.replace(parallel, parallel_attention=False, norms_per_layer=2)
    shard = Shard(tensor=4, micro_batch_size=B)
    one = workload(sequential, shard, "megatron-core", "bf16")
    both = workload(parallel, shard, "megatron-core", "bf16")
    sbh = S * B * parallel.hidden_size
    kept = [layer_memory(job, layer_operators(job, "dense")) for job in (one, both)]
    assert kept[0].saved_bytes - kept[1].saved_bytes == 2 * sbh * (2 if shared else 1)
    fewer_parameters = (2 if parallel.norm_bias else 1) * parallel.hidden_size * shared
    assert kept[0].dense_parameters - kept[1].dense_parameters == fewer_parameters
    assert _collectives(one) == {("all_reduce", "forward"): 2, ("all_reduce", "backward"): 2}
    assert _collectives(both) == {("all_reduce", "forward"): 1, ("all_reduce", "backward"): 2}


@pytest.mark.parametrize(("expert", "expert_tensor"), [(8, 1), (4, 2), (1, 2)])
def test_the_gathering_dispatcher_moves_every_token_to_every_rank(
    expert: int, expert_tensor: int
) -> None:
    """Forward a gather before and a reduce-scatter after the experts, backward the other way."""
    model, profile = load_model("mixtral-8x7b"), load_software("megatron-core")
    gathering = profile.model_copy(
        update={"expert": profile.expert.model_copy(update={"dispatcher": "allgather"})}
    )
    shard = Shard(expert=expert, expert_tensor=expert_tensor, micro_batch_size=B)
    job = dataclasses.replace(workload(model, shard, "megatron-core", "bf16"), software=gathering)
    found = [o for o in layer_operators(job, "moe") if isinstance(o, Collective)]
    ranks = expert * expert_tensor
    assert max(o.buffer_bytes for o in found) == 2 * S * B * model.hidden_size * ranks
    forward = [o.operation for o in found if o.in_forward]
    assert forward == [o.operation for o in found if o.in_backward][::-1]
    assert set(forward) == {"all_gather", "reduce_scatter"}
    assert not any(o.in_forward and o.in_backward for o in found)
