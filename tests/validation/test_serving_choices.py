"""Choosing among measured runs by their estimates."""

from __future__ import annotations

import pytest

from planner.validation.compare import Comparison
from planner.validation.serving.choices import ChoosableRun, choices_of


def run(layout: int, tpot: tuple[float, float], rate: tuple[float, float]) -> ChoosableRun:
    """Estimated and measured figures of each."""
    return ChoosableRun(
        mode="agg",
        job=("model",),
        layout=(layout,),
        tpot=Comparison(predicted=tpot[0], measured=tpot[1]),
        rate=Comparison(predicted=rate[0], measured=rate[1]),
    )


def test_a_choice_is_judged_by_what_was_measured() -> None:
    """Limits are 1.4, 2.4 and 3.5, between the measured times. Only the first run is estimated to
    keep the first. Under the second the second run is chosen, which lacks a fifth of the first, and
    under the last the fourth, which was measured at 4."""
    runs = [
        run(1, (1.0, 1.0), (10, 10)),
        run(2, (2.0, 2.0), (20, 8)),
        run(2, (3.5, 3.0), (25, 9)),
        run(3, (2.5, 4.0), (30, 12)),
    ]
    (found,) = choices_of(runs).values()
    assert (found.count, found.jobs) == (3, 1)
    assert found.missed == pytest.approx(1 / 3)
    assert found.mean_regret == pytest.approx((0 + 0.2 + 0) / 3)
    assert found.close == pytest.approx(2 / 3)


def test_one_layout_leaves_nothing_to_choose() -> None:
    runs = [run(1, (at, at), (at, at)) for at in (1.0, 2.0, 3.0, 4.0)]
    assert choices_of(runs) == {}
