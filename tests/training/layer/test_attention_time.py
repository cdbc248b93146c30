"""Seconds of one layer: attention with dropout, and the softmax that cannot be one kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.hardware.described import device_from_spec
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_device, load_model, load_software
from planner.training.layer.operators import operator_time
from planner.training.layer.tally import LayerTime
from planner.training.layer.timing import layer_time
from planner.training.scenario import build_scenario
from planner.workload.core_attention import core_attention
from planner.workload.layers import layer_operators
from planner.workload.operators import Operator, Pointwise
from planner.workload.shard import Shard
from planner.workload.workload import Workload


def gpt_layer(
    software: str = "megatron-core",
    *,
    heads: int = 24,
    seq_length: int = 2048,
    tensor: int = 1,
    micro_batch_size: int = 1,
    dropout: bool = True,
) -> LayerTime:
    """A layer of hidden size 3072 on a DGX A100."""
    model = replace(
        load_model("gpt-3.6b"),
        num_attention_heads=heads,
        num_query_groups=heads,
        head_dim=3072 // heads,
    )
    profile = load_software(software).model_copy(update={"dropout": dropout})
    job = build_job(
        model, profile, devices=8, global_batch_size=8, seq_length=seq_length, precision="fp16"
    )
    of = build_scenario(load_cluster("dgx-a100-8"), model, job)
    workload = of.workload(Shard(tensor=tensor, micro_batch_size=micro_batch_size))
    return layer_time(workload, layer_operators(workload, "dense"), of.device_types[0], of.topology)


@pytest.mark.parametrize(
    ("seq_length", "forward_s", "backward_s"),
    [(2048, 10.45e-3, 20.95e-3), (4096, 23.6e-3, 45.5e-3)],
)
def test_stages_of_four_layers_take_the_published_time(
    seq_length: int, forward_s: float, backward_s: float
) -> None:
    """sail-sg/VocabularyParallelism at 6191c3bf, artifact/exp_one_host.csv: stages of 4 layers
    without embedding and head, 24 heads, dropout on, one A100 each."""
    layer = gpt_layer(seq_length=seq_length)
    assert 4 * layer.forward.total_s == pytest.approx(forward_s, rel=0.05)
    assert 4 * layer.backward.total_s == pytest.approx(backward_s, rel=0.05)


def test_dropout_costs_every_score_the_same_in_both_directions() -> None:
    extra = {}
    for seq_length in (2048, 4096):
        on, off = (gpt_layer(seq_length=seq_length, dropout=drop).forward for drop in (True, False))
        on_back, off_back = (
            gpt_layer(seq_length=seq_length, dropout=drop).backward for drop in (True, False)
        )
        extra[seq_length] = on.total_s - off.total_s
        assert extra[seq_length] > 0
        assert on_back.total_s - off_back.total_s >= extra[seq_length]
    # The masks of hidden dropout grow with the tokens, the scores with their square.
    assert 2 < extra[4096] / extra[2048] < 4


def test_heads_that_are_not_a_multiple_of_four_have_no_fused_softmax() -> None:
    """Megatron-LM `fused_softmax.py`, `is_kernel_available`: heads of the microbatch modulo 4."""
    profile = "megatron-lm-2021"
    fused = gpt_layer(profile, heads=32, tensor=8, micro_batch_size=1)
    alone = gpt_layer(profile, heads=16, tensor=8, micro_batch_size=1)
    pair = gpt_layer(profile, heads=16, tensor=8, micro_batch_size=2)
    assert alone.forward.total_s > fused.forward.total_s
    assert pair.forward.total_s < 2 * alone.forward.total_s - 1e-4


def test_a_softmax_longer_than_its_kernel_takes_is_not_fused() -> None:
    """v2.2 takes 2,048 keys, v3.0 4,096."""
    older, newer = (
        gpt_layer(profile, seq_length=4096, heads=32).forward.total_s
        for profile in ("megatron-lm-2021", "megatron-lm-2022")
    )
    assert older > 1.2 * newer
    older, newer = (
        gpt_layer(profile, seq_length=2048, heads=32).forward.total_s
        for profile in ("megatron-lm-2021", "megatron-lm-2022")
    )
    assert older == pytest.approx(newer, rel=1e-9)


def softmax_of(profile: str, heads: int) -> Pointwise:
    """The softmax of one microbatch of 2,048 tokens."""
    workload = Workload(
        model=load_model("gpt-3.6b"),
        software=load_software(profile),
        precision="fp16",
        seq_length=2048,
        expert_imbalance=1.0,
        shard=Shard(),
    )
    operators = core_attention(workload, heads, 128, 128, None)
    softmax = next(operator for operator in operators if operator.name == "softmax")
    assert isinstance(softmax, Pointwise)
    return softmax


def test_without_layer_scaling_the_softmax_is_a_mask_and_a_softmax() -> None:
    """`baddbmm` has scaled the scores. Filling reads and writes 2 bytes and reads a mask of 1;
    softmax reads and writes 2, and its backward pass reads the gradient and the result."""
    softmax = softmax_of("deepspeed-3d-2021", 24)
    scores = 24 * 2048 * 2048
    assert (softmax.forward_bytes, softmax.forward_kernels) == ((4 + 1 + 4) * scores, 2)
    assert (softmax.backward_bytes, softmax.backward_kernels) == ((6 + 4 + 1) * scores, 2)


def test_the_fused_softmax_reads_the_lower_triangle_only() -> None:
    """Half of the scores in, all of them out; gradient and result in halves in the backward
    pass."""
    softmax = softmax_of("megatron-lm-2022", 24)
    scores = 24 * 2048 * 2048
    assert softmax.forward_bytes == (0.5 + 1) * 2 * scores
    assert softmax.backward_bytes == (0.5 + 0.5 + 1) * 2 * scores


def test_a_device_without_an_fp32_rate_can_run_attention_with_dropout() -> None:
    spec = load_device("a100-sxm-80gb")
    device = device_from_spec(
        spec.model_copy(update={"peak": spec.peak.model_copy(update={"fp32": None})})
    )
    times = []
    for dropout in (True, False):
        software = load_software("megatron-core").model_copy(update={"dropout": dropout})
        workload = Workload(
            model=load_model("gpt-3.6b"),
            software=software,
            precision="fp16",
            seq_length=2048,
            expert_imbalance=1.0,
            shard=Shard(),
        )
        (attention,) = core_attention(workload, 24, 128, 128, None)
        times.append(operator_time(attention, workload, device).forward_s)
    assert times[0] == times[1] > 0


def test_position_biases_of_unfused_attention_move_the_scores_once_more() -> None:
    def operators(model: str) -> dict[str, Operator]:
        workload = Workload(
            model=load_model(model),
            software=load_software("megatron-deepspeed-2022"),
            precision="bf16",
            seq_length=2048,
            expert_imbalance=1.0,
            shard=Shard(),
        )
        return {operator.name: operator for operator in core_attention(workload, 8, 128, 128, None)}

    biases = operators("bloom-176b")["position_biases"]
    assert isinstance(biases, Pointwise)
    assert (biases.forward_bytes, biases.backward_bytes) == (2 * 2 * 8 * 2048 * 2048, 0)
    assert "position_biases" not in operators("gpt-3.6b")
