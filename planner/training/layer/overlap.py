"""Communication that runs at the same time as computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.hardware.device import LinkConstants
    from planner.hardware.group import ProcessGroup
    from planner.training.scenario import Scenario


def overlap_cost(links: LinkConstants, group: ProcessGroup, *, sends: bool = False) -> float:
    """Share of a hidden collective's time that the kernels beside it lose: its multiprocessors, for
    as long as it runs, and memory bandwidth for its copies. These take all of `links.overlap_cost`
    beyond the multiprocessors at the pace of the fast fabric, less at the pace of the network, so
    that a longer way never costs less in all."""
    waiting = links.network_send_cost if sends else links.network_overlap_cost
    pace = 1.0
    if not group.inside:
        pace = min(group.member_network_bytes_per_s / group.fast_bytes_per_s, 1.0)
    return waiting + max(links.overlap_cost - links.network_overlap_cost, 0.0) * pace


def exposed_s(
    scenario: Scenario,
    duration_s: NDArray[np.float64],
    cover_s: NDArray[np.float64],
    uncovered_s: NDArray[np.float64],
    cost: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Seconds by which communication of `duration_s` lengthens computation of `cover_s`.

    The part that outlasts the computation is exposed, and at least `uncovered_s`, the part that has
    no computation to overlap with. The hidden part slows the computation down by `cost`, its share
    that the computation loses (None: the device's `overlap_cost`). Arrays broadcast.
    """
    if cost is None:
        cost = np.asarray(max(device.links.overlap_cost for device in scenario.device_types))
    hidden_s = np.minimum(cover_s, duration_s - uncovered_s)
    exposed: NDArray[np.float64] = duration_s - hidden_s + cost * hidden_s
    return exposed
