"""Equally many items in every bin, against all ways to deal them."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.solver import Solver
from planner.solver.balance import balance

WEIGHTS = st.integers(0, 1000).map(float)


def least_fullest(weights: tuple[float, ...], each: int) -> float:
    """The lightest fullest bin of all ways: the first item's bin with every set of companions."""
    if not weights:
        return 0.0
    best = float("inf")
    rest = range(1, len(weights))
    for chosen in combinations(rest, each - 1):
        left = tuple(weights[i] for i in rest if i not in chosen)
        mine = weights[0] + sum(weights[i] for i in chosen)
        if mine < best:
            best = min(best, max(mine, least_fullest(left, each)))
    return best


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([(2, 4), (3, 2), (3, 3), (2, 2), (4, 1)]), st.data())
def test_small_answers_are_the_best_of_all_ways(
    shape: tuple[int, int], data: st.DataObject
) -> None:
    bins, each = shape
    weights = data.draw(st.lists(WEIGHTS, min_size=bins * each, max_size=bins * each))
    found = balance(weights, bins, Solver())
    assert sorted(item for held in found.bins for item in held) == list(range(len(weights)))
    assert {len(held) for held in found.bins} == {each}
    assert found.fullest == pytest.approx(max(sum(weights[i] for i in held) for held in found.bins))
    assert found.fullest == pytest.approx(least_fullest(tuple(weights), each))
    assert found.bound == pytest.approx(found.fullest)


@settings(max_examples=10, deadline=None)
@given(st.lists(WEIGHTS, min_size=96, max_size=96))
def test_large_answers_lie_between_their_bound_and_the_order(weights: list[float]) -> None:
    found = balance(weights, 8, Solver())
    in_order = max(sum(weights[at : at + 12]) for at in range(0, 96, 12))
    assert sum(weights) / 8 <= found.bound * (1 + 1e-9)
    assert found.bound <= found.fullest <= in_order


def test_items_stay_in_their_order_where_nothing_is_gained() -> None:
    assert balance([1.0] * 6, 3, Solver()).bins == ((0, 1), (2, 3), (4, 5))
