"""The arithmetic, against brute force and worked examples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.validation.statistics import (
    constant_error,
    kendall_tau,
    quantile,
    regret,
    summarize,
)

times = st.floats(min_value=1e-3, max_value=1e3)
few_values = st.integers(min_value=0, max_value=4).map(float)


def test_a_summary_keeps_the_sign_in_the_bias_only() -> None:
    summary = summarize([-0.1, 0.3, 0.2, -0.4])
    assert summary.count == 4
    assert summary.mean_abs_error == pytest.approx(0.25)
    assert summary.median_abs_error == pytest.approx(0.25)
    assert summary.p90_abs_error == pytest.approx(0.37)
    assert summary.max_abs_error == pytest.approx(0.4)
    assert summary.bias == pytest.approx(0.0)


def test_a_summary_of_nothing_has_no_figures() -> None:
    summary = summarize([])
    assert summary.count == 0
    assert summary.mean_abs_error is None
    assert summary.bias is None


@given(st.lists(times, min_size=1, max_size=30), st.floats(0, 1))
def test_quantiles_are_numpy_s(values: list[float], share: float) -> None:
    expected = float(np.quantile(values, share))
    assert quantile(sorted(values), share) == pytest.approx(expected)


@given(st.lists(st.tuples(few_values, few_values), min_size=2, max_size=9))
def test_tau_counts_pairs(pairs: list[tuple[float, float]]) -> None:
    """Tau-b from its definition, with many ties."""
    concordant = discordant = tied_first = tied_second = 0
    for (a, x), (b, y) in itertools.combinations(pairs, 2):
        concordant += (a < b and x < y) or (a > b and x > y)
        discordant += (a < b and x > y) or (a > b and x < y)
        tied_first += a == b
        tied_second += x == y
    total = len(pairs) * (len(pairs) - 1) / 2
    untied = (total - tied_first) * (total - tied_second)
    tau = kendall_tau([a for a, _ in pairs], [x for _, x in pairs])
    if untied == 0:
        assert tau is None
    else:
        assert tau == pytest.approx((concordant - discordant) / math.sqrt(untied))


def test_tau_of_equal_and_of_opposite_order() -> None:
    assert kendall_tau([1, 2, 3, 4], [10, 20, 30, 40]) == 1.0
    assert kendall_tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1.0
    assert kendall_tau([1, 1, 1, 1], [4, 3, 2, 1]) is None


def test_tau_with_one_exchange() -> None:
    """Five concordant pairs, one discordant."""
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)


def test_regret_is_what_the_predicted_best_costs() -> None:
    assert regret([2.0, 1.0, 3.0], [10.0, 12.0, 9.0]) == pytest.approx(12 / 9 - 1)
    assert regret([3.0, 2.0, 1.0], [10.0, 12.0, 9.0]) == 0.0


def test_regret_takes_the_first_of_equal_predictions() -> None:
    assert regret([1.0, 1.0], [11.0, 10.0]) == pytest.approx(0.1)


@given(st.lists(st.floats(min_value=0.01, max_value=1), min_size=1, max_size=12))
def test_no_constant_beats_the_best_constant(values: list[float]) -> None:
    """The minimum of a convex piecewise linear function is at one of its corners: try them all,
    and a grid between."""
    best = constant_error(values)
    assert best is not None
    candidates = [*values, *np.linspace(min(values), max(values), 50)]
    tried = [sum(abs(v / c - 1) for v in values) / len(values) for c in candidates]
    assert best == pytest.approx(min(tried), rel=1e-9, abs=1e-12)
    assert best <= min(tried) + 1e-12


def test_the_best_constant_of_one_run_is_that_run() -> None:
    assert constant_error([0.4]) == 0.0
    assert constant_error([]) is None
