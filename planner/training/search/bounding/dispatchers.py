"""Dispatchers that another one beats: as much memory, and no pass of any layer is shorter.

A step never gets shorter when passes get longer, and memory does not depend on the dispatcher. So
of combinations that differ in nothing else, the one whose layers take no longer in any pass is at
least as good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.plan import DISPATCHERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.specs.experts import Dispatcher, Expert


def beaten(
    expert: Expert,
    seconds: NDArray[np.float64],
    alike: NDArray[np.int64],
    dispatchers: NDArray[np.int64],
    *,
    on_any_links: bool,
) -> NDArray[np.bool_]:
    """[N]: which combinations another one beats. `seconds` [N, F] are their passes, `alike` numbers
    those that agree in all but their dispatcher, whose codes are `dispatchers`. With `on_any_links`
    only where that holds on other links than those of the passes, too."""
    lost = np.zeros(len(alike), dtype=np.bool_)
    of_passes = np.ascontiguousarray(seconds.T)
    codes = [DISPATCHERS.index(name) for name in expert.dispatcher_options]
    member = np.full((int(alike.max()) + 1, len(DISPATCHERS)), -1, dtype=np.int64)
    member[alike, dispatchers] = np.arange(len(alike))
    for better, worse in _pairs(expert, codes, on_any_links=on_any_links):
        both = np.flatnonzero((member[:, better] >= 0) & (member[:, worse] >= 0))
        one, other = member[both, better], member[both, worse]
        if not both.size:
            continue
        here, there = of_passes[:, one], of_passes[:, other]
        gains = (here <= there).all(axis=0)
        if codes.index(better) > codes.index(worse):
            gains &= (here != there).any(axis=0)
        lost[other[gains]] = True
    return lost


def _pairs(expert: Expert, codes: Sequence[int], *, on_any_links: bool) -> list[tuple[int, int]]:
    return [
        (better, worse)
        for better in codes
        for worse in codes
        if better != worse
        and (
            not on_any_links
            or _no_worse(
                expert.dispatchers.of(DISPATCHERS[better]),
                expert.dispatchers.of(DISPATCHERS[worse]),
            )
        )
    ]


def _no_worse(one: Dispatcher, other: Dispatcher) -> bool:
    """Whether one sends the same as the other at no greater cost, whatever the links."""
    return (
        one.deduplicated == other.deduplicated
        and one.overlaps == other.overlaps
        and one.network_efficiency == other.network_efficiency
        and one.calls <= other.calls
        and one.dispatch_launch.value <= other.dispatch_launch.value
        and one.multiprocessors.value <= other.multiprocessors.value
    )
