"""Rules on what the backward pass computes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plan import GRANULARITIES
from planner.training.search.space.rules.rule import SpaceRule

if TYPE_CHECKING:
    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.rules.rule import Columns, Holds

SELECTIVE, FULL = GRANULARITIES.index("selective"), GRANULARITIES.index("full")
"""Codes of the recompute granularities that rules test."""


def graphs(f: SpaceFacts, c: Columns) -> Holds:
    return (c["recompute"] != FULL) | f.graphs_recompute


def selective_use(f: SpaceFacts, c: Columns) -> Holds:
    return (c["recompute"] != SELECTIVE) | f.selective_frees | f.recompute_asked


def expert_overlap_recompute(f: SpaceFacts, c: Columns) -> Holds:
    redone = (c["recompute"] == FULL) | ((c["recompute"] == SELECTIVE) & f.recomputes_experts)
    return (c["expert_overlap"] == 0) | ~redone


RECOMPUTATION = (
    SpaceRule(
        name="selective-use",
        sentence="selective recomputation is tried only where it frees memory that the layers keep",
        axes=("recompute",),
        adjusts="recompute",
        holds=selective_use,
        search_only=True,
    ),
    SpaceRule(
        name="expert-overlap-recompute",
        sentence="exchanges of experts run beside another microbatch only where the backward pass "
        "does not compute them again: without full recomputation, and without moe among the "
        "recomputed modules",
        axes=("recompute", "expert_overlap"),
        adjusts="expert_overlap",
        holds=expert_overlap_recompute,
    ),
    SpaceRule(
        name="graphs",
        sentence="{f.framework} cannot record CUDA graphs of a mixture of experts with full "
        "recomputation, and the software profile records graphs",
        axes=("recompute",),
        adjusts="recompute",
        holds=graphs,
    ),
)
