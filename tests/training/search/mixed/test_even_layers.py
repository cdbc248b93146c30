"""Layers that make stages as long as each other, against every layout of small pipelines."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.training.search.mixed.even_layers import even_layers, held_s
from planner.training.step.sends import Sends

TIMES = st.floats(0.05, 5.0)


@given(data=st.data(), stages=st.integers(1, 4), total=st.integers(4, 9))
def test_no_layout_has_a_shorter_longest_stage(
    data: st.DataObject, stages: int, total: int
) -> None:
    """Stages take a time of their own for a layer, something once, and wait for messages."""
    stage_s = data.draw(st.lists(TIMES, min_size=stages, max_size=stages))
    once = data.draw(st.lists(TIMES, min_size=stages, max_size=stages))
    once[data.draw(st.integers(0, stages - 1))] = 0.0
    held = data.draw(st.lists(TIMES, min_size=stages, max_size=stages))
    least = data.draw(st.lists(st.integers(0, 1), min_size=stages, max_size=stages))
    layers = [total // stages + (stage < total % stages) for stage in range(stages)]
    passes_s = np.array(stage_s) * layers + once
    found, longest_s = even_layers(
        passes_s[None], layers, np.array([stage_s]), np.array([held]), np.array(least)
    )
    assert found[0].sum() == total
    assert (found[0] >= least).all()
    every = [
        max(s * n + o + h for s, n, o, h in zip(stage_s, sizes, once, held, strict=True))
        for sizes in product(*(range(low, total + 1) for low in least))
        if sum(sizes) == total
    ]
    assert longest_s[0] == pytest.approx(min(every), rel=1e-6)


def test_a_stage_waits_for_what_it_sends() -> None:
    """Forward over the boundary after it, backward over the one before."""
    sends = Sends(
        forward_s=np.array([[1.0, 10.0]]), backward_s=np.array([[2.0, 20.0]]), mode="blocking"
    )
    assert held_s(sends, "1f1b", 3, 1).tolist() == [[1.0, 12.0, 20.0]]
    waits_for_none = Sends(
        forward_s=sends.forward_s, backward_s=sends.backward_s, mode="asynchronous"
    )
    assert held_s(waits_for_none, "1f1b", 3, 1).tolist() == [[0.0, 0.0, 0.0]]
