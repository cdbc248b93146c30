"""How sure an estimate of serving is: shares of it between which measured runs lie.

Between and beyond them, measured over estimated is taken as lognormal: with shares low and high at
the level p, its logarithm has the mean log(low · high)/2 and the deviation
log(high/low)/(2 z((1 + p)/2)), z the quantiles of the standard normal distribution.
"""

from __future__ import annotations

from math import exp, inf, log
from statistics import NormalDist
from typing import TYPE_CHECKING

from planner.specs.serving import serving_defaults
from planner.specs.serving_load import LatencyLimit, ServiceLevel

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


def chance_kept(seconds: float, limit_s: float, shares: tuple[float, float]) -> float:
    """The chance that a measurement is within a limit where `seconds` are estimated."""
    if not 0 < seconds < inf:
        return float(seconds <= 0)
    return _logarithm(shares).cdf(log(limit_s / seconds)) if limit_s else 0.0


def share_held(confidence: float, shares: tuple[float, float]) -> float:
    """The multiple of an estimate that measurements do not exceed with such a chance."""
    return exp(_logarithm(shares).inv_cdf(confidence))


def tightened(slo: ServiceLevel, confidence: float, *, mixture: bool) -> ServiceLevel:
    """Limits for estimates, so that measurements keep the stated ones with such a chance, each by
    itself. Ranges are of the means, and percentiles are taken to be as far off."""
    shares = shares_of(mixture=mixture)
    return ServiceLevel(
        ttft=_over(slo.ttft, share_held(confidence, shares.ttft)),
        tpot=_over(slo.tpot, share_held(confidence, shares.tpot)),
    )


def _over(limits: LatencyLimit | None, share: float) -> LatencyLimit | None:
    if limits is None:
        return None
    stated = {name: getattr(limits, name) for name in limits.model_fields_set}
    update = {name: seconds / share for name, seconds in stated.items() if seconds is not None}
    return limits.model_copy(update=update)


def _logarithm(shares: tuple[float, float]) -> NormalDist:
    """Of measured over estimated."""
    low, high = shares
    reach = NormalDist().inv_cdf((1 + serving_defaults().ranges.level) / 2)
    return NormalDist(mu=log(low * high) / 2, sigma=log(high / low) / 2 / reach)
