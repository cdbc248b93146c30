"""How much longer a step takes because devices differ, against every layout of few layers."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.training.search.mixed.least_jitter import least_jitter_s
from planner.training.step.parts import jitter_s
from tests.every_instance import instances
from tests.training.search.conftest import small_scenario

SCENARIO = small_scenario()


@settings(max_examples=instances(40, 400), deadline=None)
@given(st.data())
def test_no_layout_loses_less(data: st.DataObject) -> None:
    stages, layers = data.draw(st.integers(2, 4)), data.draw(st.integers(4, 9))
    each = np.array(data.draw(st.lists(st.sampled_from([1.0, 1.0, 1.3]), min_size=9, max_size=9)))
    beside = np.zeros(stages)
    beside[[0, -1]] = data.draw(st.sampled_from([(0.0, 0.0), (0.1, 1.5), (0.0, 2.4)]))
    before = np.concatenate(([0.0], np.cumsum(each[:layers])))
    ends, counts = np.arange(layers + 1), np.arange(layers + 1)[:, None]
    inside = ends >= counts
    of_layers = before[ends] - before[np.maximum(ends - counts, 0)]
    busy_s = of_layers + beside[:, None, None]
    may_hold = inside & (counts > 0) & (busy_s <= data.draw(st.floats(1.0, 8.0)))
    least_s = least_jitter_s(SCENARIO, busy_s, inside, may_hold)
    for cuts in combinations(range(1, layers), stages - 1):
        entries = [
            (stage, end - begin, end)
            for stage, (begin, end) in enumerate(pairwise((0, *cuts, layers)))
        ]
        if all(may_hold[entry] for entry in entries):
            known_s = jitter_s(SCENARIO, np.array([[busy_s[entry] for entry in entries]]))[0]
            assert all(least_s[entry] <= known_s + 1e-12 for entry in entries)


def test_many_equal_stages_lose_what_their_devices_lose_together() -> None:
    busy_s = np.tile(np.arange(9.0)[:, None], (4, 1, 9))
    inside = np.arange(9) >= np.arange(9)[:, None]
    least_s = least_jitter_s(SCENARIO, busy_s, inside, inside & (busy_s == 2.0))
    assert least_s[0, 2, 2] == jitter_s(SCENARIO, np.full((1, 4), 2.0))[0]
