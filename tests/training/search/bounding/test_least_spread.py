"""The least spread of layers over stages that repeat some of them, against every whole spread and a
linear program."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from planner.solver import Solver
from planner.solver.division import Division, Parts
from planner.training.search.bounding.least_spread import least_spread_s

STAGES, LAYERS = 3, 6


@pytest.mark.parametrize("seed", range(4))
def test_no_spread_is_shorter_and_the_program_agrees(seed: int) -> None:
    random = np.random.default_rng(seed)
    cases = 12
    layer, replay = random.uniform(1, 3, (2, cases, STAGES))
    owed = np.stack(
        (random.uniform(-3, 2, (cases, STAGES)), random.uniform(-0.3, 1, (cases, STAGES))), axis=-1
    )
    room = random.integers(0, 6, (cases, STAGES)).astype(float)
    floors = np.array([0.0, 2.0, 0.0])
    found = least_spread_s(LAYERS, layer, replay, owed, room, floors)
    for case in range(cases):
        whole = [
            sum(
                layer[case, s] * held[s]
                + replay[case, s] * max(owed[case, s, 0] + owed[case, s, 1] * held[s], 0.0)
                for s in range(STAGES)
            )
            for held in product(range(LAYERS + 1), repeat=STAGES)
            if sum(held) == LAYERS and (floors <= held).all() and (held <= room[case]).all()
        ]
        assert found[case] <= min(whole, default=np.inf) + 1e-9
        program = Division(Parts(LAYERS, floors, room[case], owed[case].T), STAGES, 30.0, Solver())
        program.add(np.zeros(1), np.append(layer[case], replay[case])[None])
        divided = program.solved()
        if divided is None:
            assert found[case] == np.inf
        else:
            spent = np.append(layer[case], replay[case]) @ divided.entries
            assert found[case] == pytest.approx(float(spent))
