"""Memory of stages against arithmetic done by hand, and its behaviour."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.plan import Plan, StageMemory
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.specs.model.spec import ModelSpec
from planner.training.estimate import estimate
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.layouts.default import stages_of
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import parse_restrictions
from planner.training.timeline.step import step_timeline
from planner.workload.formats import bucket_bytes
from planner.workload.parameters import mtp_parameters

H, L, A, V, S, G = 1024, 8, 16, 32000, 1024, 64
LAYER = 12 * H * H + 13 * H
"""Parameters of a GPT layer with biases (Narayanan et al. 2021, equation 2, per layer)."""


def scenario(
    model: ModelSpec | None = None, *, software: str = "megatron-core", precision: str = "bf16"
) -> Scenario:
    if model is None:
        model = replace(
            load_model("gpt-1.7b"),
            num_layers=L,
            hidden_size=H,
            ffn_hidden_size=4 * H,
            num_attention_heads=A,
            num_query_groups=A,
            head_dim=H // A,
            vocab_size=V,
            make_vocab_size_divisible_by=1,
            dropout=True,
            seq_length=S,
        )
    job = build_job(
        model,
        load_software(software),
        devices=16,
        global_batch_size=G,
        seq_length=S,
        precision=precision,
    )
    return build_scenario(load_cluster("dgx-a100-8").sized(devices=16), model, job)


def untied() -> ModelSpec:
    """torchtitan has no pipeline with tied embeddings."""
    return replace(scenario().model, tie_embeddings=False)


def plan(of: Scenario, **flags: str) -> Plan:
    return plan_from_flags(of, parse_restrictions(flags))


def stages(of: Scenario, **flags: str) -> tuple[StageMemory, ...]:
    return estimate(of, plan(of, **flags)).memory.per_stage


def test_states_of_a_middle_stage_are_six_bytes_and_twelve_over_the_replicas() -> None:
    """Megatron-LM `distrib_optimizer.md`: 6 + 12/d bytes per parameter with fp32 gradients."""
    of = scenario()
    middle = stages(of, pipeline="4", tensor="1")[1].components
    parameters = L // 4 * LAYER
    assert middle.weights == 2 * parameters
    assert middle.gradients == 4 * parameters
    assert middle.optimizer == 12 * parameters // 4


def test_without_a_sharded_optimizer_every_parameter_costs_eighteen_bytes() -> None:
    middle = stages(scenario(), pipeline="4", data_sharding="none")[1].components
    assert middle.weights + middle.gradients + middle.optimizer == 18 * (L // 4 * LAYER)


def test_a_tied_embedding_is_held_once_by_one_stage_and_twice_by_two() -> None:
    of = scenario()
    positions = S * H
    final_norm = 2 * H
    (whole,) = stages(of, pipeline="1")
    assert whole.components.weights == 2 * (V * H + positions + L * LAYER + final_norm)
    first, last = stages(of, pipeline="2")
    assert first.components.weights == 2 * (V * H + positions + L // 2 * LAYER)
    assert last.components.weights == 2 * (V * H + L // 2 * LAYER + final_norm)


def test_activations_follow_the_microbatches_in_flight() -> None:
    """1F1B keeps p − i microbatches on stage i (Narayanan et al. 2021, section 2.2.1)."""
    kept = [stage.components.activations for stage in stages(scenario(), pipeline="4")]
    assert kept[1] * 2 == pytest.approx(kept[2] * 3, rel=1e-9)
    assert kept[0] > kept[1] * 4 / 3
    eager = scenario(untied(), software="torchtitan")
    flags = {"pipeline": "4", "data_sharding": "none", "recompute": "none"}
    all_at_once = stages(eager, schedule="gpipe", **flags)[2].components.activations
    one_by_one = stages(eager, schedule="1f1b", **flags)[2].components.activations
    assert all_at_once == G // 4 * one_by_one // 2


def test_logits_live_on_the_last_stage_in_fp32() -> None:
    """s·b·V/t · 4 bytes kept for the backward pass."""
    of = scenario()
    for tensor in (1, 4):
        per_stage = stages(of, pipeline="2", tensor=str(tensor), micro_batch_size="2")
        assert per_stage[0].components.logits == 0
        assert per_stage[1].components.logits == 2 * S * V // tensor * 4


@pytest.mark.parametrize("layers", [(1,) * 8, (3, 1, 1, 1, 0, 1, 1, 0), (0, 0, 1, 1, 2, 2, 1, 1)])
def test_activations_of_uneven_chunks_are_those_of_the_simulated_step(
    layers: tuple[int, ...],
) -> None:
    """The fullest moment of a stage depends on what its chunks keep: two ways to the same peak."""
    of = scenario()
    even = plan(of, pipeline="4", virtual_stages="2", schedule="interleaved", micro_batch_size="1")
    uneven = replace(even, stages=stages_of(layers, 4, 2, "interleaved"))
    over_time = step_timeline(of, uneven).memory
    # The first stage's peak may be in the embedding's backward pass, when layers are freed.
    for stage, curve in list(zip(estimate(of, uneven).memory.per_stage, over_time, strict=True))[
        1:
    ]:
        kept = stage.components.activations + stage.components.logits
        assert kept == curve.peak


def test_recomputation_trades_memory_layer_by_layer() -> None:
    of = scenario()
    peaks = []
    for layers in range(1, 5):
        one = plan_from_flags(
            of,
            parse_restrictions({"pipeline": "2", "recompute": "full", "micro_batch_size": "1"}),
            recompute_layers=layers,
        )
        peaks.append(estimate(of, one).memory.per_stage[0].peak_bytes)
    none = stages(of, pipeline="2", recompute="none", micro_batch_size="1")[0].peak_bytes
    assert none > peaks[0] > peaks[1] > peaks[2] > peaks[3]


def test_selective_recomputation_drops_the_scores_of_unfused_attention() -> None:
    of = scenario(software="megatron-lm-2022", precision="fp16")
    flags = {"tensor": "4", "micro_batch_size": "4"}
    none = stages(of, recompute="none", **flags)[0].components.activations
    selective = stages(of, recompute="selective", **flags)[0].components.activations
    assert selective > 0
    assert none - selective == L * 5 * A * S * S * 4 // 4


def test_full_sharding_divides_all_states_by_the_replicas() -> None:
    of = scenario(software="torchtitan")
    (stage,) = stages(of, pipeline="1", data_sharding="full")
    states = stage.components.weights + stage.components.gradients + stage.components.optimizer
    parameters = V * H + S * H + L * LAYER + 2 * H
    assert states == pytest.approx(16 * parameters / 16, rel=1e-6)


def test_stages_of_a_pipeline_wait_for_the_last_microbatch_with_whole_weights() -> None:
    """torchtitan with a pipeline: 4 + 8 bytes over the replicas, 2 + 4 whole per parameter."""
    of = scenario(untied(), software="torchtitan")
    parameters = L // 4 * LAYER
    for sharding, sharded_bytes in (("full", 12), ("optimizer+gradients", 12)):
        middle = stages(of, pipeline="4", data_sharding=sharding)[1].components
        states = middle.weights + middle.gradients + middle.optimizer
        assert states == pytest.approx((6 + sharded_bytes / 4) * parameters, rel=1e-6)
    once = estimate(of, plan(of, pipeline="4", data_sharding="full", micro_batch_size="1")).time
    often = estimate(
        resharding(of), plan(of, pipeline="4", data_sharding="full", micro_batch_size="1")
    ).time
    assert 0 < once.data_comm_s < often.data_comm_s


def resharding(of: Scenario) -> Scenario:
    """The same, its framework gathering and reducing for every microbatch."""
    software = of.job.software.model_copy(update={"pipeline_keeps_whole": False, "overlap": ()})
    return replace(of, job=replace(of.job, software=software))


def test_logits_that_become_their_gradient_are_kept_once_in_sixteen_bits() -> None:
    of = scenario(software="megatron-core-perf")
    for microbatch in (1, 2, 4):
        last = stages(of, pipeline="2", micro_batch_size=str(microbatch))[1].components
        assert last.logits == microbatch * S * V * 2
        assert last.buffers < microbatch * S * V * 2 + 80e6


def test_half_precision_gradients_meet_fp32_copies_in_the_optimizer_step() -> None:
    """fp16 Megatron jobs keep 16 bytes per parameter and make fp32 gradients for the update."""
    of = scenario(precision="fp16")
    middle = stages(of, pipeline="4", data_sharding="none")[1].components
    parameters = L // 4 * LAYER
    assert middle.weights + middle.gradients + middle.optimizer == 16 * parameters


@pytest.mark.parametrize(("precision", "gradient_bytes"), [("fp16", 2), ("bf16", 4 + 2)])
def test_local_gradients_stay_beside_wider_ones_only(precision: str, gradient_bytes: int) -> None:
    """DeepSpeed: the fp16 optimizer reduces the gradients of the layers themselves, BF16_Optimizer
    accumulates them in fp32 (`runtime/zero/stage_1_and_2.py`, `runtime/bf16_optimizer.py`)."""
    of = scenario(software="megatron-deepspeed-2022", precision=precision)
    middle = stages(of, pipeline="4", recompute="full")[1].components
    assert middle.gradients == gradient_bytes * (L // 4) * LAYER


def test_buckets_count_gradients_not_bytes() -> None:
    """DeepSpeed `reduce_bucket_size`: 5e8 elements, whatever their type."""
    profile = load_software("megatron-deepspeed-2022")
    assert bucket_bytes(profile, "bf16") == 2 * bucket_bytes(profile, "fp16") == 4 * 5e8


def test_components_add_up_and_nest() -> None:
    for stage in stages(scenario(), pipeline="4", tensor="2"):
        parts = stage.components
        assert stage.peak_bytes == parts.allocated_bytes + parts.slack + parts.fixed
        assert stage.allocated_peak_bytes < stage.reserved_peak_bytes < stage.device_peak_bytes


def test_headroom_is_taken_from_the_capacity() -> None:
    of = scenario()
    tight = replace(of, job=replace(of.job, headroom=0.99))
    assert stages(of, pipeline="1")[0].spare_bytes > 0
    assert estimate(tight, plan(tight, pipeline="1")).memory.fits is False


def test_uneven_stages_are_not_averaged() -> None:
    of = scenario()
    uneven = plan_from_flags(of, parse_restrictions({"pipeline": "2"}), stage_layers=(6, 2))
    first, second = estimate(of, uneven).memory.per_stage
    assert first.components.weights - second.components.weights == 2 * (4 * LAYER + S * H - 2 * H)


@pytest.mark.parametrize(("tied", "copies"), [(False, 1), (True, 0)])
def test_layers_that_predict_further_tokens_have_an_embedding(tied: bool, copies: int) -> None:
    """Megatron-LM `language_module.py`: their stage keeps a copy of the token embedding unless it
    has the embedding, or its output matrix is that embedding."""
    plain = replace(scenario().model, tie_embeddings=tied)
    predicting = replace(plain, mtp_num_layers=1)
    module = mtp_parameters(predicting).total
    for pipeline, more in ((1, 0), (2, copies)):
        before, after = (
            estimate(of, plan(of, tensor="2", pipeline=str(pipeline)))
            for of in (scenario(plain), scenario(predicting))
        )
        last = [one.memory.per_stage[-1].components for one in (before, after)]
        grown = last[1].weights - last[0].weights
        assert grown == pytest.approx(module + more * V * H, rel=2e-3)
        assert last[1].gradients - last[0].gradients == pytest.approx(2 * grown, rel=1e-6)
        tied_s = [one.time_detail["tied_embedding_reduction_s"] for one in (before, after)]
        assert (tied_s[1] > 0) == (pipeline > 1)
        assert tied_s[1] >= tied_s[0]
