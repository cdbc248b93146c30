"""Turns a plan into the stage layout problem, and a layout back into the plan's stages."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from planner.plan import Recompute, recomputed_per_chunk, recomputed_per_stage
from planner.schedule.inflight import peak_in_flight
from planner.schedule.registry import kind_of
from planner.stage_layout.problem import LayoutProblem, Layouts, Pattern, price
from planner.training.batch import FULL, OUTER_KINDS, SELECTIVE
from planner.training.memory.activations import movable_of_layers
from planner.training.memory.parameters import (
    copied_embeddings,
    embedding_parameters,
    stage_parameters,
)
from planner.training.memory.stage import stage_peaks
from planner.training.memory.states import state_bytes
from planner.training.search.layouts.default import stages_of
from planner.training.step.passes import stage_layer_s
from planner.training.step.reduction import gradient_reduction_s
from planner.training.step.sends import replica_sends
from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.plan import Plan
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.workload.stages import StageLoad

ALL = 1 << 20
"""A number of recomputed layers per chunk that means all of them."""


AROUND = 2
"""How far the number of recomputed layers per chunk may differ from what the default layout
needs."""


MOST_SEGMENTS = 8_000_000
"""Segments of the chain over all stages up to which layouts are solved for: half a gigabyte."""


def kept_layout(
    scenario: Scenario, pipeline: int, virtual_stages: int, schedule: str
) -> str | None:
    """Why combinations of this shape keep their default layout; None where a layout is chosen."""
    kind, software = kind_of(schedule), scenario.job.software
    if pipeline == 1:
        return "one stage holds everything"
    if not software.pipeline_layout:
        return f"uneven stages are not expressible in {software.name}"
    layers = scenario.model.num_layers
    if virtual_stages == 1 and pipeline * layers**2 > MOST_SEGMENTS:
        return f"{layers:,} layers on {pipeline} stages are too many to lay out in another way"
    if kind.shares_vocabulary or kind.parameter_copies > 1 or kind.balances_head:
        return f"schedule {schedule} brings its own layout"
    if virtual_stages > 1 and len(set(layer_kinds(scenario.model))) > 1:
        return "unlike layers with several chunks per stage keep the default layout"
    return None


def problem_of(scenario: Scenario, table: CostTable, batch: Batch, plan: Plan) -> LayoutProblem:
    """The problem whose layouts are those of the plan's combination; `batch` is the plan alone.

    Memory follows `planner.training.memory.stage`, made linear in the layers around the plan's own
    layout: whatever its peak there does not attribute to layers counts as fixed. Sends are those of
    the slowest replica. Under full recomputation the first n layers of every chunk are recomputed,
    with one n for all chunks (Megatron-LM `--recompute-num-layers`) that differs from the plan's by
    at most `AROUND`.
    """
    p, v = batch.pipeline, batch.virtual_stages
    chain, may_cut = _chain(scenario)
    row, full = int(batch.row[0]), bool(batch.granularity[0] == FULL)
    forward = stage_layer_s(scenario, table, batch, table.forward_s.sum(axis=0))[0]
    backward = stage_layer_s(scenario, table, batch, table.backward_s.sum(axis=0))[0]
    saved = table.saved_bytes[row]
    if batch.granularity[0] == SELECTIVE:
        backward = backward + stage_layer_s(scenario, table, batch, table.selective_s)[0]
        saved = table.selective_bytes[row]
    if not full:
        saved = saved - batch.host_activations[0] * movable_of_layers(table, batch)[0]
    slack = 1 + scenario.job.software.slack
    replayable = np.ones(len(scenario.kinds), dtype=np.bool_)
    replayable[-2:] = False
    kept = np.stack([saved, np.where(replayable, table.full_bytes[row], saved)])
    sends = replica_sends(scenario, table, batch)
    slowest = int((sends.forward_s + sends.backward_s).sum(axis=1).argmax())
    peaks = stage_peaks(scenario, table, batch)
    problem = LayoutProblem(
        schedule=batch.schedule,
        stages=p,
        virtual_stages=v,
        num_microbatches=int(batch.num_microbatches[0]),
        chain=chain,
        may_cut=may_cut,
        replayable=tuple(replayable.tolist()),
        forward_s=forward,
        backward_s=backward,
        weight_gradient_s=stage_layer_s(scenario, table, batch, table.weight_gradient_s)[0],
        replay_s=np.stack([np.zeros_like(forward), np.where(replayable, forward, 0.0)]),
        static_bytes=slack * _static_bytes(scenario, table, batch),
        kept_bytes=slack * (kept + table.logits_bytes[row]),
        in_flight=peak_in_flight(
            batch.schedule,
            stages=p,
            virtual_stages=v,
            num_microbatches=int(batch.num_microbatches[0]),
            ahead=None if batch.ahead is None else batch.ahead[0],
        ),
        fixed_bytes=np.zeros(p),
        capacity_bytes=(peaks.device_peak + peaks.spare)[0].astype(np.float64),
        patterns=_patterns(scenario, batch) if full else (Pattern(0, 0),),
        forward_send_s=sends.forward_s[slowest],
        backward_send_s=sends.backward_s[slowest],
        sends=sends.mode,
        reduction_s=_reduction_s(scenario, table, batch),
    )
    at_plan = price(problem, layout_of(plan, problem)).peak_bytes[0]
    return replace(problem, fixed_bytes=peaks.device_peak[0] - at_plan)


def layout_of(plan: Plan, problem: LayoutProblem) -> Layouts:
    """The plan's own layout, as a layout of the problem."""
    ranges = sorted(chunk for stage in plan.stages for chunk in stage.chunks)
    ends = np.array([0, *(end + 1 for _, end in ranges)], dtype=np.int64)
    ends[-1] = len(problem.chain)
    per_chunk = recomputed_per_chunk(plan.stages, plan.recompute.layers_per_stage) or 0
    layers = [pattern.layers for pattern in problem.patterns]
    pattern = next((i for i, count in enumerate(layers) if count >= per_chunk), len(layers) - 1)
    return Layouts(ends=ends[None], patterns=np.full((1, problem.stages), pattern))


