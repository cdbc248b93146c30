"""Stage layout: which layers each chunk holds.

Only the uniform layout is built here. `LayoutChooser` is the seam for anything better: refinement
asks it for the stages of each combination, and the bounds hold for the layout that it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.plan import Stage

if TYPE_CHECKING:
    from planner.scenario import Scenario

LayoutChooser = Callable[["Scenario", int, int], tuple[Stage, ...]]
"""(scenario, pipeline, virtual_stages) to the stages."""


def uniform_layers(num_layers: int, chunks: int) -> tuple[int, ...]:
    """Layers of every chunk in virtual-stage order: equal, and what does not divide goes one each
    to the middle chunks, away from the embedding and the head.

    Raises: InputError when there are fewer layers than chunks.
    """
    if chunks > num_layers:
        raise InputError(f"{num_layers} layers cannot fill {chunks} chunks")
    each, rest = divmod(num_layers, chunks)
    first = (chunks - rest) // 2
    return tuple(each + (first <= index < first + rest) for index in range(chunks))


def stages_of(layers: Sequence[int], pipeline: int, virtual_stages: int) -> tuple[Stage, ...]:
    """Stages from the layers of every chunk in virtual-stage order: chunk c of stage s is virtual
    stage c·p + s (Narayanan et al. 2021, section 2.2), the embedding is on the first and the head
    on the last.

    Raises: InputError when the number of entries is not pipeline · virtual_stages.
    """
    chunks = pipeline * virtual_stages
    if len(layers) != chunks:
        raise InputError(
            f"the stage layout has {len(layers)} entries; pipeline {pipeline} with "
            f"{virtual_stages} virtual stages has {chunks} chunks"
        )
    ranges = list(pairwise(accumulate(layers, initial=0)))
    return tuple(
        Stage(
            index=stage,
            chunks=tuple(ranges[stage::pipeline]),
            embedding=stage == 0,
            head=stage == pipeline - 1,
        )
        for stage in range(pipeline)
    )


def uniform_layout(scenario: Scenario, pipeline: int, virtual_stages: int) -> tuple[Stage, ...]:
    """The `LayoutChooser` that spreads layers evenly."""
    layers = uniform_layers(scenario.model.num_layers, pipeline * virtual_stages)
    return stages_of(layers, pipeline, virtual_stages)


def recomputed_per_stage(stages: Sequence[Stage], per_chunk: int) -> tuple[int, ...]:
    """Fully recomputed layers of every stage when each chunk recomputes its first `per_chunk`
    layers (Megatron-LM `--recompute-method block`)."""
    return tuple(
        sum(min(end - start, per_chunk) for start, end in stage.chunks) for stage in stages
    )
