"""What a plan's estimate says of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from planner.plan import Confidence, Interval

if TYPE_CHECKING:
    from tests.conftest import Samples


@pytest.mark.parametrize(
    ("activations_gib", "low", "high", "fit_class", "fits"),
    [
        (22.0, 1.0, 1.0, "fits", True),
        (22.0, 0.5, 1.13, "fits", True),
        (22.0, 0.5, 1.14, "tight", True),
        (33.0, 1.0, 1.0, "tight", False),
        (36.0, 1.0, 1.0, "does not fit", False),
        (36.0, 0.9, 1.0, "tight", False),
        (61.3, 0.9, 1.2, "does not fit", False),
    ],
)
def test_a_fit_is_tight_while_the_interval_is_about_the_limit(
    samples: Samples, activations_gib: float, low: float, high: float, fit_class: str, fits: bool
) -> None:
    """80 GiB with 4 GiB headroom; the peak is 44.9 GiB beside the activations."""
    confidence = Confidence(
        level=0.9, step=Interval(), memory=Interval(low=low, high=high), notes=()
    )
    estimate = samples.estimate(samples.plan(), activations_gib=activations_gib)
    estimate = replace(estimate, confidence=confidence)
    assert (estimate.fit_class, estimate.memory.fits) == (fit_class, fits)


def test_without_confidence_the_peak_itself_decides(samples: Samples) -> None:
    estimate = samples.estimate(samples.plan(), activations_gib=36.0)
    assert estimate.fit_class == "tight"
    assert replace(estimate, confidence=None).fit_class == "does not fit"


def test_every_stage_counts(samples: Samples) -> None:
    """Stage 0 of a mixed cluster has room, stage 1 has a smaller device."""
    estimate = replace(samples.estimate(samples.plan(pipeline=8, data=8)), confidence=None)
    first, second, *rest = estimate.memory.per_stage
    small = replace(second, capacity_bytes=second.peak_bytes - 1, headroom_bytes=0)
    memory = replace(estimate.memory, per_stage=(first, small, *rest))
    assert replace(estimate, memory=memory).fit_class == "does not fit"
