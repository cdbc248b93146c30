"""Uniform layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.plan import recomputed_per_chunk, recomputed_per_stage
from planner.training.search.layouts.default import default_layout, stages_of, uniform_layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario


@pytest.mark.parametrize(
    ("layers", "chunks", "expected"),
    [
        (8, 4, (2, 2, 2, 2)),
        (9, 4, (2, 3, 2, 2)),
        (10, 4, (2, 3, 3, 2)),
        (11, 4, (3, 3, 3, 2)),
        (7, 3, (2, 3, 2)),
        (126, 16, (7, *[8] * 14, 7)),
        (126, 8, (15, 16, 16, 16, 16, 16, 16, 15)),
        (2, 4, (0, 1, 1, 0)),
        (1, 1, (1,)),
    ],
)
def test_the_remainder_goes_to_the_middle(
    layers: int, chunks: int, expected: tuple[int, ...]
) -> None:
    assert uniform_layers(layers, chunks) == expected


@given(st.integers(1, 200), st.data())
def test_layers_are_all_held_and_differ_by_one_at_most(layers: int, data: st.DataObject) -> None:
    chunks = data.draw(st.integers(1, layers))
    found = uniform_layers(layers, chunks)
    assert sum(found) == layers
    assert len(found) == chunks
    assert max(found) - min(found) <= 1


def test_too_few_layers(scenario_of: Callable[..., Scenario]) -> None:
    with pytest.raises(InputError, match="3 layers cannot fill 4 chunks"):
        default_layout(scenario_of(layers=3), 4, 1, "1f1b")


def test_chunks_follow_the_virtual_stages() -> None:
    stages = stages_of((1, 2, 3, 4), 2, 2)
    assert [stage.chunks for stage in stages] == [((0, 1), (3, 6)), ((1, 3), (6, 10))]
    assert [stage.embedding for stage in stages] == [True, False]
    assert [stage.head for stage in stages] == [False, True]
    with pytest.raises(InputError, match="has 3 entries; pipeline 2 with 2 virtual stages has 4"):
        stages_of((1, 2, 3), 2, 2)


def test_recomputed_layers_are_capped_by_the_chunk() -> None:
    assert recomputed_per_stage(stages_of((1, 2, 3, 4), 2, 2), 2) == (3, 4)
    assert recomputed_per_stage(stages_of((1, 2, 3, 4), 2, 2), 0) == (0, 0)


def test_a_single_stage_holds_everything(scenario_of: Callable[..., Scenario]) -> None:
    (stage,) = default_layout(scenario_of(layers=5), 1, 1, "1f1b")
    assert stage.chunks == ((0, 5),)
    assert stage.embedding
    assert stage.head


@given(sizes=st.lists(st.integers(1, 6), min_size=4, max_size=4), per_chunk=st.integers(0, 6))
def test_layers_per_stage_say_how_many_per_chunk(sizes: list[int], per_chunk: int) -> None:
    stages = stages_of(sizes, 2, 2)
    layers = recomputed_per_stage(stages, per_chunk)
    found = recomputed_per_chunk(stages, layers)
    assert found is not None
    assert recomputed_per_stage(stages, found) == layers
    assert recomputed_per_chunk(stages, (layers[0] + 100, *layers[1:])) is None
