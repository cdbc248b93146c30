"""The conditions of the rules, vectorised: each says for which rows of a block of combinations it
holds.

`f` are the scenario's facts, `c` the columns; columns may have length 1 where all rows agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.plan import DATA_SHARDINGS, GRANULARITIES
from planner.schedule.build import MOST_FORWARDS
from planner.schedule.registry import PLAIN, SCHEDULES
from planner.schedule.rules import ScheduleSize
from planner.training.search.space.facts import (
    ALL_RANKS,
    NODE,
    PARTS,
    SCHEDULE_NAMES,
    sharing_ranks,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.search.space.dispatchers import DispatcherNeeds
    from planner.training.search.space.facts import SpaceFacts

    Columns = Mapping[str, NDArray[np.int64]]

Holds = Any
"""bool [rows], or of length 1 where all rows agree; numpy's stubs type comparisons as Any."""

SELECTIVE, FULL = GRANULARITIES.index("selective"), GRANULARITIES.index("full")
"""Codes of the recompute granularities that rules test."""
GRADIENTS_SHARDED = DATA_SHARDINGS.index("optimizer+gradients")
"""The lowest data sharding code that shards gradients."""
OF_ONE_STAGE = SCHEDULE_NAMES.index(PLAIN)
"""Code of the only schedule that a single stage runs."""
WITH_OVERLAPPING_SENDS = tuple(
    code for code, name in enumerate(SCHEDULE_NAMES) if SCHEDULES[name].sends_may_overlap
)
"""Codes of the schedules whose sends may overlap."""
WITH_COMBINED_PASSES = (OF_ONE_STAGE, *WITH_OVERLAPPING_SENDS)
"""Codes of the schedules that run the forward pass of one microbatch beside the backward pass of
another."""


def world(f: SpaceFacts, c: Columns) -> Holds:
    devices = c["tensor"] * c["context"] * c["pipeline"] * c["data"]
    if f.least_devices is not None:
        some = (devices >= f.least_devices) & (devices <= f.devices)
        return some & (devices % f.node_devices == 0)
    return devices == f.devices


def stages(f: SpaceFacts, c: Columns) -> Holds:
    return (c["pipeline"] <= f.layers) & (f.uneven_layout | (f.layers % c["pipeline"] == 0))


def chunks(f: SpaceFacts, c: Columns) -> Holds:
    chunks = c["pipeline"] * c["virtual_stages"]
    return (chunks <= f.layers) & (f.uneven_layout | (f.layers % chunks == 0))


def framework(f: SpaceFacts, c: Columns) -> Holds:
    degrees = np.ones_like(c["tensor"])
    for axis in {"tensor", "pipeline", "context"}.intersection(f.lacking):
        degrees = degrees * c[axis]
    return degrees == 1


def kv(f: SpaceFacts, c: Columns) -> Holds:
    multiple = f.beyond_query_groups & (c["tensor"] % f.query_groups == 0)
    return (f.query_groups % c["tensor"] == 0) | multiple


def ffn(f: SpaceFacts, c: Columns) -> Holds:
    return (f.ffn % c["tensor"] == 0) & (f.shared_ffn % c["tensor"] == 0)


def experts(f: SpaceFacts, c: Columns) -> Holds:
    divides = (f.experts > 0) & (f.experts % c["expert"] == 0)
    return (c["expert"] == 1) | (divides & ("expert" not in f.lacking))


def expert_tensor(f: SpaceFacts, c: Columns) -> Holds:
    divides = (f.experts > 0) & (f.expert_ffn % c["expert_tensor"] == 0)
    return (c["expert_tensor"] == 1) | (divides & ("expert" not in f.lacking))


def expert_world(f: SpaceFacts, c: Columns) -> Holds:
    stage_devices = c["tensor"] * c["context"] * c["data"]
    return stage_devices % (c["expert"] * c["expert_tensor"]) == 0


