"""Rules on stages, their chunks and the order of passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.build import MOST_FORWARDS
from planner.schedule.registry import PLAIN, SCHEDULES
from planner.schedule.rules import ScheduleSize
from planner.training.search.space.codes import SCHEDULE_NAMES
from planner.training.search.space.rules.rule import SpaceRule

if TYPE_CHECKING:
    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.rules.rule import Columns, Holds

OF_ONE_STAGE = SCHEDULE_NAMES.index(PLAIN)
"""Code of the only schedule that a single stage runs."""
WITH_OVERLAPPING_SENDS = tuple(
    code for code, name in enumerate(SCHEDULE_NAMES) if SCHEDULES[name].sends_may_overlap
)
"""Codes of the schedules whose sends may overlap."""
WITH_COMBINED_PASSES = (OF_ONE_STAGE, *WITH_OVERLAPPING_SENDS)
"""Codes of the schedules that run the forward pass of one microbatch beside the backward pass of
another."""


def chunks(f: SpaceFacts, c: Columns) -> Holds:
    chunks = c["pipeline"] * c["virtual_stages"]
    return (chunks <= f.layers) & (f.uneven_layout | (f.layers % chunks == 0))


def schedule(about_microbatches: bool) -> Callable[[SpaceFacts, Columns], Holds]:
    """The schedule's own conditions: on its stages and chunks, or on the number of microbatches.
    Pipeline, virtual stages and schedule are the same in every row."""

    def holds(f: SpaceFacts, c: Columns) -> Holds:
        kind = SCHEDULES[SCHEDULE_NAMES[int(c["schedule"].flat[0])]]
        stages, chunks = int(c["pipeline"].flat[0]), int(c["virtual_stages"].flat[0])
        numbers = f.microbatches(c)
        allowed = np.ones(numbers[0].shape, dtype=np.bool_)
        for number in numbers:
            size = ScheduleSize.of(stages, chunks, number, None)
            for rule in kind.rules:
                if rule.about_microbatches == about_microbatches:
                    allowed = allowed & rule.holds(size)
        return allowed

    return holds


def microbatches(f: SpaceFacts, c: Columns) -> Holds:
    """The schedule's conditions on the number of microbatches, and the framework's own."""
    return schedule(about_microbatches=True)(f, c) & _enough_microbatches(f, c)


def _enough_microbatches(f: SpaceFacts, c: Columns) -> Holds:
    number = f.microbatches(c)[0]
    return (number >= c["pipeline"]) | (c["virtual_stages"] > 1) | (not f.needs_microbatches)


def broken_by_microbatches(f: SpaceFacts, c: Columns) -> str:
    """The condition on the number of microbatches that one combination breaks, in words."""
    stages, number = int(c["pipeline"][0]), int(f.microbatches(c)[0][0])
    made = "microbatches are global batch / (micro-batch size · data)"
    if not _enough_microbatches(f, c).all():
        return (
            f"{f.framework} needs at least as many microbatches as stages ({stages}), not "
            f"{number}; {made}"
        )
    name = SCHEDULE_NAMES[int(c["schedule"][0])]
    size = ScheduleSize.of(stages, int(c["virtual_stages"][0]), number, None)
    said = [rule.broken(size) for rule in SCHEDULES[name].rules if not rule.holds(size).all()]
    return f"schedule {name}: {said[0]}; {made}"


def simulated(f: SpaceFacts, c: Columns) -> Holds:
    microbatches = f.microbatches(c)[-1]
    chunks = c["pipeline"].astype(np.float64) * c["virtual_stages"]
    return chunks * microbatches <= MOST_FORWARDS


def shared_vocabulary(f: SpaceFacts, c: Columns) -> Holds:
    kind = SCHEDULES[SCHEDULE_NAMES[int(c["schedule"].flat[0])]]
    return np.full(c["schedule"].shape, not (kind.shares_vocabulary and f.predictions))


def one_stage(f: SpaceFacts, c: Columns) -> Holds:
    return (c["pipeline"] > 1) | (c["schedule"] == OF_ONE_STAGE)


def expert_overlap_stages(f: SpaceFacts, c: Columns) -> Holds:
    plain = (c["pipeline"] == 1) | (c["virtual_stages"] > 1)
    runs = np.isin(c["schedule"], WITH_COMBINED_PASSES)
    return (c["expert_overlap"] == 0) | (plain & runs)


def two_stage_interleaving(f: SpaceFacts, c: Columns) -> Holds:
    interleaved = np.isin(c["schedule"], WITH_OVERLAPPING_SENDS)
    return ~(interleaved & (c["pipeline"] == 2)) | f.interleaves_two_stages


STAGES = (
    SpaceRule(
        name="chunks",
        sentence="each of the pipeline · virtual stages chunks needs at least one of the "
        "{f.layers} layers (and the same number as the others where the framework has no uneven "
        "layouts)",
        axes=("pipeline", "virtual_stages"),
        adjusts="virtual_stages",
        holds=chunks,
    ),
    SpaceRule(
        name="vpp",
        sentence="interleaved needs at least 2 stages with at least 2 virtual stages each, and so "
        "does looped-bfs; V-shaped schedules and DualPipe run exactly 2 chunks per stage, the "
        "others one",
        axes=("pipeline", "virtual_stages", "schedule"),
        adjusts="virtual_stages",
        holds=schedule(about_microbatches=False),
    ),
    SpaceRule(
        name="vpp-sends",
        sentence="{f.framework} interleaves on 2 stages only where pipeline sends overlap",
        axes=("pipeline", "schedule"),
        adjusts="pipeline",
        holds=two_stage_interleaving,
    ),
    SpaceRule(
        name="expert-overlap-stages",
        sentence="exchanges of experts run beside another microbatch on one stage, or under an "
        "interleaved schedule with virtual stages",
        axes=("pipeline", "virtual_stages", "schedule", "expert_overlap"),
        adjusts="expert_overlap",
        holds=expert_overlap_stages,
    ),
    SpaceRule(
        name="shared-vocabulary",
        sentence="schedules that share the vocabulary among stages do not support multi-token "
        "prediction; the model has {f.predictions} such layers",
        axes=("schedule",),
        adjusts="schedule",
        holds=shared_vocabulary,
    ),
    SpaceRule(
        name="one-stage",
        sentence="with one stage every microbatch runs forward and back before the next, so every "
        "schedule is 1f1b",
        axes=("pipeline", "schedule"),
        adjusts="schedule",
        holds=one_stage,
        search_only=True,
    ),
    SpaceRule(
        name="vpp-mb",
        sentence="interleaved takes microbatches (global batch / (micro-batch size · data)) in "
        "groups as large as the pipeline degree, and the last group must not be smaller; DualPipe "
        "needs at least two microbatches per stage, and even numbers of stages and microbatches"
        "{f.as_many_microbatches}",
        axes=("pipeline", "virtual_stages", "schedule", "data", "micro_batch_size"),
        adjusts="micro_batch_size",
        holds=microbatches,
        of_one=broken_by_microbatches,
    ),
    SpaceRule(
        name="schedule-size",
        sentence="a step is simulated forward by forward, and pipeline · virtual stages · "
        f"microbatches (global batch / (micro-batch size · data)) may be {MOST_FORWARDS:,} at most",
        axes=("pipeline", "virtual_stages", "data", "micro_batch_size"),
        adjusts="micro_batch_size",
        holds=simulated,
    ),
)
