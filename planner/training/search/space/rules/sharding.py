"""Rules on what replicas share, and in which groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.plan import DATA_SHARDINGS
from planner.training.search.space.codes import NODE, sharing_ranks
from planner.training.search.space.rules.rule import SpaceRule, sharded_as, where_chosen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.rules.rule import Columns, Holds

GRADIENTS_SHARDED = DATA_SHARDINGS.index("optimizer+gradients")
"""The lowest data sharding code that shards gradients."""


def sharded_pipeline(f: SpaceFacts, c: Columns) -> Holds:
    few = (c["data_sharding"] < GRADIENTS_SHARDED) | (c["pipeline"] == 1)
    return few | f.shards_pipelines


def sharded_tensor(f: SpaceFacts, c: Columns) -> Holds:
    whole = c["data_sharding"] != DATA_SHARDINGS.index("full")
    return whole | (c["tensor"] == 1) | f.shards_tensors


def sharding_groups(f: SpaceFacts, c: Columns) -> Holds:
    ranks, replicas = _sharing(f, c), c["data"] * c["context"]
    groups = replicas // np.maximum(ranks, 1)
    experts = replicas * c["tensor"] // (c["expert"] * c["expert_tensor"])
    least = np.where(c["data_sharding"] == DATA_SHARDINGS.index("optimizer"), 1, 2)
    whole = (ranks >= least) & (replicas % np.maximum(ranks, 1) == 0)
    return (c["shard_over"] == 0) | (whole & (experts % np.maximum(groups, 1) == 0))


def optimizer_states(f: SpaceFacts, c: Columns) -> Holds:
    return sharded_as(f.state_shardings, c) if f.state_shardings else np.True_


def sharded_in_groups(f: SpaceFacts, c: Columns) -> Holds:
    return (c["shard_over"] == 0) | sharded_as(f.sharded_in_groups, c)


def several_groups(f: SpaceFacts, c: Columns) -> Holds:
    several = _sharing(f, c) < c["data"] * c["context"]
    return (c["shard_over"] != NODE) | several | (not f.shards_over_all)


def _sharing(f: SpaceFacts, c: Columns) -> NDArray[np.int64]:
    return sharing_ranks(c["shard_over"], c["tensor"], f.node_devices)


def one_replica(f: SpaceFacts, c: Columns) -> Holds:
    alone = c["data"] * c["context"] == 1
    return ~alone | (c["data_sharding"] == f.first_data_sharding)


SHARDING = (
    SpaceRule(
        name="sharded-tensor",
        sentence="{f.framework} shards weights over the data axis only without tensor parallelism",
        axes=("tensor", "data_sharding"),
        adjusts="data_sharding",
        holds=sharded_tensor,
    ),
    SpaceRule(
        name="sharded-pipeline",
        sentence="{f.framework} shards gradients and weights only without a pipeline",
        axes=("pipeline", "data_sharding"),
        adjusts="data_sharding",
        holds=sharded_pipeline,
    ),
    SpaceRule(
        name="one-replica",
        sentence="with one replica there is nothing to shard over, and data sharding is counted "
        "once",
        axes=("data", "context", "data_sharding"),
        adjusts="data_sharding",
        holds=one_replica,
        search_only=True,
    ),
    SpaceRule(
        name="sharding-groups",
        sentence="a sharding group has at least 2 of the data · context replicas (1 where only the "
        "optimizer is sharded), in groups of one size, and as many groups must divide the replicas "
        "of the experts",
        axes=(
            "tensor",
            "context",
            "data",
            "expert",
            "expert_tensor",
            "data_sharding",
            "shard_over",
        ),
        adjusts="shard_over",
        holds=where_chosen("shard_over", sharding_groups),
    ),
    SpaceRule(
        name="sharded-in-groups",
        sentence="under software profile {f.software} replicas {f.in_groups}",
        axes=("data_sharding", "shard_over"),
        adjusts="shard_over",
        holds=where_chosen("shard_over", sharded_in_groups),
    ),
    SpaceRule(
        name="optimizer-states",
        sentence="under software profile {f.software} the job's optimizer with these types of "
        "states needs data sharding {f.states_need}",
        axes=("data_sharding",),
        adjusts="data_sharding",
        holds=optimizer_states,
    ),
)

TRIED_GROUPS = (
    SpaceRule(
        name="several-groups",
        sentence="a sharding group of a node is tried where there are more replicas than that",
        axes=("tensor", "context", "data", "shard_over"),
        adjusts="shard_over",
        holds=where_chosen("shard_over", several_groups),
        search_only=True,
    ),
)
"""Which sharding groups a search tries."""