def order(f: SpaceFacts, c: Columns) -> Holds:
    """Whether the pipeline groups of the two grids agree: the experts' grid must place as many
    ranks before the pipeline as the dense grid (`parallel_state.py`). In a model without experts,
    tensor takes the place of the expert axes."""
    grid = c["expert"] * c["expert_tensor"] if f.experts else c["tensor"]
    same = grid == c["tensor"] * c["context"]
    return (f.rank_order != "tp-cp-ep-pp-dp") | (c["pipeline"] == 1) | same


def graphs(f: SpaceFacts, c: Columns) -> Holds:
    return (c["recompute"] != FULL) | f.graphs_recompute


def batch(f: SpaceFacts, c: Columns) -> Holds:
    together = c["micro_batch_size"] * c["data"]
    return together <= f.global_batch_size if f.any_batch else f.global_batch_size % together == 0


def sequence_parallel(f: SpaceFacts, c: Columns) -> Holds:
    local = f.seq_length // c["context"]
    return (c["sequence_parallel"] == 0) | (local % c["tensor"] == 0)


def expert_sequence_parallel(f: SpaceFacts, c: Columns) -> Holds:
    free = (c["expert"] == 1) | (c["tensor"] == 1) | (c["sequence_parallel"] == 1)
    return free | f.sequence_parallel_asked


def tensor_overlap(f: SpaceFacts, c: Columns) -> Holds:
    free = (c["tensor"] == 1) | (c["sequence_parallel"] == 1)
    return free | (not f.overlaps_with_sequence_parallel)


def experts_in_sequence(f: SpaceFacts, c: Columns) -> Holds:
    free = (c["tensor"] == 1) | (c["sequence_parallel"] == 1)
    return free | (not f.experts_with_sequence_parallel)


def one_tensor(f: SpaceFacts, c: Columns) -> Holds:
    return (c["tensor"] > 1) | (c["sequence_parallel"] == f.first_sequence_parallel)


def schedule(about_microbatches: bool) -> Callable[[SpaceFacts, Columns], Holds]:
    """The schedule's own conditions: on its stages and chunks, or on the number of microbatches.
    Pipeline, virtual stages and schedule are the same in every row."""

    def holds(f: SpaceFacts, c: Columns) -> Holds:
        kind = SCHEDULES[SCHEDULE_NAMES[int(c["schedule"].flat[0])]]
        size = ScheduleSize.of(
            int(c["pipeline"].flat[0]),
            int(c["virtual_stages"].flat[0]),
            f.global_batch_size // (c["micro_batch_size"] * c["data"]),
            None,
        )
        allowed = np.ones(size.num_microbatches.shape, dtype=np.bool_)
        for rule in kind.rules:
            if rule.about_microbatches == about_microbatches:
                allowed = allowed & rule.holds(size)
        return allowed

    return holds


def microbatches(f: SpaceFacts, c: Columns) -> Holds:
    """The schedule's conditions on the number of microbatches, and the framework's own."""
    number = f.global_batch_size // (c["micro_batch_size"] * c["data"])
    enough = (number >= c["pipeline"]) | (c["virtual_stages"] > 1) | (not f.needs_microbatches)
    return schedule(about_microbatches=True)(f, c) & enough


def expert_loop(f: SpaceFacts, c: Columns) -> Holds:
    return np.full(c["expert"].shape, not (f.loops_experts and f.experts > 0))


def simulated(f: SpaceFacts, c: Columns) -> Holds:
    microbatches = f.global_batch_size // (c["micro_batch_size"] * c["data"])
    chunks = c["pipeline"].astype(np.float64) * c["virtual_stages"]
    return chunks * microbatches <= MOST_FORWARDS


def shared_vocabulary(f: SpaceFacts, c: Columns) -> Holds:
    kind = SCHEDULES[SCHEDULE_NAMES[int(c["schedule"].flat[0])]]
    return np.full(c["schedule"].shape, not (kind.shares_vocabulary and f.predictions))


