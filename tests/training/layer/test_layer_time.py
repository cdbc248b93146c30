"""Seconds of a layer's operators: rings, casts, losses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.hardware.device import Device
from planner.hardware.links import Topology
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.specs.software import SoftwareProfile
from planner.training.layer.groups import group_of
from planner.training.layer.overlap import overlap_cost
from planner.training.layer.tally import LayerTime, collective_s
from planner.training.layer.timing import layer_time
from planner.training.scenario import build_scenario
from planner.workload.layers import layer_operators
from planner.workload.operators import Collective, Matmul, Pointwise
from planner.workload.shard import Shard
from planner.workload.workload import Workload


@pytest.fixture(scope="module")
def h100() -> tuple[Device, Topology]:
    model, software = load_model("llama-3-8b"), load_software("megatron-core")
    job = build_job(model, software, devices=64, global_batch_size=64, precision="bf16")
    of = build_scenario(load_cluster("dgx-h100-16").sized(devices=64), model, job)
    return of.device_types[0], of.topology


def workload(
    shard: Shard | None = None,
    *,
    software: SoftwareProfile | None = None,
    precision: str = "bf16",
    seq_length: int = 8192,
) -> Workload:
    return Workload(
        model=load_model("llama-3-8b"),
        software=software or load_software("megatron-core-perf"),
        precision=precision,
        seq_length=seq_length,
        expert_imbalance=1.0,
        shard=shard or Shard(),
    )


def time_of(job: Workload, on: tuple[Device, Topology], kind: str = "dense") -> LayerTime:
    return layer_time(job, layer_operators(job, kind), *on)


def test_a_ring_pays_for_adding_up() -> None:
    operators = layer_operators(workload(Shard(context=4), seq_length=32768), "dense")
    merge = next(o for o in operators if o.name == "context_merge")
    assert isinstance(merge, Pointwise)
    query_bytes, key_value_bytes = 2 * 8192 * 4096, 2 * 2 * 8192 * 1024
    parts = 1 + 3 * 0.75  # its own part, then three steps, half of them of half parts
    assert merge.forward_bytes == 3 * parts * query_bytes
    assert merge.backward_bytes == 3 * parts * (query_bytes + key_value_bytes)


@pytest.mark.parametrize("context", [2, 4, 8])
def test_a_ring_does_the_work_of_the_causal_square(
    h100: tuple[Device, Topology], context: int
) -> None:
    """Long sequences: seconds per scored pair are those of one device."""
    device, topology = h100
    free = replace(device, kernel_latency_s=0.0, streaming_bytes_per_s=1e18)
    local = 16384
    one = time_of(workload(seq_length=local), (free, topology)).forward.compute_s
    two = time_of(workload(seq_length=2 * local), (free, topology)).forward.compute_s
    square_s = (two - 2 * one) / 2
    ring = time_of(workload(Shard(context=context), seq_length=context * local), (free, topology))
    assert ring.forward.compute_s - one == pytest.approx((context - 1) * square_s, rel=0.05)


def test_scales_of_whole_tensors_and_uncached_weights_take_time(
    h100: tuple[Device, Topology],
) -> None:
    profile = load_software("megatron-core-perf")

    def forward_s(precision: str, **fp8: bool) -> float:
        software = profile.model_copy(update={"fp8": profile.fp8.model_copy(update=fp8)})
        return time_of(workload(software=software, precision=precision), h100).forward.compute_s

    delayed = forward_s("fp8", amax_pass=False)
    current = forward_s("fp8", amax_pass=True)
    h, ffn, tokens = 4096, 14336, 8192
    inputs = tokens * (3 * h + ffn)
    device = h100[0]
    assert current - delayed == pytest.approx(
        2 * inputs / device.streaming_bytes_per_s + 4 * device.kernel_latency_s, rel=1e-6
    )
    gathered = forward_s("fp8", weights_cached=False, parameter_gather=True)
    cast = forward_s("fp8", weights_cached=False, parameter_gather=False)
    assert current < gathered < cast
    assert forward_s("bf16", amax_pass=True) == forward_s("bf16", amax_pass=False)


GATHERS = {
    "megatron-core-perf": {"bf16": (2.0, 2.0), "fp8": (1.0, 1.0), "mxfp8": (33 / 32, 33 / 16)},
    "torchtitan": {"bf16": (2.0, 2.0), "fp8": (1.0, 1.0), "mxfp8": (2.0, 2.0)},
}
"""Bytes for each element of an input and of a gradient that tensor ranks gather (TransformerEngine
`gather_along_first_dim`; torchao `float8_tensor_parallel.py`, which scales whole tensors only)."""


@pytest.mark.parametrize("name", GATHERS)
def test_products_quantise_what_they_gather_before_it_travels(name: str) -> None:
    whole = 8192 * 4096
    for precision, (of_input, of_gradient) in GATHERS[name].items():
        job = workload(
            Shard(tensor=4, sequence_parallel=True),
            software=load_software(name),
            precision=precision,
        )
        operators = {one.name: one for one in layer_operators(job, "dense")}
        sent = {n: one.buffer_bytes for n, one in operators.items() if isinstance(one, Collective)}
        inputs = {n: size for n, size in sent.items() if "up_" in n or "qkv_" in n}
        products = ("qkv", "attention_projection", "mlp_up", "mlp_down")
        agreed = {n.removesuffix("_amax") for n in sent if n.endswith("amax")}
        assert agreed == (set(products) if precision == "fp8" else set())
        for n, size in sent.items():
            if n.endswith("amax"):
                assert size == 4
            elif n.endswith("scatter"):
                assert size == 2 * whole, "sums travel in 16 bits"
            else:
                assert size == int(whole * (of_input if n in inputs else of_gradient)), n
        head = {one.name: one for one in layer_operators(job, "head")}
        logits, gather = head["logits"], head["logits_gather"]
        assert isinstance(logits, Matmul)
        assert isinstance(gather, Collective)
        assert not logits.quantized, "frameworks keep the output layer in 16 bits"
        assert gather.buffer_bytes == 2 * whole


def test_each_rank_quantises_its_part_of_what_is_gathered(h100: tuple[Device, Topology]) -> None:
    """Delayed scales: a quarter is read and written, the whole is transposed (Hopper's take
    one orientation); without the switch the whole is read and written in both."""
    profile = load_software("megatron-core-mlperf")
    whole = profile.model_copy(
        update={"fp8": profile.fp8.model_copy(update={"tensor_gathers": ()})}
    )
    shard, elements = Shard(tensor=4, sequence_parallel=True), 2 * 8192 * 4096

    def forward_s(software: SoftwareProfile) -> float:
        return time_of(workload(shard, software=software, precision="fp8"), h100).forward.compute_s

    fewer_bytes = elements * ((2 + 2) - (2 / 4 + 1 / 4 + 2))
    saved_s = forward_s(whole) - forward_s(profile)
    assert saved_s == pytest.approx(fewer_bytes / h100[0].streaming_bytes_per_s, rel=1e-6)


def test_a_loss_in_place_reads_sixteen_bit_logits_twice_and_writes_them_once() -> None:
    """TransformerEngine `common/triton/cross_entropy.py`; Megatron's keeps fp32 probabilities."""
    loss = {
        name: next(
            o
            for o in layer_operators(workload(software=load_software(name)), "head")
            if o.name == "cross_entropy"
        )
        for name in ("megatron-core", "megatron-core-perf")
    }
    logits = 8192 * load_model("llama-3-8b").padded_vocab_size(1)
    assert loss["megatron-core-perf"].saved_bytes == 2 * logits
    assert loss["megatron-core"].saved_bytes == 4 * logits
    in_place = loss["megatron-core-perf"]
    assert isinstance(in_place, Pointwise)
    assert in_place.forward_bytes == 6 * logits


