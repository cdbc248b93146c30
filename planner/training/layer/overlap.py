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
    """Share of a hidden collective's time that the kernels beside it lose: inside the fast fabric
    its copies take multiprocessors and memory bandwidth, over the network multiprocessors alone."""
    if group.inside:
        return links.overlap_cost
    return links.network_send_cost if sends else links.network_overlap_cost


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
