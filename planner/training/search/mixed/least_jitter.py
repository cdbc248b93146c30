"""How much longer a step takes at least because devices differ, under every layout of a pipeline.

The k busiest stages have k times the devices of one, and the slowest of these has at least the work
of the k-th (`planner.training.step.parts.jitter_s`). With b seconds on the busiest stage, the
others have no more layers than fit into b; so a certain number of them has n layers or more,
whatever the layout, and the step is longer by max over n of a(k) · w(n) − b at least: k stages have
n layers, which take w(n), and a(k) is the slowdown of their devices. Letters: p stages, K + 1
numbers of layers, L layers of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.memory.sharding import reduced_every_microbatch
from planner.training.step.stragglers import expected_slowest

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.training.scenario import Scenario
    from planner.training.search.mixed.typed import TypedCombination

MOST_CASES = 64
"""Different times of a busiest stage that are told apart; nothing is said of more."""

ROUNDING = 1e-9
"""Share by which equal times may differ."""


def may_be_longer(of: TypedCombination) -> bool:
    """Whether passes may take longer than what layers compute, recompute and offload."""
    batch = of.batch
    offloaded = batch.optimizer_offload is not None or batch.weight_offload is not None
    reduced = bool(reduced_every_microbatch(of.ideal.job.software, batch).any())
    return offloaded or reduced or bool(of.table.overlapped.any())


def least_jitter_s(scenario: Scenario, busy_s: Floats, inside: Bools, may_hold: Bools) -> Floats:
    """[p, K + 1, L + 1], seconds: a lower bound for layouts in which a stage is busy for `busy_s`
    with so many layers that end there. `inside` [K + 1, L + 1]: whether the model has these layers;
    `may_hold` [p, K + 1, L + 1]: whether the stage may."""
    stages, _, ends = busy_s.shape
    variation = max(device.speed_variation for device in scenario.device_types)
    devices = scenario.job.devices // stages
    slowed = np.array([1 + variation * expected_slowest((k + 1) * devices) for k in range(stages)])
    busiest = np.unique(busy_s[may_hold])
    if not 0 < len(busiest) <= MOST_CASES:
        return np.zeros_like(busy_s)
    least_s = np.where(may_hold, busy_s, np.inf).min(axis=-1)
    work_s = np.where(inside, busy_s, np.inf).min(axis=(0, 2))
    more = np.full(len(busiest), np.inf)
    for place, longest_s in enumerate(busiest.tolist()):
        fits = least_s <= longest_s * (1 + ROUNDING)
        if not fits.any(axis=1).all():
            continue
        caps = fits.shape[1] - 1 - fits[:, ::-1].argmax(axis=1)
        if caps.sum() < ends - 1:
            continue
        slowest_s = max(
            (slowed[count - 1] * work_s[layers] for layers, count in _shared(caps, ends - 1)),
            default=0.0,
        )
        more[place] = max(slowest_s, slowed[0] * longest_s) - longest_s
    after = np.minimum.accumulate(more[::-1])[::-1]
    at = np.searchsorted(busiest, busy_s * (1 - ROUNDING))
    found = np.append(after, np.inf)[at]
    return np.where(np.isfinite(found), found, 0.0)


def _shared(caps: Ints, layers: int) -> list[tuple[int, int]]:
    """Numbers of layers, each with how many stages have as many at least, where stages hold `caps`
    [p] at most and `layers` together."""
    found = []
    for number in range(1, int(caps.max()) + 1):
        rest = layers - int(np.minimum(caps, number - 1).sum())
        if rest <= 0:
            break
        beyond = np.cumsum(np.sort(np.maximum(caps - number + 1, 0))[::-1])
        found.append((number, int(np.searchsorted(beyond, rest)) + 1))
    return found
