"""Loads: how long prompts and answers are, and how many requests are under way."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from math import log, sqrt
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_STRATA = 10
"""Equal parts of a distribution; each comes once in so many requests in a row, in some order."""
_BLOCKS = 64
"""Orders of the parts, after which they come again."""
_GOLDEN = 0.6180339887498949
"""Fractions of its multiples fill [0, 1] evenly in any order of taking them (Weyl 1916)."""
_SEED = 1
_PARTS = 1000
"""Equally likely parts of a lognormal distribution, each at its mean."""


@dataclass(frozen=True, slots=True, eq=False)
class LengthTable:
    """The lengths that there are, ascending, in tokens, and `below`: the share of requests that
    are no longer than each."""

    tokens: tuple[int, ...]
    below: tuple[float, ...]

    @staticmethod
    def of(tokens: Sequence[int], shares: Sequence[float] | None = None) -> LengthTable:
        """Of lengths with their shares; equal ones where none are stated."""
        each = shares or [1.0] * len(tokens)
        ordered = sorted(zip(tokens, each, strict=True))
        total = sum(each)
        return LengthTable(
            tokens=tuple(one for one, _ in ordered),
            below=tuple(sum_ / total for sum_ in accumulate(share for _, share in ordered)),
        )

    @staticmethod
    def lognormal(mean: float, p95: float) -> LengthTable:
        """With the stated mean and 95th percentile: p95/mean = exp(z s - s²/2), of which s is the
        smaller root. The mean of a part between two quantiles is that of the distribution
        (Johnson, Kotz & Balakrishnan 1994, chapter 14)."""
        normal = NormalDist()
        z = normal.inv_cdf(0.95)
        sigma = z - sqrt(max(0.0, z * z - 2 * log(p95 / mean)))
        quantiles = [normal.inv_cdf(at / _PARTS) for at in range(1, _PARTS)]
        shifted = [0.0, *(normal.cdf(one - sigma) for one in quantiles), 1.0]
        parts = [_PARTS * (high - low) for low, high in pairwise(shifted)]
        return LengthTable.of([max(1, round(mean * part)) for part in parts])

    def at(self, share: float) -> int:
        """The length that `share` of the requests do not exceed."""
        return self.tokens[min(bisect_left(self.below, share), len(self.tokens) - 1)]

    @property
    def mean(self) -> float:
        return self._mean_of(self.tokens)

    @property
    def variation(self) -> float:
        """Squared coefficient of variation: variance over the squared mean."""
        return self._mean_of([one**2 for one in self.tokens]) / self.mean**2 - 1

    def _mean_of(self, values: Sequence[int]) -> float:
        shares = (high - low for low, high in pairwise((0.0, *self.below)))
        return sum(one * share for one, share in zip(values, shares, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoad:
    """A closed loop: `concurrency` clients, each with one request at a time, `rounds` requests a
    client in all, the first ones at once. Lengths are uniform in [`least`, 1] times the longest,
    `input_tokens` and `output_tokens`, where no table states them. `shared`: tokens with which all
    prompts begin and that the engine keeps. Offline work is a closed loop of as many clients as
    requests."""

    concurrency: float
    input_tokens: int
    output_tokens: int
    least: float = 1.0
    rounds: int = 1
    inputs: LengthTable | None = None
    outputs: LengthTable | None = None
    shared: int = 0

    @property
    def mean_input(self) -> float:
        if self.inputs is not None:
            return self.inputs.mean
        return self.input_tokens * (1 + self.least) / 2

    @property
    def mean_output(self) -> float:
        if self.outputs is not None:
            return self.outputs.mean
        return self.output_tokens * (1 + self.least) / 2

    @property
    def mean_read(self) -> float:
        """Tokens of a prompt that are read: those that are not kept from earlier ones."""
        return max(1.0, self.mean_input - self.shared)

    @property
    def is_uniform(self) -> bool:
        """Whether no length is far from the mean."""
        return self.inputs is None and self.outputs is None

    @property
    def input_variation(self) -> float:
        """Squared coefficient of variation of the prompts."""
        if self.inputs is not None:
            return self.inputs.variation
        return self._spread**2 / 3

    def input_excess(self, share: float) -> float:
        """How much the prompt that `share` of them do not exceed is above the mean, over it."""
        if self.inputs is not None:
            return max(0.0, self.inputs.at(share) / self.mean_input - 1)
        return self._spread * (2 * share - 1)

    @property
    def _spread(self) -> float:
        """Share of the mean within which uniform lengths are."""
        return (1 - self.least) / (1 + self.least)

    def lengths(self, index: int) -> tuple[int, int]:
        """Tokens of the prompt and of the answer of one request: every part of the distribution as
        often as every other, in an order without a pattern that is the same every time. (In an
        evenly spaced order, clients of a closed loop fall into step.)"""
        block, place = divmod(index, _STRATA)
        inside = (0.5 + block * _GOLDEN) % 1
        first, second = (
            (order[block % _BLOCKS][place] + inside) / _STRATA for order in _shuffled_strata()
        )
        return self.lengths_at(first, second)

    def lengths_at(self, first: float, second: float) -> tuple[int, int]:
        """Tokens of the prompt and of the answer that such shares of the requests do not exceed."""
        spread = 1 - self.least
        prompt = round(self.input_tokens * (self.least + spread * first))
        answer = round(self.output_tokens * (self.least + spread * second))
        if self.inputs is not None:
            prompt = self.inputs.at(first)
        if self.outputs is not None:
            answer = self.outputs.at(second)
        return max(1, prompt), max(1, answer)


@cache
def _shuffled_strata() -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Orders of the parts that requests take, block by block: of prompts, and of answers."""
    draws = Random(_SEED)
    return tuple(
        tuple(tuple(draws.sample(range(_STRATA), _STRATA)) for _ in range(_BLOCKS))
        for _ in ("prompts", "answers")
    )