@pytest.mark.parametrize(("apart", "low", "high"), [(1, 0.149, 0.151), (8, 0.02, 0.05)])
def test_a_hidden_ring_costs_the_attention_beside_it_its_share(
    h100: tuple[Device, Topology], apart: int, low: float, high: float
) -> None:
    """Two channels of NCCL as long as it sends; its copies load the memory at the pace of NVLink,
    or a ninth of that over the network. The longer way costs more in all."""
    device, topology = h100
    job = workload(Shard(context=2, tensor=apart), seq_length=65536)
    seconds = time_of(job, h100)
    (forward,) = (
        one
        for one in layer_operators(job, "dense")
        if isinstance(one, Collective) and one.operation == "ring_exchange" and one.in_forward
    )
    group = group_of(forward, topology, job, device)
    assert group.inside == (apart == 1)
    assert low < seconds.forward.context_s / collective_s(forward, group) < high


@given(
    fast=st.floats(1e9, 1e12),
    network=st.floats(1e8, 1e12),
    sends=st.booleans(),
)
def test_what_a_hidden_transfer_costs_never_falls_with_a_slower_way(
    h100: tuple[Device, Topology], fast: float, network: float, sends: bool
) -> None:
    """Bounds take groups to lie inside a node: bytes there cost no more than over the network."""
    device, topology = h100
    inside = replace(topology.group(8, 1, device=device), fast_bytes_per_s=fast)
    slower = min(network, fast)
    outside = replace(inside, domains=2, member_network_bytes_per_s=slower)
    costs = [overlap_cost(device.links, group, sends=sends) for group in (inside, outside)]
    assert costs[0] / fast <= costs[1] / slower * (1 + 1e-12)


def test_a_compiled_ring_of_pytorch_sends_whole_heads_and_hides_nothing(
    h100: tuple[Device, Topology],
) -> None:
    """torchtitan repeats keys and values for every query head, four times the bytes here; their
    gradients travel in fp32. A compiled model waits where a transfer starts."""
    eager = load_software("torchtitan").model_copy(update={"compile": False})
    shard = Shard(context=4)

    def sends(software: SoftwareProfile) -> list[Collective]:
        job = workload(shard, software=software, seq_length=65536)
        return [
            one
            for one in layer_operators(job, "dense")
            if isinstance(one, Collective) and one.operation == "ring_exchange"
        ]

    usual = [one.buffer_bytes for one in sends(load_software("megatron-core-perf"))]
    forward, backward = usual
    assert [one.buffer_bytes for one in sends(eager)] == [4 * forward, 4 * backward * 3 // 2]
    hidden, waited = (
        time_of(workload(shard, software=software, seq_length=65536), h100).forward.context_s
        for software in (eager, eager.model_copy(update={"compile": True}))
    )
    assert waited > 3 * hidden


def test_async_tensor_parallelism_hides_nothing_behind_sums_of_products(
    h100: tuple[Device, Topology],
) -> None:
    """PyTorch fuses a collective with one product: the gradient of a layer of several matrices is
    a sum, and weight gradients read what is gathered as their right operand."""
    overlapped = load_software("torchtitan").model_copy(update={"overlap": ("tensor",)})
    every = overlapped.model_copy(update={"tensor_overlap_of_sums": True})
    shard = Shard(tensor=8, sequence_parallel=True)
    one, all_of_them = (
        time_of(workload(shard, software=software), h100) for software in (overlapped, every)
    )
    assert one.forward.tensor_s == all_of_them.forward.tensor_s
    assert one.backward.tensor_s > 1.5 * all_of_them.backward.tensor_s
