"""Bounds over all spreads of layers over chunks, against every spread of whole layers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from planner.budget import UNLIMITED
from planner.schedule.build import build
from planner.solver import Solver
from planner.training.search.bounding.spread_cases import SpreadCases, fewest_layers
from planner.training.search.bounding.spread_passes import simulated
from planner.training.search.bounding.spreads import SpreadBounds
from tests.every_instance import instances

STAGES, CHUNKS = 2, 3


def random_case(rng: np.random.Generator, microbatches: int, most: list[float]) -> SpreadCases:
    """One combination without recomputation whose stages have room for `most` layers."""
    chunks = STAGES * CHUNKS
    layer_s = rng.uniform(0.8, 1.2)
    return SpreadCases(
        combination=np.zeros(1, dtype=np.int64),
        microbatches=np.array([microbatches]),
        forward_s=np.array([layer_s]),
        backward_s=np.array([2 * layer_s]),
        first_s=np.zeros(1),
        more_s=np.zeros(1),
        ends_s=rng.uniform(0, 0.6, (1, 2, 2)),
        sends_s=rng.uniform(0, 0.1, (1, 2, chunks - 1)),
        waits_s=np.zeros((1, STAGES)),
        after_s=np.zeros(1),
        reduced_s=np.array([[0.2, 0.05]]),
        slow=np.array([-1]),
        slow_reduced_s=np.array([[0.2, 0.05]]),
        gathered_s=np.zeros((1, 2)),
        owed=np.zeros((1, STAGES, 2)),
        most=np.array([most]),
        least_s=np.zeros(1),
        below_s=np.array([np.inf]),
    )


def least_of_whole_s(case: SpreadCases, layers: int) -> float:
    """The shortest step over all spreads of whole layers."""
    least = fewest_layers(STAGES * CHUNKS)
    rest = layers - int(least.sum())
    spreads = np.array(
        [one for one in product(range(rest + 1), repeat=STAGES * CHUNKS) if sum(one) == rest],
        dtype=np.float64,
    )
    held = (spreads + least).reshape(-1, CHUNKS, STAGES).sum(axis=1)
    spreads = spreads[(held <= case.most[0]).all(axis=1)]
    schedule = build(
        "interleaved",
        stages=STAGES,
        virtual_stages=CHUNKS,
        num_microbatches=int(case.microbatches[0]),
    )
    return float(simulated(case, schedule, "paired", spreads).span_s.min())


@pytest.mark.parametrize("seed", range(instances(8, 100)))
def test_no_spread_of_whole_layers_beats_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = int(rng.integers(6, 9))
    room = float(-(-layers // STAGES) + rng.integers(0, 2))
    case = random_case(rng, STAGES * int(rng.integers(2, 9)), [room] * STAGES)
    bounds = SpreadBounds("interleaved", STAGES, "paired", case, layers, Solver())
    while bounds.raise_bound(0, UNLIMITED, rounds=2):
        pass
    least_s = least_of_whole_s(case, layers)
    assert 0.8 * least_s < bounds.bound_s[0] <= least_s * (1 + 1e-9)


def test_a_chunk_with_more_than_its_share_counts_in_every_group() -> None:
    """Four layers on each of two stages of three chunks: some chunk holds two. Spread evenly in
    fractions they would lose nothing between two groups of microbatches."""
    rng = np.random.default_rng(0)
    gains = []
    for groups in (4, 40):
        case = random_case(rng, STAGES * groups, [4.0] * STAGES)
        bounds = SpreadBounds("interleaved", STAGES, "paired", case, 8, Solver())
        bounds.raise_bound(0, UNLIMITED, rounds=20)
        even_s = float(bounds.bound_s[0])
        while bounds.raise_bound(0, UNLIMITED, rounds=4):
            pass
        assert bounds.bound_s[0] <= least_of_whole_s(case, 8) * (1 + 1e-9)
        gains.append(bounds.bound_s[0] / even_s - 1)
    assert min(gains) > 0.01
