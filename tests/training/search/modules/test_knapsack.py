"""The knapsack of modules against every choice there is."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.training.search.modules.knapsack import ModuleOption, cheapest

STAGES = 2
AMOUNT = st.integers(0, 9)
OPTION = st.builds(
    lambda freed, host, again, moved: ModuleOption(
        freed_bytes=np.array(freed), host_bytes=host, again_s=float(again), moved_s=float(moved)
    ),
    st.lists(AMOUNT, min_size=STAGES, max_size=STAGES),
    AMOUNT,
    AMOUNT,
    AMOUNT,
)
BLOCKS = st.lists(st.lists(OPTION, min_size=1, max_size=4), min_size=1, max_size=4)


def cost_s(again_s: float, moved_s: float) -> float:
    return again_s + max(0.0, moved_s - 4.0) + max(0.0, moved_s - 6.0 - again_s)


@settings(max_examples=60, deadline=None)
@given(BLOCKS, st.lists(st.integers(-3, 20), min_size=STAGES, max_size=STAGES), st.integers(0, 25))
def test_nothing_is_cheaper_than_what_is_chosen(
    blocks: list[list[ModuleOption]], lacking: list[int], room: int
) -> None:
    chosen = cheapest(blocks, np.array(lacking), room, cost_s)
    costs = {}
    for choice in product(*(range(len(options)) for options in blocks)):
        taken = [options[index] for options, index in zip(blocks, choice, strict=True)]
        freed = np.sum([one.freed_bytes for one in taken], axis=0)
        if (freed >= lacking).all() and sum(one.host_bytes for one in taken) <= room:
            again, moved = (
                sum(getattr(one, name) for one in taken) for name in ("again_s", "moved_s")
            )
            costs[choice] = cost_s(again, moved)
    assert (chosen is None) == (not costs)
    if chosen is not None:
        assert costs[chosen] == min(costs.values())


def test_of_equals_the_first_options_are_taken() -> None:
    nothing = ModuleOption(
        freed_bytes=np.zeros(1, np.int64), host_bytes=0, again_s=0.0, moved_s=0.0
    )
    assert cheapest([[nothing, nothing]] * 3, np.zeros(1, np.int64), 0.0, cost_s) == (0, 0, 0)
