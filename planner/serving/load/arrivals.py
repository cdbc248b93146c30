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
    many of the first ones are no part of the result. `closed` has the same lengths. `replicas`:
    so many equal ones take the requests in turn."""

    lengths: tuple[tuple[int, int], ...]
    at_s: tuple[float, ...]
    rate_per_s: float
    closed: ClosedLoad
    blocks: tuple[tuple[int, ...], ...] = ()
    uncounted: int = 0
    replicas: int = 1

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Requests that come at times of their own: those of a trace, or drawn ones. `rate_per_s` is
    the stated mean; `closed` has the same lengths."""

    closed: ClosedLoad
    rate_per_s: float
    trace: Trace | None = None
    poisson: bool = True
    seed: int = 1

    def dealt(self, rate_per_s: float, replicas: int, total_per_s: float) -> OpenLoad:
        """What equal replicas see that take `rate_per_s` each of the `total_per_s` that come in
        all. A Poisson process that is dealt out at random stays one (Kingman 1993, section 5.1),
        so that one of the replicas stands for all; of a trace they take every n-th request, in
        turn."""
        if self.trace is None:
            return drawn(self.closed, rate_per_s=rate_per_s, poisson=self.poisson, seed=self.seed)
        requests = self.trace.requests
        share = min(1.0, rate_per_s * replicas / total_per_s)
        kept = [requests[int(at / share)] for at in range(max(1, int(len(requests) * share)))]
        stretch = self.trace.rate_per_s / total_per_s
        return OpenLoad(
            lengths=tuple((one.input_tokens, one.output_tokens) for one in kept),
            at_s=tuple((one.at_s - kept[0].at_s) * stretch for one in kept),
            rate_per_s=rate_per_s * replicas,
            closed=self.closed,
            blocks=tuple(one.blocks for one in kept),
            replicas=replicas,
        )
