"""Layers priced once per what their shard decides about them."""

from __future__ import annotations

from itertools import product

import pytest

from planner.specs.files.catalog import list_shipped
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.layer.memory import layer_memory
from planner.training.layer.prices import LayerPrices
from planner.training.layer.tally import LayerTime
from planner.training.layer.timing import layer_time
from planner.training.scenario import build_scenario
from planner.workload.layers import layer_operators
from planner.workload.shard import Shard

SHARDS = [
    Shard(
        tensor=tensor,
        context=context,
        expert=expert,
        expert_tensor=expert_tensor,
        micro_batch_size=2,
        sequence_parallel=tensor > 1,
        vocabulary=vocabulary,
    )
    for tensor, context, (expert, expert_tensor), vocabulary in product(
        (1, 2), (1, 2), ((1, 1), (2, 1), (4, 2)), (1, 4)
    )
]


@pytest.mark.parametrize("software", ["megatron-core", "torchtitan", "megatron-core-mlperf"])
@pytest.mark.parametrize("name", list_shipped("model"))
def test_sharing_layers_among_shards_changes_no_price(name: str, software: str) -> None:
    model, profile = load_model(name), load_software(software)
    cluster = load_cluster("dgx-h100-16").sized(devices=64)
    job = build_job(
        model, profile, devices=64, global_batch_size=64, seq_length=2048, precision="bf16"
    )
    scenario = build_scenario(cluster, model, job)
    prices = LayerPrices(scenario)
    for shard in SHARDS:
        workload = scenario.workload(shard)
        for kind in scenario.kinds:
            operators = layer_operators(workload, kind)
            device = scenario.candidate_devices[0]
            found = prices.price(kind, shard)
            assert found.memory == layer_memory(workload, operators)
            whole = layer_time(workload, operators, device, scenario.topology)
            for part, seconds in zip(_seconds(found.times[0]), _seconds(whole), strict=True):
                assert part == pytest.approx(seconds, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("software", ["megatron-core", "torchtitan"])
@pytest.mark.parametrize("name", ["deepseek-v3", "mixtral-8x7b", "gpt-7.5b"])
def test_passes_of_many_layers_are_those_of_each(name: str, software: str) -> None:
    model, profile = load_model(name), load_software(software)
    cluster = load_cluster("dgx-h100-16").sized(devices=64)
    job = build_job(
        model, profile, devices=64, global_batch_size=64, seq_length=2048, precision="bf16"
    )
    scenario = build_scenario(cluster, model, job)
    sent = [
        shard._replace(dispatcher=dispatcher, expert_overlap=overlap)
        for shard in SHARDS
        for dispatcher in profile.expert.dispatcher_options
        for overlap in (False, True)
        if shard.expert > 1 and model.moe
    ]
    prices = LayerPrices(scenario)
    for kind in scenario.kinds:
        found = prices.passes_s(kind, [*SHARDS, *sent])
        for shard, (seconds,) in zip([*SHARDS, *sent], found.tolist(), strict=True):
            assert tuple(seconds) == prices.price(kind, shard).times[0].passes_s


def _seconds(time: LayerTime) -> list[float]:
    return [one for part in time for one in (part if isinstance(part, tuple) else (part,))]
