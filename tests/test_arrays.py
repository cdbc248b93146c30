"""Distinct rows, against numpy's."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.arrays import distinct_rows

ENTRIES = st.one_of(st.integers(0, 3), st.sampled_from([0, 2**40, 2**61]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(ENTRIES, ENTRIES, ENTRIES, ENTRIES), max_size=20))
def test_the_same_rows_as_comparing_them_whole(rows: list[tuple[int, ...]]) -> None:
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    _, first, which = np.unique(table, axis=0, return_index=True, return_inverse=True)
    found = distinct_rows(table.T)
    np.testing.assert_array_equal(found.first, first)
    np.testing.assert_array_equal(found.which, which.reshape(-1))
