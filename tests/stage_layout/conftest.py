"""Random stage layout problems small enough to try every layout."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.schedule.inflight import peak_in_flight
from planner.stage_layout.problem import LayoutProblem, Layouts, Pattern

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def random_problem() -> Callable[..., LayoutProblem]:
    return problem_of_seed


@pytest.fixture(scope="session")
def every_layout() -> Callable[[LayoutProblem], Layouts | None]:
    return all_layouts


def problem_of_seed(
    seed: int,
    schedule: str = "1f1b",
    *,
    virtual_stages: int = 1,
    layers: int = 12,
    stages: int = 4,
    kinds: int = 3,
    links: float = 0.2,
) -> LayoutProblem:
    """Up to so many layers of up to three kinds between an embedding and a head, on up to four
    stages of one or two device types, with memory that is often short."""
    random = np.random.default_rng(seed)
    p = int(random.integers(1 if virtual_stages == 1 else 2, stages + 1))
    chunks = p * virtual_stages
    length = int(random.integers(chunks, max(chunks, layers) + 1))
    inner = int(random.integers(1, kinds + 1))
    middle = random.integers(0, inner, length)
    if random.random() < 0.5:
        middle.sort()
    k = inner + 2
    chain = (k - 2, *middle.tolist(), k - 1)
    forward = random.uniform(0.5, 1.5, k) * np.array([1.0] * inner + [0.1, random.choice([0.2, 3])])
    at_speed = random.choice([1.0, 1.6], (p, 1)) * forward
    replay = np.stack([np.zeros_like(at_speed), at_speed])
    replay[..., -2:] = 0.0
    kept = random.uniform(1, 3, (1, k)) * np.array([[1.0], [0.2]])
    kept[1, -2:] = kept[0, -2:]
    microbatches = int(random.integers(1, 20)) if virtual_stages == 1 else p * random.integers(1, 6)
    in_flight = peak_in_flight(
        schedule, stages=p, virtual_stages=virtual_stages, num_microbatches=int(microbatches)
    )
    problem = LayoutProblem(
        schedule=schedule,
        stages=p,
        virtual_stages=virtual_stages,
        num_microbatches=int(microbatches),
        chain=chain,
        may_cut=(bool(random.random() < 0.5), *[True] * (length - 1), bool(random.random() < 0.5)),
        replayable=(*[True] * inner, False, False),
        forward_s=at_speed,
        backward_s=2 * at_speed,
        weight_gradient_s=0.9 * at_speed,
        replay_s=replay,
        static_bytes=random.uniform(3, 6, k),
        kept_bytes=kept,
        in_flight=in_flight,
        fixed_bytes=np.ones(p),
        capacity_bytes=np.full(p, 1e9),
        patterns=(Pattern(0, 0), Pattern(1, 1), Pattern(1, 2), Pattern(1, 99))[
            : int(random.integers(1, 5))
        ],
        one_pattern=bool(random.random() < 0.5),
        forward_send_s=random.uniform(0, links, chunks - 1),
        backward_send_s=random.uniform(0, links, chunks - 1) * random.integers(0, 2),
        sends="blocking" if virtual_stages == 1 else "paired",
        reduction_s=random.uniform(0, 0.5, k) * random.integers(0, 2),
    )
    flights = in_flight.sum() / chunks
    each = (problem.before(problem.static_bytes)[-1] + flights * problem.before(kept[0])[-1]) / p
    return replace(
        problem, capacity_bytes=each * random.uniform(0.8, 1.6) * random.uniform(0.9, 1.4, p)
    )


def all_layouts(problem: LayoutProblem) -> Layouts | None:
    """Every composition with every choice of patterns; None where there are too few items."""
    ends = problem.ends
    cuts = [
        (0, *inner, ends[-1]) for inner in combinations(ends[1:-1].tolist(), problem.chunks - 1)
    ]
    if not cuts:
        return None
    indices = range(len(problem.patterns))
    patterns = (
        [(one,) * problem.stages for one in indices]
        if problem.one_pattern
        else list(product(indices, repeat=problem.stages))
    )
    return Layouts(
        ends=np.repeat(np.array(cuts), len(patterns), axis=0),
        patterns=np.tile(np.array(patterns), (len(cuts), 1)),
    )
