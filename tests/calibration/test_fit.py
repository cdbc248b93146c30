"""The search against trying everything, and choices on hand-made sensitivities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.calibration.constants import BY_NAME
from planner.calibration.fit import errors, fit, mean_error
from planner.calibration.identify import select
from planner.calibration.responses import Response, Responses

MATMUL, LINKS, MEMORY = "sustained.matmul", "sustained.links", "memory.efficiency"
OWN = {MATMUL: 0.9, LINKS: 0.8, MEMORY: 0.7}


def responses(parts_s: dict[str, list[float]], rest_s: list[float]) -> Responses:
    """Runs whose step is a rest and, for every constant, seconds that go with its reciprocal."""
    base_s = np.array(rest_s) + sum(np.array(part) for part in parts_s.values())
    by_name = {}
    for name, part in parts_s.items():
        tunable = BY_NAME[name]
        values = sorted((tunable.low, OWN[name], tunable.high), key=tunable.position)
        by_name[name] = Response(
            positions=np.array([tunable.position(value) for value in values]),
            change_s=np.stack([np.array(part) * (OWN[name] / value - 1) for value in values]),
            relative=-np.array(part) / base_s,
        )
    return Responses(
        base_s=base_s,
        weights=np.ones(len(base_s)),
        tunables=BY_NAME,
        values=OWN,
        by_name=by_name,
    )


def test_interpolation_is_exact_for_what_goes_with_the_reciprocal() -> None:
    known = responses({MATMUL: [3.0, 1.0]}, [1.0, 1.0])
    assert known.seconds({MATMUL: 0.6}) == pytest.approx([1 + 3 * 1.5, 1 + 1.5])
    assert known.take([1]).seconds({MATMUL: 0.6}) == pytest.approx([2.5])


def test_correction_makes_the_sum_exact_where_it_is_made() -> None:
    known = responses({MATMUL: [3.0], LINKS: [1.0]}, [1.0])
    values = {MATMUL: 0.6, LINKS: 0.5}
    corrected = known.corrected(values, np.array([7.0]))
    assert corrected.seconds(values) == pytest.approx([7.0])
    assert corrected.seconds({}) - known.seconds({}) == pytest.approx(7.0 - known.seconds(values))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.1, 3), st.floats(0.1, 3), st.floats(0.1, 3), st.floats(0.6, 1.6)),
        min_size=2,
        max_size=6,
    )
)
def test_no_value_on_a_grid_is_better(runs: list[tuple[float, float, float, float]]) -> None:
    known = responses({MATMUL: [run[0] for run in runs], LINKS: [run[1] for run in runs]},
                      [run[2] for run in runs])  # fmt: skip
    measured_s = known.base_s * np.array([run[3] for run in runs])
    found = fit(known, measured_s, (MATMUL, LINKS))
    assert all(BY_NAME[name].low <= v <= BY_NAME[name].high for name, v in found.values.items())
    grids = [np.linspace(BY_NAME[name].low, BY_NAME[name].high, 41) for name in (MATMUL, LINKS)]
    least = min(
        mean_error(errors(known, measured_s, {MATMUL: matmul, LINKS: links}))
        for matmul, links in itertools.product(*grids)
    )
    assert found.error <= least + 0.002


def test_nothing_to_fit_leaves_the_error_as_it_is() -> None:
    known = responses({MATMUL: [1.0]}, [1.0])
    assert fit(known, np.array([1.6]), ()).error == pytest.approx(0.25)


def test_the_constant_that_explains_most_is_taken() -> None:
    known = responses(
        {MATMUL: [8.0, 6.0, 2.0, 1.0], LINKS: [1.0, 3.0, 5.0, 6.0]}, [1.0, 1.0, 1.0, 1.0]
    )
    chosen = select(known, known.seconds({LINKS: 0.5}))
    assert chosen.values == {LINKS: pytest.approx(0.5, abs=1e-3)}
    statuses = {verdict.name: verdict.status for verdict in chosen.verdicts}
    assert statuses[MATMUL] == "kept"


def test_of_constants_in_proportion_the_one_that_changes_least_is_taken() -> None:
    """Memory is a tenth of what products are in every run: it would have to change ten times as
    much, and is named as what the runs cannot tell."""
    part = [8.0, 6.0, 2.0, 1.0]
    known = responses({MATMUL: part, MEMORY: [0.1 * one for one in part]}, [1.0, 2.0, 3.0, 4.0])
    chosen = select(known, known.seconds({MATMUL: 0.85}))
    assert set(chosen.values) == {MATMUL}
    reasons = {verdict.name: verdict.reason for verdict in chosen.verdicts}
    assert reasons[MEMORY] == "these runs cannot tell it from sustained.matmul"


def test_constants_in_proportion_of_like_size_are_both_refused() -> None:
    part = [8.0, 6.0, 2.0, 1.0]
    known = responses({MATMUL: part, LINKS: [0.8 * one for one in part]}, [1.0, 2.0, 3.0, 4.0])
    chosen = select(known, known.seconds({MATMUL: 0.8}))
    assert chosen.values == {}
    reasons = {verdict.name: verdict.reason for verdict in chosen.verdicts}
    assert reasons[MATMUL] == "sustained.links explains these runs as well as it does"
    assert reasons[LINKS] == "sustained.matmul explains these runs as well as it does"


def test_few_runs_tell_few_constants() -> None:
    known = responses({MATMUL: [8.0, 8.0, 8.0], LINKS: [0.2, 2.0, 0.2]}, [1.0, 1.0, 1.0])
    chosen = select(known, known.seconds({MATMUL: 0.6, LINKS: 0.5}))
    assert set(chosen.values) == {MATMUL}
    reasons = {verdict.name: verdict.reason for verdict in chosen.verdicts}
    assert reasons[LINKS] == "3 runs are too few for another constant"
