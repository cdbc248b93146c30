"""Figures that say how good a set of predictions is. Pure arithmetic on numbers.

An error is predicted / measured − 1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from math import erf, isqrt, log, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSummary:
    """Errors of one quantity over many runs; everything but the count is None without runs."""

    count: int
    mean_abs_error: float | None = None
    median_abs_error: float | None = None
    p90_abs_error: float | None = None
    max_abs_error: float | None = None
    bias: float | None = None
    """Mean of the errors with their sign."""


def summarize(errors: Iterable[float]) -> ErrorSummary:
    signed = list(errors)
    if not signed:
        return ErrorSummary(count=0)
    sizes = sorted(abs(error) for error in signed)
    return ErrorSummary(
        count=len(sizes),
        mean_abs_error=mean(sizes),
        median_abs_error=quantile(sizes, 0.5),
        p90_abs_error=quantile(sizes, 0.9),
        max_abs_error=sizes[-1],
        bias=mean(signed),
    )


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie, linear between neighbours."""
    position = share * (len(ascending) - 1)
    below = int(position)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (position - below) * (ascending[above] - ascending[below])


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Rank correlation tau-b: (concordant − discordant pairs) / √((n₀ − n₁)(n₀ − n₂)), where n₀ is
    the number of pairs, n₁ and n₂ those tied in either sequence (Kendall 1945). None when one of
    them does not vary."""
    score = sum(
        _sign(a - b) * _sign(x - y)
        for (a, x), (b, y) in combinations(zip(first, second, strict=True), 2)
    )
    pairs = len(first) * (len(first) - 1) // 2
    untied = (pairs - _tied_pairs(first)) * (pairs - _tied_pairs(second))
    if untied == 0:
        return None
    root = isqrt(untied)
    return score / (root if root * root == untied else sqrt(untied))


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)


def _tied_pairs(values: Sequence[float]) -> int:
    return sum(times * (times - 1) // 2 for times in Counter(values).values())


def regret(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """What following the prediction costs: measured time of the run predicted fastest (the first
    of equals) over the measured best, minus 1."""
    chosen = min(range(len(predicted)), key=predicted.__getitem__)
    return measured[chosen] / min(measured) - 1


def constant_error(values: Sequence[float]) -> float | None:
    """The smallest mean |value / constant − 1| that any single constant reaches; None for none.

    With u = 1 / constant the mean of |value · u − 1| is convex and piecewise linear in u, so its
    minimum is at a breakpoint u = 1 / value: the one where the sum of the larger values no longer
    outweighs that of the smaller ones (a weighted median).
    """
    if not values:
        return None
    total, passed = sum(values), 0.0
    ascending = sorted(values)
    best = ascending[-1]
    for value in reversed(ascending):
        passed += value
        best = value
        if 2 * passed >= total:
            break
    return mean([abs(value / best - 1) for value in values])


def likeliest_spread(pairs: Sequence[tuple[float, bool]]) -> float:
    """Standard deviation s of two errors each that makes the orders of pairs most likely: a
    difference d is ordered rightly with the probability Φ(d / (√2 s)). A pair is its predicted
    difference and whether the order was right. 0 without pairs; to a thousandth."""
    if not pairs:
        return 0.0
    return max((step / 1000 for step in range(1, 500)), key=lambda s: _likelihood(pairs, s))


def _likelihood(pairs: Sequence[tuple[float, bool]], spread: float) -> float:
    """The logarithm; errors that no spread explains count as one in a thousand."""
    total = 0.0
    for difference, right in pairs:
        signed = difference if right else -difference
        total += log(max((1 + erf(signed / (2 * spread))) / 2, 1e-3))
    return total
