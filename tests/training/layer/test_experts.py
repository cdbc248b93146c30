"""What experts cost beside their products: launches, biases, clamps, copies of tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.hardware.collectives import all_to_all_s
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.specs.software import SoftwareProfile
from planner.training.layer.tally import LayerTime, collective_s
from planner.training.layer.timing import layer_time
from planner.training.scenario import Scenario, build_scenario
from planner.workload.layers import layer_operators
from planner.workload.operators import Collective, Operator, Pointwise
from planner.workload.shard import Shard
from planner.workload.workload import Workload

PERFORMANCE = load_software("megatron-core-perf")


def scenario() -> Scenario:
    model = load_model("qwen3-235b-a22b")
    job = build_job(model, PERFORMANCE, devices=64, global_batch_size=64, precision="fp8")
    return build_scenario(load_cluster("dgx-h100-16").sized(devices=64), model, job)


def workload(
    *,
    expert: int = 8,
    model: str = "qwen3-235b-a22b",
    software: SoftwareProfile = PERFORMANCE,
    precision: str = "fp8",
    seq_length: int = 4096,
) -> Workload:
    return Workload(
        model=load_model(model),
        software=software,
        precision=precision,
        seq_length=seq_length,
        expert_imbalance=1.0,
        shard=Shard(expert=expert),
    )


def moe_time(job: Workload) -> LayerTime:
    of = scenario()
    return layer_time(job, layer_operators(job, "moe"), of.device_types[0], of.topology)


def test_experts_wait_for_the_host_where_they_are_many_and_have_few_tokens() -> None:
    """One product forward and two backward per expert, up and down, in 8 bits."""
    few, many = moe_time(workload(expert=32)), moe_time(workload(expert=4))
    assert few.host_bound_s == 0.0
    assert many.host_bound_s > 0.0
    launch_s = PERFORMANCE.expert.quantized_launch
    assert launch_s is not None
    slower = PERFORMANCE.expert.model_copy(
        update={"quantized_launch": launch_s.model_copy(update={"value": 2 * launch_s.value})}
    )
    profile = PERFORMANCE.model_copy(update={"expert": slower})
    moe = load_model("qwen3-235b-a22b").moe
    assert moe is not None
    local = moe.num_experts // 4
    more = moe_time(workload(expert=4, software=profile))
    assert more.host_bound_s - many.host_bound_s == pytest.approx(6 * local * launch_s.value)
    assert moe_time(workload(expert=4, seq_length=131072)).host_bound_s == 0.0


def test_sixteen_bit_experts_are_launched_at_the_usual_cost() -> None:
    assert moe_time(workload(expert=8, precision="bf16")).host_bound_s == 0.0


def test_graphs_leave_out_experts_only() -> None:
    eager = PERFORMANCE.model_copy(update={"cuda_graphs": False})
    slow = PERFORMANCE.host_launch.model_copy(update={"value": 1e-3})
    recorded = workload(software=PERFORMANCE.model_copy(update={"host_launch": slow}))
    launched = workload(software=eager.model_copy(update={"host_launch": slow}))
    assert moe_time(launched).host_bound_s > moe_time(recorded).host_bound_s > 0
    of = scenario()
    dense = layer_time(
        recorded, layer_operators(recorded, "dense"), of.device_types[0], of.topology
    )
    assert dense.host_bound_s == 0.0


def operators_of(job: Workload) -> dict[str, Operator]:
    return {operator.name: operator for operator in layer_operators(job, "moe")}


def test_biases_and_clamps_of_experts_are_passes_over_their_tokens() -> None:
    """Megatron-LM `TEGroupedMLP._apply_bias`, `weighted_bias_quick_geglu_impl`; gpt-oss has 4
    experts a token, hidden size 2880, expert width 2880."""
    job = workload(model="gpt-oss-120b", precision="bf16")
    rows = 4096 * 4
    bias, clamp = operators_of(job)["expert_bias"], operators_of(job)["expert_clamp"]
    assert isinstance(bias, Pointwise)
    assert isinstance(clamp, Pointwise)
    spread = 1 / PERFORMANCE.expert.broadcast_share.value
    assert bias.forward_bytes == pytest.approx((24 + 4 * spread) * rows * 2880)
    assert bias.backward_bytes == pytest.approx((24 + 16 * spread) * rows * 2880)
    assert bias.parameters == 0
    assert clamp.saved_bytes == 2 * rows * 2 * 2880
    assert clamp.forward_bytes == 4 * clamp.saved_bytes
    fused = PERFORMANCE.model_copy(
        update={"expert": PERFORMANCE.expert.model_copy(update={"fused_biases": True})}
    )
    names = operators_of(workload(model="gpt-oss-120b", precision="bf16", software=fused))
    assert "expert_bias" not in names
    assert "expert_clamp" not in names
    assert "expert_bias" not in operators_of(workload())


@pytest.mark.parametrize(("expert", "places"), [(8, 8), (32, 4)])
def test_a_token_travels_once_to_every_device_of_a_node_and_once_to_every_node(
    expert: int, places: int
) -> None:
    """Of D places the chance that none of a token's 8 experts is in one is (1 − 1/D)⁸."""
    of = scenario()
    job = workload(expert=expert)
    dispatch = operators_of(job)["dispatch_all_to_all"]
    assert isinstance(dispatch, Collective)
    group = of.topology.group(expert, 1)
    share = places * (1 - (1 - 1 / places) ** 8) / 8
    assert collective_s(dispatch, group) == pytest.approx(
        all_to_all_s(group, dispatch.buffer_bytes * share, network_efficiency=1.0)
    )
    plain = replace(dispatch, copies=1)
    assert collective_s(plain, group) > collective_s(dispatch, group)


