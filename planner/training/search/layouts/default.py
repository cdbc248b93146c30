"""Stage layout: which layers each chunk holds.

This module builds only layouts by a fixed rule. `LayoutChooser` is the extension point for anything
better: refinement asks it for the stages of each combination, and the bounds hold for its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from planner.errors import InputError, RuleError
from planner.plan import Stage
from planner.schedule.registry import PLAIN, kind_of
from planner.workload.layers import layer_operators
from planner.workload.operators import FusedAttention, GroupedMatmul, Matmul
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.training.scenario import Scenario

LayoutChooser = Callable[["Scenario", int, int, str], tuple[Stage, ...]]
"""(scenario, pipeline, virtual_stages, schedule) to the stages."""


MOST_CHUNKS = 10_000
"""Chunks of a layout, over all stages: a hundred times what models have."""


def check_chunks(pipeline: int, virtual_stages: int) -> None:
    """Raises: RuleError for more chunks than any layout has, before one of them is made."""
    chunks = pipeline * virtual_stages
    if chunks > MOST_CHUNKS:
        raise RuleError(
            "layers",
            f"pipeline {pipeline} · virtual stages {virtual_stages} make {chunks:,} chunks, and "
            f"every chunk needs a layer; at most {MOST_CHUNKS:,} are laid out",
            axes=("pipeline", "virtual_stages"),
        )


def uniform_layers(num_layers: int, chunks: int) -> tuple[int, ...]:
    """Layers of every chunk in virtual-stage order: equal, with the remainder going one each to the
    middle chunks, away from the embedding and the head. With fewer layers than chunks the outer
    chunks are empty."""
    each, rest = divmod(num_layers, chunks)
    first = (chunks - rest) // 2
    return tuple(each + (first <= index < first + rest) for index in range(chunks))


def balanced_layers(scenario: Scenario, chunks: int) -> tuple[int, ...]:
    """Layers of every chunk, balanced for the output layer. The last chunk gets the number of
    layers that leaves the busiest chunk the least work, where the output layer counts with its
    FLOPs. The other chunks are equal, the larger ones late (Yeung et al. 2024, Balancing Pipeline
    Parallelism with Vocabulary Parallelism, section 6.1, "Redis")."""
    num_layers = scenario.model.num_layers
    if chunks == 1:
        return (num_layers,)
    output = _forward_flops(scenario, "head") / _forward_flops(scenario, scenario.kinds[0])

    def busiest(last: int) -> float:
        return max(-(-(num_layers - last) // (chunks - 1)), last + output)

    last = min(range(num_layers // chunks + 1), key=lambda count: (busiest(count), -count))
    each, rest = divmod(num_layers - last, chunks - 1)
    return (*[each] * (chunks - 1 - rest), *[each + 1] * rest, last)


def _forward_flops(scenario: Scenario, kind: str) -> float:
    operators = layer_operators(scenario.workload(Shard()), kind)
    return sum(
        operator.flops
        for operator in operators
        if isinstance(operator, Matmul | GroupedMatmul | FusedAttention)
    )


def default_layers(
    scenario: Scenario, pipeline: int, virtual_stages: int, schedule: str
) -> tuple[int, ...]:
    """Layers of every chunk unless a layout is given: equal, or balanced where that is the purpose
    of the schedule.

    Raises: InputError when there are fewer layers than chunks.
    """
    kind = kind_of(schedule)
    chunks = pipeline * virtual_stages // kind.parameter_copies
    if kind.balances_head:
        return balanced_layers(scenario, chunks)
    if chunks > scenario.model.num_layers:
        raise InputError(f"{scenario.model.num_layers} layers cannot fill {chunks} chunks")
    return uniform_layers(scenario.model.num_layers, chunks)


def stages_of(
    layers: Sequence[int], pipeline: int, virtual_stages: int, schedule: str = PLAIN
) -> tuple[Stage, ...]:
    """Stages from the layers of every chunk in the order in which a microbatch visits them, placed
    as the schedule does: in a loop, chunk c of stage s is virtual stage c·p + s (Narayanan et al.
    2021, section 2.2). The ends of the model hold the embedding and the head, or every stage holds
    its share.

    Raises: InputError when the number of entries is not the number of chunks; RuleError for more
    chunks than are laid out.
    """
    check_chunks(pipeline, virtual_stages)
    kind = kind_of(schedule)
    placement = kind.placement(pipeline, virtual_stages)
    chunks = pipeline * virtual_stages // placement.copies
    if len(layers) != chunks:
        raise InputError(
            f"the stage layout has {len(layers)} entries; pipeline {pipeline} with "
            f"{virtual_stages} virtual stages has {chunks} chunks"
        )
    ranges = list(pairwise(accumulate(layers, initial=0)))
    return tuple(
        Stage(
            index=stage,
            chunks=tuple(ranges[position] for position in row),
            embedding=kind.shares_vocabulary or 0 in row,
            head=kind.shares_vocabulary or chunks - 1 in row,
        )
        for stage, row in enumerate(placement.positions.tolist())
    )


def layers_of_chunks(plan: Plan) -> tuple[int, ...]:
    """The inverse of `stages_of`: layers of every chunk in the order in which a microbatch visits
    them."""
    pipeline, chunks = plan.degrees.pipeline, plan.virtual_stages
    placement = kind_of(plan.schedule).placement(pipeline, chunks)
    layers = [0] * (pipeline * chunks // placement.copies)
    for stage, positions in zip(plan.stages, placement.positions.tolist(), strict=True):
        for (start, end), position in zip(stage.chunks, positions, strict=True):
            layers[position] = end - start
    return tuple(layers)


def default_layout(
    scenario: Scenario, pipeline: int, virtual_stages: int, schedule: str
) -> tuple[Stage, ...]:
    """The `LayoutChooser` that does not search: `default_layers`."""
    layers = default_layers(scenario, pipeline, virtual_stages, schedule)
    return stages_of(layers, pipeline, virtual_stages, schedule)


def check_layers(scenario: Scenario, layers: Sequence[int]) -> None:
    """Raises InputError or RuleError unless these layers of every chunk add up to the model's, in a
    layout that the framework supports."""
    total = scenario.model.num_layers
    if sum(layers) != total:
        raise InputError(f"the stage layout holds {sum(layers)} layers, the model has {total}")
    inner = list(layers[1:-1])
    if 0 in inner:
        raise RuleError(
            "layers",
            "every chunk needs a layer, unless it has the embedding or the head; "
            f"chunk {1 + inner.index(0)} of the stage layout has 0",
        )
    if len(set(layers)) > 1 and not scenario.job.software.pipeline_layout:
        raise RuleError(
            "layers",
            f"software profile {scenario.job.software.name} has no uneven stage layouts; "
            f"found {','.join(map(str, layers))}",
        )
