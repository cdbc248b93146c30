"""Searches on mixed devices against every order of the types, layout and recomputation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.plan import Recompute, recomputed_per_stage
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.run import SearchRun
from planner.training.search.hosts.placement import placement_on
from planner.training.search.layouts.default import stages_of
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import EVERY_INSTANCE, instances
from tests.training.search.pricing import Pricing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from planner.hardware.group import NodeKind
    from planner.plan import Plan
    from planner.training.scenario import Scenario

TWO = {"device_nodes": (("a100-sxm-80gb", 2), ("h100-sxm-80gb", 2)), "devices_per_node": 2}
THREE = {
    "device_nodes": (("a100-sxm-80gb", 1), ("h100-sxm-80gb", 2), ("b200-sxm", 1)),
    "devices_per_node": 2,
}
EACH = {
    "device_nodes": (("a100-sxm-80gb", 1), ("h100-sxm-80gb", 1), ("b200-sxm", 1)),
    "devices_per_node": 2,
    "batch": 12,
}
MEMORY = {"device_nodes": (("a100-sxm-40gb", 2), ("h100-sxm-80gb", 2)), "devices_per_node": 2}
UNEVEN = {"device_nodes": (("a100-sxm-80gb", 3), ("h100-sxm-80gb", 5)), "devices_per_node": 1}
THREE_FEW = {
    "device_nodes": (("a100-sxm-80gb", 1), ("h100-sxm-80gb", 3), ("b200-sxm", 2)),
    "devices_per_node": 1,
}
FEW = {"device_nodes": (("a100-sxm-80gb", 2), ("h100-sxm-80gb", 4)), "devices_per_node": 1}
SIZES = {"device_nodes": (("a100-sxm-80gb", 2, 4), ("h100-sxm-80gb", 2, 2))}
THREE_SIZES = {
    "device_nodes": (("a100-sxm-80gb", 1, 4), ("h100-sxm-80gb", 1, 2), ("b200-sxm", 1, 1))
}
SMALL = {"device_nodes": (("a100-sxm-80gb", 1, 4), ("h100-sxm-80gb", 2, 1))}
"""Two of the small nodes make a stage of two devices, which may begin inside the larger one."""

OVERLAP = {"software": "megatron-core-overlap"}


def orders_of(scenario: Scenario) -> list[tuple[str, ...]]:
    """The hosts in every order of the kinds of nodes."""
    hosts: dict[NodeKind, list[str]] = {}
    for name, kind in zip(scenario.cluster.host_names(), scenario.topology.kinds, strict=True):
        hosts.setdefault(kind, []).append(name)

    def orders(left: dict[NodeKind, list[str]], nodes: int) -> Iterator[tuple[str, ...]]:
        if not nodes:
            yield ()
            return
        for kind, (first, *others) in ((kind, names) for kind, names in left.items() if names):
            for rest in orders({**left, kind: others}, nodes - 1):
                yield (first, *rest)

    return list(orders(hosts, scenario.topology.nodes))


def compositions(total: int, parts: int, fewest: Sequence[int]) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        if total >= fewest[0]:
            yield (total,)
        return
    for first in range(fewest[0], total + 1):
        for rest in compositions(total - first, parts - 1, fewest[1:]):
            yield (first, *rest)


def every_plan_of(scenario: Scenario, plan: Plan) -> Iterator[Plan]:
    """The plan's combination with every order of the types, layout and number of recomputed
    layers."""
    p, v, layers = plan.degrees.pipeline, plan.virtual_stages, scenario.model.num_layers
    chunks = p * v
    fewest = [1] * chunks
    if p > 1:
        fewest[0] = fewest[-1] = 0
    full = plan.recompute.granularity == "full"
    placements = [placement_on(scenario, hosts) for hosts in orders_of(scenario)]
    for held in compositions(layers, chunks, fewest):
        stages = stages_of(held, p, v, plan.schedule)
        for count in range(1, max(held) + 1) if full else (0,):
            recompute = Recompute(
                granularity=plan.recompute.granularity,
                layers_per_stage=recomputed_per_stage(stages, count),
            )
            for placement in placements:
                yield replace(plan, stages=stages, recompute=recompute, placement=placement)


def sampled(plans: Iterator[Plan], count: int, seed: int) -> list[Plan]:
    known = list(plans)
    random = np.random.default_rng(seed)
    if len(known) <= count:
        return known
    return [known[index] for index in random.choice(len(known), count, replace=False)]


CASES = [
    (TWO, {"pipeline": (2, 4), "recompute": ("none", "full")}, 5),
    (TWO, {"pipeline": (1, 4), "tensor": (1, 2), "recompute": ("selective",)}, 6),
    (THREE, {"pipeline": (2, 4), "recompute": ("none",)}, 6),
    (UNEVEN, {"pipeline": (2, 4), "recompute": ("none",), "tensor": (1,)}, 4),
    ({**TWO, "experts": 4, "first_dense": 2}, {"pipeline": (4,), "recompute": ("none",)}, 6),
    (TWO, {"pipeline": (4,), "virtual_stages": (2,), "schedule": ("interleaved",)}, 9),
    ({**SIZES, "batch": 24}, {"pipeline": (6, 12), "recompute": ("none", "full")}, 12),
    (THREE_SIZES, {"pipeline": (7,), "recompute": ("none", "full")}, 8),
    ({**SMALL, "batch": 12}, {"pipeline": (3, 6), "recompute": ("none",)}, 6),
]


@pytest.mark.parametrize(("size", "axes", "layers"), CASES)
def test_the_bound_is_below_every_plan(
    scenario_of: Callable[..., Scenario],
    size: dict[str, Any],
    axes: dict[str, Any],
    layers: int,
) -> None:
    """And what fits on some hosts in some layout is not screened away."""
    wide = {"batch": 8, "hidden": 2048, "ffn": 8192, "length": 2048}
    scenario = scenario_of(**{**wide, **size, "layers": layers})
    run = SearchRun(scenario=scenario, restrictions=Restrictions(**axes), top=1)
    run.bound()
    random = np.random.default_rng(0)
    compared, price = 0, Pricing(scenario)
    for group in run.space.fitting:
        for index in random.choice(len(group), min(len(group), 2), replace=False).tolist():
            plan = plan_at(scenario, group, index, 1)
            for one in sampled(every_plan_of(scenario, plan), 12, index):
                assert group.bound_s[index] <= price(one).step_s
                compared += 1
    assert compared >= 20


EXACT = [
    (TWO, {"pipeline": (4,), "tensor": (1, 2), "recompute": ("none",)}, 5),
    (TWO, {"pipeline": (2,), "tensor": (2,), "recompute": ("full", "selective")}, 5),
    (THREE, {"pipeline": (4,), "tensor": (2,), "recompute": ("none",)}, 4),
    (UNEVEN, {"pipeline": (4,), "tensor": (1,), "recompute": ("none",)}, 4),
    (
        {**MEMORY, "length": 16384},
        {"pipeline": (4,), "tensor": (2,), "recompute": ("none", "full")},
        4,
    ),
    ({**SIZES, "batch": 24}, {"pipeline": (6,), "tensor": (1,), "recompute": ("none",)}, 6),
    *([(THREE_SIZES, {"pipeline": (7,), "recompute": ("none",)}, 8)] if EVERY_INSTANCE else []),
    ({**SMALL, "batch": 12}, {"pipeline": (3,), "tensor": (1, 2), "recompute": ("none",)}, 6),
    ({**TWO, **OVERLAP}, {"pipeline": (4,), "tensor": (1,), "recompute": ("none", "full")}, 5),
]


@pytest.mark.parametrize(("size", "axes", "layers"), EXACT)
def test_the_best_plan_is_that_of_brute_force(
    scenario_of: Callable[..., Scenario], size: dict[str, Any], axes: dict[str, Any], layers: int
) -> None:
    wide = {"batch": 8, "hidden": 2048, "ffn": 8192, "length": 2048}
    agrees(scenario_of(**{**wide, **size, "layers": layers}), axes)


INTERLEAVED = {"pipeline": (4,), "virtual_stages": (2,), "schedule": ("interleaved",)}


@pytest.mark.parametrize(
    ("size", "axes", "layers"),
    [
        (TWO, {"tensor": (1,), "recompute": ("none",)}, 8),
        ({**MEMORY, "length": 16384}, {"tensor": (2,), "recompute": ("none",)}, 8),
        ({**EACH, **OVERLAP}, {"pipeline": (3,), "tensor": (1,), "recompute": ("none",)}, 6),
        ({**SMALL, "batch": 12}, {"pipeline": (3,), "tensor": (2,), "recompute": ("none",)}, 6),
        *([(THREE, {"tensor": (1,), "recompute": ("full",)}, 8)] if EVERY_INSTANCE else []),
    ],
)
def test_the_best_interleaved_plan_is_that_of_brute_force(
    scenario_of: Callable[..., Scenario], size: dict[str, Any], axes: dict[str, Any], layers: int
) -> None:
    """Over all splits of a stage's layers over its chunks."""
    wide = {"batch": 8, "hidden": 2048, "ffn": 8192, "length": 2048}
    agrees(scenario_of(**{**wide, **size, "layers": layers}), {**INTERLEAVED, **axes})