def plan_with(plan: Plan, problem: LayoutProblem, layout: Layouts) -> Plan:
    """The plan with the stages and recomputation of a layout (the first of `layout`)."""
    last = sum(stage.num_layers for stage in plan.stages)
    positions = np.clip(layout.ends[0] - 1, 0, last)
    positions[-1] = last
    layers = [int(after - before) for before, after in pairwise(positions)]
    stages = stages_of(layers, problem.stages, problem.virtual_stages, plan.schedule)
    count = min(problem.patterns[int(layout.patterns[0, 0])].layers, last)
    return replace(
        plan,
        stages=stages,
        recompute=Recompute(
            granularity=plan.recompute.granularity,
            layers_per_stage=recomputed_per_stage(stages, count),
        ),
    )


def _chain(scenario: Scenario) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Kinds of the items in order, and where a chunk may end: anywhere except between the items
    after the last layer, which stay together (Megatron-LM keeps the loss with what precedes it when
    there are multi-token-prediction modules)."""
    column = {kind: index for index, kind in enumerate(scenario.kinds)}
    layers = [column[kind] for kind in layer_kinds(scenario.model)]
    modules = scenario.model.mtp_num_layers
    extra = [column["mtp"]] * modules if modules else []
    chain = (column["embedding"], *layers, *extra, column["head"])
    return chain, (*[True] * (1 + len(layers)), *[False] * len(extra))


def fewest_under_others(batch: Batch, recomputed: Ints) -> Ints:
    """Fewest fully recomputed layers per chunk that are tried in other layouts, given what the
    default needs: with one chunk per stage any number."""
    around = recomputed - AROUND if batch.virtual_stages > 1 else np.ones_like(recomputed)
    return np.maximum(around, 1)


def _patterns(scenario: Scenario, batch: Batch) -> tuple[Pattern, ...]:
    """Full recomputation of about as many layers of every chunk as in the plan; also of all layers,
    where the plan recomputes all."""
    if not scenario.job.software.recompute.partial:
        return (Pattern(1, ALL),)
    planned = int(batch.recomputed_layers[0])
    fewest = int(fewest_under_others(batch, batch.recomputed_layers)[0])
    counts = [Pattern(1, count) for count in range(fewest, planned + AROUND + 1)]
    return (*counts, Pattern(1, ALL)) if planned >= batch.load.most_layers else tuple(counts)


def _static_bytes(scenario: Scenario, table: CostTable, batch: Batch) -> Floats:
    """[K]: weights, gradients and optimizer states of one layer of every kind."""
    row = batch.row[:1]
    dense, ends = table.dense_parameters[row].copy(), np.zeros_like(table.dense_parameters[row])
    ends[:, -OUTER_KINDS:] = dense[:, -OUTER_KINDS:]
    if copied_embeddings(scenario, batch).any():
        column, modules = scenario.kinds.index("mtp"), scenario.model.mtp_num_layers
        copied = embedding_parameters(scenario, batch)[0] // modules
        dense[:, column] += copied
        ends[:, column] += copied
    held = state_bytes(scenario, batch, dense, table.expert_parameters[row], ends)
    return np.asarray(held[0], dtype=np.float64)


def _reduction_s(scenario: Scenario, table: CostTable, batch: Batch) -> Floats:
    """[K]: seconds that a layer adds to its stage's gradient reduction; 0 where reductions overlap
    the backward pass. The reduction is affine in the parameters: the slope is the smallest between
    stages with their own load and with twice that load."""
    kinds = len(scenario.kinds)
    if "gradient_reduce" in scenario.job.software.overlap:
        return np.zeros(kinds)
    none = np.zeros((1, batch.pipeline))
    once, twice = batch, replace(batch, load=_doubled(batch.load))
    seconds = [gradient_reduction_s(scenario, table, one, none) for one in (once, twice)]
    parameters = [sum(stage_parameters(scenario, table, one)) for one in (once, twice)]
    more = np.asarray(parameters[1] - parameters[0])
    slope = ((seconds[1] - seconds[0]) / np.maximum(more, 1))[more > 0]
    row = int(batch.row[0])
    each = table.dense_parameters[row] + table.expert_parameters[row]
    return np.asarray(
        each * max(float(slope.min(initial=np.inf)), 0.0) if slope.size else 0.0 * each
    )


def _doubled(load: StageLoad) -> StageLoad:
    return replace(load, counts=2 * load.counts)