@pytest.mark.parametrize("dispatcher", ["alltoall", "deepep"])
def test_shared_experts_hide_as_much_of_the_exchanges_as_they_take(dispatcher: str) -> None:
    """First product and activation while tokens travel, the second while they come back, both ways
    (Megatron-LM `shared_experts.py`); hidden time costs the work beside it its share. A gathering
    dispatcher has nothing of it, nor exchanges beside another microbatch."""
    beside = PERFORMANCE.model_copy(update={"overlap": (*PERFORMANCE.overlap, "shared_expert")})
    of = scenario()

    def priced(software: SoftwareProfile, **shard: object) -> LayerTime:
        job = workload(model="deepseek-v3", software=software, precision="bf16")
        job = replace(job, shard=job.shard._replace(dispatcher=dispatcher, **shard))  # type: ignore[arg-type]
        return layer_time(job, layer_operators(job, "moe"), of.device_types[0], of.topology)

    alone, hidden = priced(PERFORMANCE), priced(beside)
    assert alone.hidden_s == 0.0
    kept = 1 - of.device_types[0].links.overlap_cost
    saved = alone.forward.total_s + alone.backward.total_s
    saved -= hidden.forward.total_s + hidden.backward.total_s
    assert saved == pytest.approx(kept * hidden.hidden_s, rel=1e-6)
    sent = alone.forward.expert_s + alone.backward.expert_s
    assert 0.02 * sent < hidden.hidden_s <= sent
    assert priced(beside, expert_overlap=True) == priced(PERFORMANCE, expert_overlap=True)
    assert priced(beside, expert=1) == priced(PERFORMANCE, expert=1)


@pytest.mark.parametrize("ranks", [1, 2, 8, 32, 128])
def test_the_fullest_rank_is_fuller_the_fewer_experts_it_has(ranks: int) -> None:
    """One rank with all experts has the mean, one expert a rank the stated imbalance. Between them
    the formula is that of the maxima of normal loads: it is held to loads drawn at random, whose
    busiest expert is as stated on average."""
    experts, stated, drawn = 128, 1.4, np.random.default_rng(0)
    job = replace(workload(expert=ranks), expert_imbalance=stated)
    assert ranks not in (1, 128) or job.expert_load == pytest.approx({1: 1.0, 128: stated}[ranks])
    loads = drawn.standard_normal((4000, experts))
    loads *= (stated - 1) / loads.max(axis=1).mean()
    fullest = 1 + loads.reshape(4000, ranks, -1).mean(axis=2).max(axis=1).mean()
    assert job.expert_load - 1 == pytest.approx(fullest - 1, rel=0.35, abs=0.03)
