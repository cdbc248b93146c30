"""How much longer the slowest of many devices takes."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist


@lru_cache(maxsize=4096)
def expected_slowest(devices: int) -> float:
    """Expected maximum of `devices` standard normal variables, in standard deviations (Blom 1958,
    "Statistical Estimates and Transformed Beta-Variables": Φ⁻¹((n − 3/8) / (n + 1/4)))."""
    return NormalDist().inv_cdf((devices - 0.375) / (devices + 0.25))