def one_stage(f: SpaceFacts, c: Columns) -> Holds:
    return (c["pipeline"] > 1) | (c["schedule"] == OF_ONE_STAGE)


def selective_use(f: SpaceFacts, c: Columns) -> Holds:
    return (c["recompute"] != SELECTIVE) | f.selective_frees | f.recompute_asked


def _of_dispatchers(f: SpaceFacts, c: Columns, good: Callable[[DispatcherNeeds], Holds]) -> Holds:
    """What holds of the dispatcher of every row that has one."""
    held = c["expert"] == 1
    for code, needs in enumerate(f.dispatchers):
        held = held | ((c["dispatcher"] == code) & good(needs))
    return held


def dispatcher_devices(f: SpaceFacts, c: Columns) -> Holds:
    return _of_dispatchers(f, c, lambda needs: needs.runs)


def dispatcher_reach(f: SpaceFacts, c: Columns) -> Holds:
    """Groups of ranks follow each other, and lie in one domain each where their size divides it or
    the whole job does."""
    ranks = c["expert"] * c["expert_tensor"]

    def inside(needs: DispatcherNeeds) -> Holds:
        most = needs.most_ranks
        if most is None:
            return True
        return (ranks <= most) & ((most % ranks == 0) | (f.devices <= most))

    return _of_dispatchers(f, c, inside)


def _one_of(numbers: NDArray[np.int64], few: Sequence[int]) -> NDArray[np.bool_]:
    """[N]: whether numbers are among a few. `np.isin` loads a module of numpy for that."""
    found: NDArray[np.bool_] = (numbers[..., None] == np.array(few)).any(axis=-1)
    return found


def dispatcher_ranks(f: SpaceFacts, c: Columns) -> Holds:
    ranks = c["expert"] * c["expert_tensor"]
    return _of_dispatchers(f, c, lambda needs: not needs.ranks or _one_of(ranks, needs.ranks))


def one_dispatcher(f: SpaceFacts, c: Columns) -> Holds:
    return (c["expert"] > 1) | (c["dispatcher"] == f.first_dispatcher)


def expert_overlap(f: SpaceFacts, c: Columns) -> Holds:
    possible = (c["expert"] > 1) & _of_dispatchers(f, c, lambda needs: needs.overlaps)
    return (c["expert_overlap"] == 0) | (possible & f.overlaps_experts)


def expert_overlap_stages(f: SpaceFacts, c: Columns) -> Holds:
    plain = (c["pipeline"] == 1) | (c["virtual_stages"] > 1)
    runs = np.isin(c["schedule"], WITH_COMBINED_PASSES)
    return (c["expert_overlap"] == 0) | (plain & runs)


def expert_overlap_recompute(f: SpaceFacts, c: Columns) -> Holds:
    redone = (c["recompute"] == FULL) | ((c["recompute"] == SELECTIVE) & f.recomputes_experts)
    return (c["expert_overlap"] == 0) | ~redone


def sharded_pipeline(f: SpaceFacts, c: Columns) -> Holds:
    few = (c["data_sharding"] < GRADIENTS_SHARDED) | (c["pipeline"] == 1)
    return few | f.shards_pipelines


def sharded_tensor(f: SpaceFacts, c: Columns) -> Holds:
    whole = c["data_sharding"] != DATA_SHARDINGS.index("full")
    return whole | (c["tensor"] == 1) | f.shards_tensors


def two_stage_interleaving(f: SpaceFacts, c: Columns) -> Holds:
    interleaved = np.isin(c["schedule"], WITH_OVERLAPPING_SENDS)
    return ~(interleaved & (c["pipeline"] == 2)) | f.interleaves_two_stages


def expert_biases(f: SpaceFacts, c: Columns) -> Holds:
    return (c["expert_tensor"] == 1) | f.splits_experts


