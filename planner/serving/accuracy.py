"""How sure an estimate of serving is: shares of it between which measured runs lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.specs.serving import serving_defaults

if TYPE_CHECKING:
    from planner.specs.serving import MeasuredShares


def shares_of(*, mixture: bool) -> MeasuredShares:
    """Those of runs of models with experts, or without."""
    ranges = serving_defaults().ranges
    return ranges.mixture if mixture else ranges.dense


def ranges_of(
    *, ttft_s: float, tpot_s: float | None, tokens_per_s_per_device: float, mixture: bool
) -> dict[str, tuple[float, float]]:
    """Where nine of ten measurements lie around means over all requests, and around the throughput:
    seconds, and tokens per second of a device."""
    shares, name = shares_of(mixture=mixture), "output_tokens_per_s_per_device"
    figures = {"ttft_mean_s": (ttft_s, shares.ttft)}
    if tpot_s is not None:
        figures["tpot_mean_s"] = (tpot_s, shares.tpot)
    figures[name] = (tokens_per_s_per_device, getattr(shares, name))
    return {name: (one * low, one * high) for name, (one, (low, high)) in figures.items()}
