"""Numbers of shards, against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planner.training.search.bounding.shard_numbers import ShardNumbers

CALLS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 9000)), max_size=12),
    max_size=6,
)


@given(calls=CALLS)
def test_numbers_are_those_of_a_dictionary(calls: list[list[tuple[int, int, int]]]) -> None:
    numbers, known = ShardNumbers(3), dict[tuple[int, int, int], int]()
    for shards in calls:
        before = len(known)
        expected = [known.setdefault(shard, len(known)) for shard in shards]
        found, new = numbers.of(np.array(shards, dtype=np.int64).reshape(-1, 3).T)
        assert found.tolist() == expected
        assert [shards[place] for place in new.tolist()] == list(known)[before:]
        assert len(numbers) == len(known)
