"""Rules on mixtures of experts: degrees, dispatchers, exchanges beside other work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.space.rules.rule import SpaceRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.search.space.dispatchers import DispatcherNeeds
    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.rules.rule import Columns, Holds


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


def expert_loop(f: SpaceFacts, c: Columns) -> Holds:
    return np.full(c["expert"].shape, not (f.loops_experts and f.experts > 0))


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


def dispatch_pieces(f: SpaceFacts, c: Columns) -> Holds:
    sent = (c["expert"] > 1) & _of_dispatchers(f, c, lambda needs: needs.overlaps)
    return (c["dispatch_pieces"] == 1) | (sent & (c["expert_overlap"] == 0))


def dispatch_tokens(f: SpaceFacts, c: Columns) -> Holds:
    tokens = c["micro_batch_size"] * f.seq_length // c["context"]
    return tokens % c["dispatch_pieces"] == 0


def expert_biases(f: SpaceFacts, c: Columns) -> Holds:
    return (c["expert_tensor"] == 1) | f.splits_experts


EXPERTS = (
    SpaceRule(
        name="experts",
        sentence="the expert degree must divide the number of experts ({f.experts}){f.no_experts}",
        axes=("expert",),
        adjusts="expert",
        holds=experts,
    ),
    SpaceRule(
        name="expert-loop",
        sentence="under software profile {f.software} a mixture's experts run in a loop of Python, "
        "whose time is not known; take a profile with grouped experts",
        axes=("expert",),
        adjusts="expert",
        holds=expert_loop,
    ),
    SpaceRule(
        name="expert-ffn",
        sentence="the expert-tensor degree must divide the experts' hidden size "
        "{f.expert_ffn}{f.no_experts}",
        axes=("expert_tensor",),
        adjusts="expert_tensor",
        holds=expert_tensor,
    ),
    SpaceRule(
        name="expert-world",
        sentence="expert · expert-tensor must divide the devices of a stage, "
        "tensor · context · data",
        axes=("tensor", "context", "data", "expert", "expert_tensor"),
        adjusts="expert",
        holds=expert_world,
    ),
    SpaceRule(
        name="expert-bias",
        sentence="experts with biases need expert-tensor 1 in {f.framework}",
        axes=("expert_tensor",),
        adjusts="expert_tensor",
        holds=expert_biases,
    ),
    SpaceRule(
        name="one-dispatcher",
        sentence="without an expert degree there is nothing to dispatch, and dispatchers are "
        "counted once",
        axes=("expert", "dispatcher"),
        adjusts="dispatcher",
        holds=one_dispatcher,
        search_only=True,
    ),
    SpaceRule(
        name="dispatcher-devices",
        sentence="dispatchers that the cluster's devices or their fabric lack: "
        "{f.missing_dispatchers}",
        axes=("expert", "dispatcher"),
        adjusts="dispatcher",
        holds=dispatcher_devices,
    ),
    SpaceRule(
        name="dispatcher-reach",
        sentence="the ranks of a dispatcher are expert · expert-tensor, and lie side by side among "
        "those that it reaches: {f.dispatcher_reach}",
        axes=("expert", "expert_tensor", "dispatcher"),
        adjusts="dispatcher",
        holds=dispatcher_reach,
    ),
    SpaceRule(
        name="dispatcher-ranks",
        sentence="the ranks of a dispatcher are expert · expert-tensor, and {f.dispatcher_ranks}",
        axes=("expert", "expert_tensor", "dispatcher"),
        adjusts="dispatcher",
        holds=dispatcher_ranks,
    ),
    SpaceRule(
        name="expert-overlap",
        sentence="exchanges of experts run beside another microbatch only with an expert degree "
        "above 1, alltoall or a dispatcher of its own kernels, 16-bit weights and at most one "
        "multi-token-prediction module",
        axes=("expert", "dispatcher", "expert_overlap"),
        adjusts="expert_overlap",
        holds=expert_overlap,
    ),
    SpaceRule(
        name="dispatch-pieces",
        sentence="tokens travel to their experts in pieces only with an expert degree above 1, "
        "alltoall or a dispatcher of its own kernels, and no exchanges beside another microbatch",
        axes=("expert", "dispatcher", "expert_overlap", "dispatch_pieces"),
        adjusts="dispatch_pieces",
        holds=dispatch_pieces,
    ),
    SpaceRule(
        name="dispatch-tokens",
        sentence="the pieces in which tokens travel to their experts must divide the tokens of a "
        "micro-batch on a device",
        axes=("context", "micro_batch_size", "dispatch_pieces"),
        adjusts="dispatch_pieces",
        holds=dispatch_tokens,
    ),
    SpaceRule(
        name="order",
        sentence="with rank order {f.rank_order} and several stages, expert · expert-tensor must "
        "equal tensor · context, and a model without experts has no context parallelism",
        axes=("pipeline", "tensor", "context", "expert", "expert_tensor"),
        adjusts="expert",
        holds=order,
    ),
)