SEEDS = instances(2, 200)
"""Random instances of two and of three device types each; all of them take a quarter of an hour."""


@pytest.mark.slow
@pytest.mark.parametrize("types", [2, 3])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_best_plan_of_random_instances_is_that_of_brute_force(
    scenario_of: Callable[..., Scenario], seed: int, types: int
) -> None:
    """Memory that differs, stages that share a node, mixed stages, recomputation, interleaved."""
    random = np.random.default_rng([types, seed])
    size = (TWO, MEMORY, FEW)[seed % 3] if types == 2 else (THREE, THREE_FEW)[seed % 2]
    interleaved = seed % 8 == 7
    few = size in (FEW, THREE_FEW)
    pipeline = 3 if few else int(random.choice([2, 4, 8], p=[0.4, 0.4, 0.2]))
    axes: dict[str, Any] = {"pipeline": (pipeline,), "tensor": (1,)}
    if interleaved:
        pipeline, axes = 4, {**INTERLEAVED, "tensor": (1,)}
        size = TWO if types == 2 else THREE
    chunks = 2 * pipeline if interleaved else pipeline
    scenario = scenario_of(
        **size,
        layers=max(chunks, 4),
        batch=int(random.choice([8, 16] if interleaved else [4, 8, 16])) * (3 if few else 1),
        hidden=int(random.choice([512, 1024, 2048])),
        ffn=int(random.choice([4096, 8192])),
        length=int(random.choice([2048, 8192])),
        tie=bool(random.integers(2)),
        software=("megatron-core", "megatron-core-overlap")[seed // 8 % 2],
    )
    recompute = str(random.choice(["none", "selective", "full"]))
    agrees(scenario, {**axes, "recompute": (recompute,)}, most_gap=0.3)


LOOSE = 0.1
"""From this gap on a search need not find the best plan, unless it says that it did."""


def agrees(scenario: Scenario, axes: dict[str, Any], most_gap: float = 0.05) -> None:
    """The search finds what trying everything finds, and its bound is no higher."""
    axes = {"schedule": ("1f1b",), **axes}
    restrictions = Restrictions(**axes, micro_batch_size=(1,), data_sharding=("optimizer",))
    run = SearchRun(scenario=scenario, restrictions=restrictions, top=1)
    run.bound()
    price = Pricing(scenario)
    best_s = min(
        priced.step_s
        for group in run.space.fitting
        for index in range(len(group))
        for plan in every_plan_of(scenario, plan_at(scenario, group, index, 1))
        if (priced := price(plan)).memory.fits
    )
    found = search(scenario, restrictions=restrictions, top=1)
    gap = max(found.gap, found.placement_gap)
    if not gap or most_gap < LOOSE:
        assert found.plans[0].estimate.step_s == pytest.approx(best_s, rel=1e-6)
    assert found.plans[0].estimate.step_s * (1 - gap) <= best_s * (1 + 1e-9)
    assert gap < most_gap
