"""Rules on what leaves the device for its host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.plan import GRANULARITIES
from planner.training.search.space.codes import PARTS
from planner.training.search.space.rules.rule import SpaceRule, sharded_as, where_chosen

if TYPE_CHECKING:
    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.rules.rule import Columns, Holds


def offloaded_optimizer(f: SpaceFacts, c: Columns) -> Holds:
    return (c["optimizer_offload"] == 0) | sharded_as(f.offload.optimizer, c)


def offloaded_share(f: SpaceFacts, c: Columns) -> Holds:
    share = c["optimizer_offload"]
    return (share == 0) | (share == PARTS) | sharded_as(f.offload.optimizer_share, c)


def offloaded_to_nvme(f: SpaceFacts, c: Columns) -> Holds:
    if f.offload.to != "nvme":
        return np.True_
    return (c["optimizer_offload"] == 0) | sharded_as(f.offload.nvme, c)


def offloaded_weights(f: SpaceFacts, c: Columns) -> Holds:
    return (c["weight_offload"] == 0) | sharded_as(f.offload.weights, c)


def offloaded_together(f: SpaceFacts, c: Columns) -> Holds:
    both = (c["optimizer_offload"] > 0) == (c["weight_offload"] > 0)
    return both | (not f.offload.together)


def offloaded_activations(f: SpaceFacts, c: Columns) -> Holds:
    codes = [GRANULARITIES.index(name) for name in f.offload.activations]
    staged = (c["pipeline"] == 1) | f.offload.activations_in_pipelines
    return (c["activation_offload"] == 0) | (np.isin(c["recompute"], codes) & staged)


OFFLOADING = (
    SpaceRule(
        name="optimizer-offload",
        sentence="under software profile {f.software} the optimizer {f.offloads_optimizer}",
        axes=("data_sharding", "optimizer_offload"),
        adjusts="optimizer_offload",
        holds=where_chosen("optimizer_offload", offloaded_optimizer),
    ),
    SpaceRule(
        name="optimizer-offload-share",
        sentence="under software profile {f.software} a part of the optimizer {f.offloads_share}",
        axes=("data_sharding", "optimizer_offload"),
        adjusts="optimizer_offload",
        holds=where_chosen("optimizer_offload", offloaded_share),
    ),
    SpaceRule(
        name="offload-to-nvme",
        sentence="under software profile {f.software} an offloaded optimizer {f.offloads_to_nvme}",
        axes=("data_sharding", "optimizer_offload"),
        adjusts="data_sharding",
        holds=where_chosen("optimizer_offload", offloaded_to_nvme),
    ),
    SpaceRule(
        name="weight-offload",
        sentence="under software profile {f.software} weights {f.offloads_weights}",
        axes=("data_sharding", "weight_offload"),
        adjusts="weight_offload",
        holds=where_chosen("weight_offload", offloaded_weights),
    ),
    SpaceRule(
        name="activation-offload",
        sentence="under software profile {f.software} activations "
        "{f.offloads_activations}{f.offloads_on_one_stage}",
        axes=("pipeline", "recompute", "activation_offload"),
        adjusts="activation_offload",
        holds=where_chosen("activation_offload", offloaded_activations),
    ),
    SpaceRule(
        name="offload-together",
        sentence="{f.framework} offloads weights and the optimizer together or not at all",
        axes=("optimizer_offload", "weight_offload"),
        adjusts="weight_offload",
        holds=offloaded_together,
    ),
)
