"""Nodes that no cost tells apart become one class, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.placement.problem.alike import with_alike_merged
from planner.placement.problem.problem import PlacementProblem, Wait
from tests.every_instance import instances
from tests.placement.problems import problem_of, random_problem


def split(problem: PlacementProblem) -> PlacementProblem:
    """Every node a class of its own."""
    node_class = problem.node_class
    pair = np.ix_(node_class, node_class)
    return replace(
        problem,
        node_class=np.arange(len(node_class)),
        link_s=problem.link_s[pair],
        waits=tuple(
            Wait(
                families=tuple(
                    replace(family, hop_s=family.hop_s[pair]) for family in wait.families
                ),
                hidden_s=wait.hidden_s,
            )
            for wait in problem.waits
        ),
        row_class_allowed=problem.row_class_allowed[:, node_class],
    )


@pytest.mark.parametrize("seed", range(instances(20, 40)))
def test_classes_split_into_nodes_are_found_again(seed: int) -> None:
    rng = np.random.default_rng(6000 + seed)
    problem = random_problem(rng, 12, device_types=1 + seed % 2)
    merged = with_alike_merged(split(problem))
    assert merged.classes <= len(np.unique(problem.node_class))
    for _ in range(20):
        order = rng.permutation(len(problem.node_class))[: problem.positions]
        assert merged.objective_s(order) == problem.objective_s(order)


def test_measured_nodes_stay_apart() -> None:
    bandwidth = 25e9 * (1 - 0.1 * np.random.default_rng(0).random((12, 12)))
    problem = problem_of(bandwidth, 3, 4)
    assert with_alike_merged(problem) is problem


def test_one_slow_node_of_equal_ones_makes_two_classes() -> None:
    bandwidth = np.full((12, 12), 25e9)
    bandwidth[7] = bandwidth[:, 7] = 10e9
    merged = with_alike_merged(problem_of(bandwidth, 3, 4))
    assert merged.classes == 2
    assert np.bincount(merged.node_class).tolist() == [11, 1]
