"""Small scenarios in which everything can be tried, and the naive searches that try it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from planner.errors import RuleError
from planner.specs.job import build_job
from planner.specs.load import load_software, parse_cluster, parse_model
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.layouts.default import default_layout
from planner.training.search.plans.build import plan_of
from planner.training.search.space.broken import check_values
from planner.training.search.space.codes import NODE, code_of, value_of
from planner.training.search.space.enumeration import dimensions
from planner.training.search.space.facts import SpaceFacts
from planner.training.search.space.restrictions import Restrictions
from tests.training.search.pricing import Pricing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from planner.plan import Estimate, Plan

GIB = 2**30

KEPT: dict[str, Any] = {
    "optimizer_offload": (0.0,),
    "weight_offload": (False,),
    "activation_offload": (0.0,),
}
"""Nothing is offloaded, which searches try where nothing fits."""


@pytest.fixture(scope="session")
def scenario_of() -> Callable[..., Scenario]:
    return small_scenario


@pytest.fixture(scope="session")
def every_plan() -> Callable[..., tuple[int, list[tuple[Plan, Estimate]]]]:
    return all_fitting_plans


@pytest.fixture(scope="session")
def every_value() -> Callable[..., Iterator[dict[str, Any]]]:
    return combinations


def small_scenario(
    *,
    nodes: int = 1,
    devices_per_node: int = 8,
    device: str = "a100-sxm-80gb",
    second_device: str | None = None,
    device_nodes: Sequence[tuple[str, int] | tuple[str, int, int]] = (),
    memory_gib: float | None = None,
    layers: int = 6,
    heads: int = 8,
    groups: int = 4,
    hidden: int = 1024,
    ffn: int = 4096,
    experts: int = 0,
    first_dense: int = 0,
    tie: bool = False,
    batch: int = 16,
    length: int = 1024,
    software: str = "megatron-core",
    headroom: float = 0.05,
    framework: dict[str, Any] | None = None,
    fabric: list[dict[str, Any]] | None = None,
) -> Scenario:
    """A transformer of a few layers on a few devices of `memory_gib` each; `fabric` are the tiers
    of the network, `device_nodes` the node groups in place of `nodes` of one or two devices: of
    each the device, the nodes, and the devices of a node where these differ."""
    names = [device] if second_device is None else [device, second_device]
    node_groups = [
        {
            "count": count,
            "device": name,
            "devices_per_node": size[0] if size else devices_per_node,
            "intra_node": {"bandwidth": "300 GB/s"},
            "network": {"cards": size[0] if size else devices_per_node, "bandwidth": "25 GB/s"},
        }
        for name, count, *size in device_nodes or [(name, nodes) for name in names]
    ]
    network = {} if fabric is None else {"fabric": {"tiers": fabric}}
    cluster = parse_cluster({"name": "small", "node_groups": node_groups, **network})
    if memory_gib is not None:
        cluster = replace(
            cluster,
            node_groups=tuple(
                replace(group, device=_with_memory(group.device, memory_gib))
                for group in cluster.node_groups
            ),
        )
    cluster = cluster.sized()
    mixture = {"num_experts": experts, "top_k": 2, "ffn_hidden_size": ffn // 2}
    model = parse_model(
        {
            "name": "small",
            "architecture": "mixtral" if experts else "llama",
            "num_layers": layers,
            "hidden_size": hidden,
            "ffn_hidden_size": ffn,
            "num_attention_heads": heads,
            "num_query_groups": groups,
            "vocab_size": 32000,
            "tie_embeddings": tie,
            **({"moe": {**mixture, "first_dense_layers": first_dense}} if experts else {}),
        }
    )
    profile = load_software(software)
    if framework:
        profile = profile.model_copy(update=framework)
    job = build_job(
        model,
        profile,
        devices=cluster.num_devices or 0,
        global_batch_size=batch,
        seq_length=length,
        precision="bf16",
        headroom=headroom,
    )
    return build_scenario(cluster, model, job)


def _with_memory(device: Any, memory_gib: float) -> Any:
    capacity = device.memory.capacity.model_copy(update={"value": int(memory_gib * GIB)})
    memory = device.memory.model_copy(update={"capacity": capacity})
    return device.model_copy(update={"memory": memory})


def combinations(
    scenario: Scenario, restrictions: Restrictions
) -> Iterator[dict[str, int | float | str | bool]]:
    """Every combination of the dimensions, one by one, that no rule of a single plan forbids and
    that is not the same plan as another."""
    facts = SpaceFacts.of(scenario, restrictions)
    axes = dimensions(scenario, restrictions)
    for codes in product(*axes.values()):
        row = dict(zip(axes, codes, strict=True))
        degrees = row["tensor"] * row["pipeline"] * row["data"] * row["context"]
        if degrees != scenario.job.devices or _repeats_another(row, facts):
            continue
        try:
            check_values(facts, row)
        except RuleError:
            continue
        yield {axis: value_of(axis, code) for axis, code in row.items()}


def _repeats_another(row: dict[str, int], facts: SpaceFacts) -> bool:
    return (
        (row["tensor"] == 1 and row["sequence_parallel"] != facts.first_sequence_parallel)
        or (row["data"] * row["context"] == 1 and row["data_sharding"] != facts.first_data_sharding)
        or (row["pipeline"] == 1 and row["schedule"] != code_of("schedule", "1f1b"))
        or (row["context"] > 1 and facts.seq_length < 8192 and not facts.context_asked)
        or (
            row["expert"] > 1
            and row["tensor"] > 1
            and not row["sequence_parallel"]
            and not facts.sequence_parallel_asked
        )
        or (
            row["recompute"] == code_of("recompute", "selective")
            and not facts.selective_frees
            and not facts.recompute_asked
        )
        or (
            row["shard_over"] == NODE
            and facts.node_devices // row["tensor"] >= row["data"] * row["context"]
            and facts.shards_over_all
        )
    )


def all_fitting_plans(
    scenario: Scenario, restrictions: Restrictions
) -> tuple[int, list[tuple[Plan, Estimate]]]:
    """The number of valid combinations, and those that fit, estimated one by one, fastest first.
    Full recomputation takes the fewest layers per chunk that fit, found by trying them in order, or
    all layers where the framework recomputes no part of them."""
    first = 1 if scenario.job.software.recompute.partial else None
    found = []
    number, price = 0, Pricing(scenario)
    for values in combinations(scenario, restrictions):
        stages = default_layout(
            scenario,
            int(values["pipeline"]),
            int(values["virtual_stages"]),
            str(values["schedule"]),
        )
        most = max(end - start for stage in stages for start, end in stage.chunks)
        number += 1
        for layers in range(first or most, most + 1) if values["recompute"] == "full" else (0,):
            plan = plan_of(scenario, values, stages, layers)
            cost = price(plan)
            if cost.memory.fits:
                found.append((plan, cost))
                break
    return number, sorted(found, key=lambda pair: pair[1].step_s)


@pytest.fixture(scope="session")
def every_combination() -> Callable[..., list[int]]:
    return bytes_lacking


def bytes_lacking(scenario: Scenario) -> list[int]:
    """What the fullest stage of every combination lacks, all layers recomputed where any are."""
    lacking, price = [], Pricing(scenario)
    for values in combinations(scenario, Restrictions()):
        stages = default_layout(
            scenario,
            int(values["pipeline"]),
            int(values["virtual_stages"]),
            str(values["schedule"]),
        )
        most = max(end - start for stage in stages for start, end in stage.chunks)
        cost = price(plan_of(scenario, values, stages, most))
        lacking.append(-cost.memory.binding.spare_bytes)
    return lacking
