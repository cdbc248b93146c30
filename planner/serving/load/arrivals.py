"""Open loads: requests that come at times of their own, however many are under way."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.serving.load.lengths import ClosedLoad
    from planner.specs.trace import Trace

DRAWN = 4000
"""Requests that are drawn for a load with a rate."""
WARM_UP = 0.1
"""Share of the drawn requests, the first ones, that are simulated and not counted: they meet a
replica with less to do than later ones."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenLoad:
    """Requests in the order they come: `lengths` are tokens of prompt and answer, `at_s` seconds
    after the start. `blocks` name the parts of each prompt that others may share. `uncounted`: so
    many of the first ones are no part of the result. `closed` has the same lengths."""

    lengths: tuple[tuple[int, int], ...]
    at_s: tuple[float, ...]
    rate_per_s: float
    closed: ClosedLoad
    blocks: tuple[tuple[int, ...], ...] = ()
    uncounted: int = 0

    @property
    def mean_output(self) -> float:
        return sum(answer for _, answer in self.lengths) / len(self.lengths)


def drawn(closed: ClosedLoad, *, rate_per_s: float, poisson: bool, seed: int) -> OpenLoad:
    """Requests with the lengths of a closed load, drawn independently of each other; the distances
    between them are exponential (a Poisson process) or equal."""
    random = Random(seed)
    at_s, times, lengths = 0.0, [], []
    for _ in range(DRAWN):
        times.append(at_s)
        lengths.append(closed.lengths_at(random.random(), random.random()))
        at_s += (-log(1 - random.random()) if poisson else 1.0) / rate_per_s
    return OpenLoad(
        lengths=tuple(lengths),
        at_s=tuple(times),
        rate_per_s=rate_per_s,
        closed=closed,
        uncounted=round(DRAWN * WARM_UP),
    )


def traced(trace: Trace, closed: ClosedLoad, *, rate_per_s: float | None) -> OpenLoad:
    """The requests of a trace at their times, or at those times stretched or squeezed to a mean
    rate."""
    scale = 1.0 if rate_per_s is None else trace.rate_per_s / rate_per_s
    return OpenLoad(
        lengths=tuple((one.input_tokens, one.output_tokens) for one in trace.requests),
        at_s=tuple(one.at_s * scale for one in trace.requests),
        rate_per_s=rate_per_s or trace.rate_per_s,
        closed=closed,
        blocks=tuple(one.blocks for one in trace.requests),
    )
