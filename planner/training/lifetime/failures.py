"""What failures cost in the long run. Times are seconds.

M is the mean time between two failures of the job, δ the time that a checkpoint stops the steps, τ
the steps' time between two checkpoints, R the time from a failure to the next step. Failures come
at random and independently of each other (a Poisson process), during checkpoints and restarts too.
Source: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps",
Future Generation Computer Systems 22 (2006), equations 20 (wall time) and 37 (interval).
"""

from __future__ import annotations

from math import exp, expm1, inf, lgamma, log, sqrt


def best_interval_s(stall_s: float, between_failures_s: float) -> float:
    """τ of the least wall time, by Daly's higher-order estimate: √(2δM)·(1 + √(δ/2M)/3 + δ/18M) − δ
    below δ = 2M, else M."""
    if stall_s >= 2 * between_failures_s:
        return between_failures_s
    share = stall_s / (2 * between_failures_s)
    first_order_s = sqrt(2 * stall_s * between_failures_s)
    return first_order_s * (1 + sqrt(share) / 3 + share / 9) - stall_s


def goodput(
    *, interval_s: float, stall_s: float, restart_s: float, between_failures_s: float
) -> float:
    """The share of wall time that is progress, from 0 to 1: τ / (M·e^(R/M)·(e^((τ+δ)/M) − 1)),
    the inverse of Daly's exact wall time for one second of work."""
    mean_s = between_failures_s
    try:
        wall_s = mean_s * exp(restart_s / mean_s) * expm1((interval_s + stall_s) / mean_s)
    except OverflowError:
        return 0.0
    return 0.0 if wall_s == inf else interval_s / wall_s


def spares_needed(mean_away: float, chance: float) -> int:
    """The least number of spare nodes that suffices at a random moment with this probability below
    1, when `mean_away` nodes are away for repair on average: their number has a Poisson
    distribution, whatever that of repair times (Palm's theorem)."""
    spares, covered = 0, exp(-mean_away)
    while covered < chance:
        spares += 1
        covered += exp(spares * log(mean_away) - mean_away - lgamma(spares + 1))
    return spares
