"""Bytes that a step moves between the sites of a cluster, which some sites charge for.

Counted are the sends of the pipeline, 2 · microbatches · message over every boundary between sites,
and the rings of the data axis, whose every link carries (n − 1)/n of what each of its n ranks
holds, twice for an all-reduce. Tensor, context and expert groups are taken to stay inside a site.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULLY, UNSHARDED
from planner.training.memory.parameters import stage_parameters
from planner.training.memory.sharding import reduced_every_microbatch, resharded, state_groups
from planner.training.step.sends import message_bytes
from planner.workload.formats import gathered_weight_bytes, reduced_gradient_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.arrays import Floats, Ints
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

GB = 1e9


def egress_gb(scenario: Scenario, table: CostTable, batch: Batch) -> Mapping[str, float]:
    """GB of a step of the batch's only plan between nodes that meet in a tier, by the name of the
    tier, for those that the cluster file prices."""
    prices = scenario.cluster.prices
    if prices is None or not prices.egress_per_gb:
        return {}
    flows = [*_sends(scenario, table, batch), *_rings(scenario, table, batch)]
    return {
        name: sum(_crossing(scenario, name, *flow) for flow in flows) / GB
        for name, _ in prices.egress_per_gb
    }


def _crossing(scenario: Scenario, tier: str, first: Ints, other: Ints, each: Floats) -> float:
    """Bytes between ranks whose nodes meet in the tier, of all that go from one rank to another."""
    topology, tiers = scenario.topology, scenario.cluster.tiers
    at = next(index for index, one in enumerate(tiers) if one.name == tier)
    order = np.array(topology.order, dtype=np.int64)
    ends = [order[topology.nodes_of(ranks)] for ranks in (first, other)]

    def apart(level: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        size = tiers[level].nodes if level >= 0 else 1
        blocks = [end // size if size is not None else np.zeros_like(end) for end in ends]
        return np.asarray(blocks[0] != blocks[1])

    return float(each[apart(at - 1) & ~apart(at)].sum())


def _sends(
    scenario: Scenario, table: CostTable, batch: Batch
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Ranks, where they send to, and bytes there and back."""
    each = scenario.job.devices // batch.pipeline
    row, times = int(batch.row[0]), int(batch.num_microbatches[0])
    both = sum(message_bytes(scenario, table, row, way) for way in (1, -1))
    owners = batch.placement.stage_of.tolist()
    offsets = np.arange(each)
    for (above, below), count in sorted(Counter(pairwise(owners)).items()):
        if above != below:
            sent = np.full(each, float(both * times * count))
            yield offsets + above * each, offsets + below * each, sent


def _rings(
    scenario: Scenario, table: CostTable, batch: Batch
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Ranks, the next in their ring, and the bytes of what the ring gathers and reduces."""
    job = scenario.job
    software, times = job.software, int(batch.num_microbatches[0])
    held = stage_parameters(scenario, table, batch)
    gradient = reduced_gradient_bytes(software, job.precision)
    weight = gathered_weight_bytes(software, job.precision)
    reductions = times if reduced_every_microbatch(software, batch)[0] else 1
    fully = batch.data_sharding[0] == FULLY
    gathers = (2 * times if resharded(software, batch)[0] else 1) if fully else 1
    replicas = (int(batch.dense_replicas[0]), int(batch.expert_replicas[0]))
    groups = int(state_groups(software, batch)[0])
    strides = (int(batch.tensor[0]), int(batch.expert[0] * batch.expert_tensor[0]))
    for parameters, size, stride in zip(held, replicas, strides, strict=True):
        whole = parameters[0].astype(np.float64)
        if batch.data_sharding[0] == UNSHARDED:
            yield from _ring(scenario, batch, size, stride, 2 * gradient * whole)
            continue
        inside = max(1, size // groups)
        moved = (gradient * reductions + weight * gathers) * whole
        yield from _ring(scenario, batch, inside, stride, moved)
        late = 1 if software.data_sharding.groups_wait else reductions
        shares = 2 * gradient * late * whole / inside
        yield from _ring(scenario, batch, groups, stride * inside, shares)


def _ring(
    scenario: Scenario, batch: Batch, size: int, stride: int, of_stage: Floats
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """A ring over `size` ranks that lie `stride` apart; `of_stage`: bytes of a rank, [p]."""
    if size == 1 or not of_stage.any():
        return
    ranks = np.arange(scenario.job.devices)
    last = ranks // stride % size + 1 == size
    following = np.where(last, ranks - (size - 1) * stride, ranks + stride)
    stage = ranks // (scenario.job.devices // batch.pipeline)
    yield ranks, following, of_stage[stage] * (size - 1) / size
