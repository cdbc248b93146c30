"""Rules on the batch of a pass, and on how tensor ranks share its sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.training.search.space.rules.rule import SpaceRule

if TYPE_CHECKING:
    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.rules.rule import Columns, Holds


def batch(f: SpaceFacts, c: Columns) -> Holds:
    together = c["micro_batch_size"] * c["data"]
    if f.any_batch:
        return together <= f.global_batch_size
    if f.uneven_replicas:
        whole = f.global_batch_size % c["micro_batch_size"] == 0
        return whole & (together <= f.global_batch_size)
    return f.global_batch_size % together == 0


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


MICROBATCHES = (
    SpaceRule(
        name="batch",
        sentence="{f.batch_is_divided}",
        axes=("data", "micro_batch_size"),
        adjusts="micro_batch_size",
        holds=batch,
    ),
    SpaceRule(
        name="sp",
        sentence="under sequence parallelism the tensor degree must divide the sequence of one "
        "device, {f.seq_length} / context",
        axes=("tensor", "context", "sequence_parallel"),
        adjusts="tensor",
        holds=sequence_parallel,
    ),
    SpaceRule(
        name="sp-experts",
        sentence="expert and tensor parallelism together use sequence parallelism, unless "
        "--sequence-parallel says otherwise",
        axes=("tensor", "expert", "sequence_parallel"),
        adjusts="sequence_parallel",
        holds=expert_sequence_parallel,
        search_only=True,
    ),
    SpaceRule(
        name="one-tensor",
        sentence="with tensor 1 sequence parallelism changes nothing and is counted once",
        axes=("tensor", "sequence_parallel"),
        adjusts="sequence_parallel",
        holds=one_tensor,
        search_only=True,
    ),
)

NEEDING_SEQUENCE_PARALLELISM = (
    SpaceRule(
        name="tensor-overlap",
        sentence="software profile {f.software} overlaps tensor communication, which needs "
        "sequence parallelism",
        axes=("tensor", "sequence_parallel"),
        adjusts="sequence_parallel",
        holds=tensor_overlap,
    ),
    SpaceRule(
        name="experts-in-sequence",
        sentence="{f.framework} trains a mixture of experts under tensor parallelism with sequence "
        "parallelism only",
        axes=("tensor", "sequence_parallel"),
        adjusts="sequence_parallel",
        holds=experts_in_sequence,
    ),
)
"""What works under sequence parallelism only."""
