"""The time of a step: its parts add up, and it moves the right way."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.plan import Estimate
from planner.specs.cluster.spec import ClusterSpec
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.estimate import estimate
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import parse_restrictions
from planner.training.step.stragglers import expected_slowest

CLUSTER = load_cluster("dgx-a100-8")


def scenario(
    *,
    cluster: ClusterSpec = CLUSTER,
    software: str = "megatron-core",
    overlap: tuple[str, ...] | None = None,
    batch: int = 256,
) -> Scenario:
    profile = load_software(software)
    if overlap is not None:
        profile = profile.model_copy(update={"overlap": overlap})
    model = load_model("gpt-7.5b")
    job = build_job(model, profile, devices=64, global_batch_size=batch, precision="bf16")
    return build_scenario(cluster, model, job)


def cost(of: Scenario, **flags: str) -> Estimate:
    return estimate(of, plan_from_flags(of, parse_restrictions(flags)))


def with_network(bandwidth: float, cluster: ClusterSpec = CLUSTER) -> ClusterSpec:
    (group,) = cluster.node_groups
    assert group.network is not None
    network = replace(group.network, bandwidth_bytes_per_s=bandwidth)
    return replace(cluster, node_groups=(replace(group, network=network),))


@settings(max_examples=25, deadline=None)
@given(
    tensor=st.sampled_from(["1", "2", "4", "8"]),
    pipeline=st.sampled_from(["1", "2", "4"]),
    micro_batch=st.sampled_from(["1", "2", "4"]),
    recompute=st.sampled_from(["none", "selective", "full"]),
    sharding=st.sampled_from(["none", "optimizer"]),
)
def test_breakdown_adds_up_and_nothing_is_negative(
    tensor: str, pipeline: str, micro_batch: str, recompute: str, sharding: str
) -> None:
    found = cost(
        scenario(),
        tensor=tensor,
        pipeline=pipeline,
        micro_batch_size=micro_batch,
        recompute=recompute,
        data_sharding=sharding,
    )
    parts = [getattr(found.time, field.name) for field in fields(found.time)]
    assert all(part >= 0 for part in parts)
    assert sum(parts) == pytest.approx(found.step_s, rel=1e-9)
    assert (found.time.bubble_s > 0) == (pipeline != "1")
    assert (found.time.tensor_comm_s > 0) == (tensor != "1")
    assert (found.time.recompute_s > 0) == (recompute != "none")


def test_twice_the_batch_takes_twice_the_pipeline_without_its_bubble() -> None:
    one = cost(scenario(batch=256), pipeline="4", tensor="2")
    two = cost(scenario(batch=512), pipeline="4", tensor="2")
    assert two.time.compute_s == pytest.approx(2 * one.time.compute_s, rel=1e-9)
    assert two.time.bubble_s == pytest.approx(one.time.bubble_s, rel=1e-6)
    assert two.time.optimizer_s == one.time.optimizer_s


def test_bubble_of_equal_stages_is_that_of_the_paper() -> None:
    """(p − 1)/m of the ideal time (Narayanan et al. 2021, section 2.2.1); the head makes the last
    stage longer, so a little less than the bottleneck's share."""
    found = cost(scenario(), pipeline="4", tensor="8", micro_batch_size="1")
    microbatches = 256 // 2
    work = found.time.compute_s + found.time.tensor_comm_s
    assert 0.7 * 3 / microbatches < found.time.bubble_s / work <= 3 / microbatches


@pytest.mark.parametrize("flags", [{"tensor": "8"}, {"pipeline": "4", "tensor": "8"}])
def test_a_slower_network_is_never_faster(flags: dict[str, str]) -> None:
    times = [
        cost(scenario(cluster=with_network(bandwidth)), **flags).step_s
        for bandwidth in (50e9, 25e9, 5e9, 1e9)
    ]
    assert times == sorted(times)
    assert times[-1] > times[0]


def test_overlap_hides_gradient_reduction_and_says_what_it_costs() -> None:
    alone = cost(scenario(overlap=()), tensor="8", data_sharding="optimizer")
    hidden = cost(
        scenario(overlap=("gradient_reduce", "parameter_gather")),
        tensor="8",
        data_sharding="optimizer",
    )
    assert 0 < hidden.time.data_comm_s < alone.time.data_comm_s
    assert hidden.step_s < alone.step_s


def test_sequence_parallelism_saves_memory_bound_work() -> None:
    """Where the device binds: the host launches more operators for it, whatever their size."""
    on, off = (
        cost(scenario(), tensor="8", micro_batch_size="4", sequence_parallel=switch)
        for switch in ("on", "off")
    )
    assert on.time_detail["host_bound_s"] == off.time_detail["host_bound_s"] == 0.0
    assert on.time.compute_s < off.time.compute_s


def test_recorded_graphs_take_the_host_out_of_small_layers() -> None:
    model = replace(load_model("gpt-1.7b"), num_layers=4)
    times = []
    for graphs in (False, True):
        profile = load_software("megatron-deepspeed-2022").model_copy(
            update={"cuda_graphs": graphs}
        )
        job = build_job(
            model, profile, devices=8, global_batch_size=8, seq_length=256, precision="fp16"
        )
        of = build_scenario(CLUSTER.sized(devices=8), model, job)
        found = cost(of, tensor="8")
        times.append(found.step_s)
        assert (found.time_detail["host_bound_s"] > 0) != graphs
    assert times[1] < times[0]


def test_expected_slowest_of_many() -> None:
    """Expected maxima of standard normals: 0 of one, 0.564 of two, 1.539 of ten, 2.508 of a
    hundred (Harter 1961, Biometrika 48, table 1); Blom's approximation is good to 1 %."""
    assert expected_slowest(1) == pytest.approx(0.0, abs=1e-12)
    for count, expected in ((2, 0.5642), (10, 1.5388), (100, 2.5076)):
        assert expected_slowest(count) == pytest.approx(expected, rel=0.05)


def test_a_context_ring_pays_for_its_slowest_hop() -> None:
    """Four context ranks of four devices each span two nodes of eight, whichever pair is first."""
    exposed = [
        cost(scenario(cluster=with_network(bandwidth)), tensor="4", context="4").time.context_comm_s
        for bandwidth in (25e9, 0.25e9)
    ]
    assert exposed[1] > 2 * exposed[0]


def test_devices_of_one_name_keep_their_own_memory() -> None:
    (group,) = load_cluster("dgx-a100-8").node_groups
    memory = group.device.memory
    half = memory.capacity.model_copy(update={"value": memory.capacity.value // 2})
    small = group.device.model_copy(update={"memory": memory.model_copy(update={"capacity": half})})
    groups = (
        replace(group, device=small, count=4, hosts=tuple(f"small-{i}" for i in range(4))),
        replace(group, name="large", count=4, hosts=tuple(f"large-{i}" for i in range(4))),
    )
    mixed = replace(CLUSTER, node_groups=groups)
    stages = cost(scenario(cluster=mixed), pipeline="2").memory.per_stage
    assert [stage.capacity_bytes for stage in stages] == [half.value, memory.capacity.value]