def where_chosen(
    axis: str, condition: Callable[[SpaceFacts, Columns], Holds]
) -> Callable[[SpaceFacts, Columns], Holds]:
    """A condition that holds for code 0 of an axis, which all rows have in most searches."""

    def holds(f: SpaceFacts, c: Columns) -> Holds:
        return condition(f, c) if c[axis].any() else np.True_

    return holds


def sharding_groups(f: SpaceFacts, c: Columns) -> Holds:
    ranks, replicas = _sharing(f, c), c["data"] * c["context"]
    groups = replicas // np.maximum(ranks, 1)
    experts = replicas * c["tensor"] // (c["expert"] * c["expert_tensor"])
    least = np.where(c["data_sharding"] == DATA_SHARDINGS.index("optimizer"), 1, 2)
    whole = (ranks >= least) & (replicas % np.maximum(ranks, 1) == 0)
    return (c["shard_over"] == 0) | (whole & (experts % np.maximum(groups, 1) == 0))


def exchanged_heads(f: SpaceFacts, c: Columns) -> Holds:
    """Heads and key-value groups of a tensor rank, at least one, are dealt out evenly."""
    if f.context_heads == 1 or not (c["context"] > 1).any():
        return np.True_
    ranks = c["context"] if f.context_heads == ALL_RANKS else np.int64(f.context_heads)
    heads = f.heads // np.maximum(c["tensor"], 1)
    groups = np.maximum(f.query_groups // np.maximum(c["tensor"], 1), 1)
    even = (heads % ranks == 0) & (groups % ranks == 0)
    return (c["context"] == 1) | ((c["context"] % ranks == 0) & even)


def optimizer_states(f: SpaceFacts, c: Columns) -> Holds:
    return _sharded_as(f.state_shardings, c) if f.state_shardings else np.True_


def sharded_in_groups(f: SpaceFacts, c: Columns) -> Holds:
    return (c["shard_over"] == 0) | _sharded_as(f.sharded_in_groups, c)


def offloaded_optimizer(f: SpaceFacts, c: Columns) -> Holds:
    return (c["optimizer_offload"] == 0) | _sharded_as(f.offload.optimizer, c)


def offloaded_share(f: SpaceFacts, c: Columns) -> Holds:
    share = c["optimizer_offload"]
    return (share == 0) | (share == PARTS) | _sharded_as(f.offload.optimizer_share, c)


def offloaded_to_nvme(f: SpaceFacts, c: Columns) -> Holds:
    if f.offload.to != "nvme":
        return np.True_
    return (c["optimizer_offload"] == 0) | _sharded_as(f.offload.nvme, c)


def offloaded_weights(f: SpaceFacts, c: Columns) -> Holds:
    return (c["weight_offload"] == 0) | _sharded_as(f.offload.weights, c)


def offloaded_together(f: SpaceFacts, c: Columns) -> Holds:
    both = (c["optimizer_offload"] > 0) == (c["weight_offload"] > 0)
    return both | (not f.offload.together)


def offloaded_activations(f: SpaceFacts, c: Columns) -> Holds:
    codes = [GRANULARITIES.index(name) for name in f.offload.activations]
    staged = (c["pipeline"] == 1) | f.offload.activations_in_pipelines
    return (c["activation_offload"] == 0) | (np.isin(c["recompute"], codes) & staged)


def _sharded_as(names: Sequence[str], c: Columns) -> NDArray[np.bool_]:
    return np.isin(c["data_sharding"], [DATA_SHARDINGS.index(name) for name in names])


def several_groups(f: SpaceFacts, c: Columns) -> Holds:
    several = _sharing(f, c) < c["data"] * c["context"]
    return (c["shard_over"] != NODE) | several | (not f.shards_over_all)


def _sharing(f: SpaceFacts, c: Columns) -> NDArray[np.int64]:
    return sharing_ranks(c["shard_over"], c["tensor"], f.node_devices)


def one_replica(f: SpaceFacts, c: Columns) -> Holds:
    alone = c["data"] * c["context"] == 1
    return ~alone | (c["data_sharding"] == f.first_data_sharding)
