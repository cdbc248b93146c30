"""Communication that runs at the same time as computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.scenario import Scenario


def exposed_s(
    scenario: Scenario,
    duration_s: NDArray[np.float64],
    cover_s: NDArray[np.float64],
    uncovered_s: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Seconds by which communication of `duration_s` lengthens computation of `cover_s`.

    The part that outlasts the computation is exposed, and at least `uncovered_s`, the part that has
    no computation to overlap with. The hidden part slows the computation down by the device's
    `overlap_cost`. Arrays broadcast.
    """
    cost = max(device.links.overlap_cost for device in scenario.device_types)
    hidden_s = np.minimum(cover_s, duration_s - uncovered_s)
    exposed: NDArray[np.float64] = duration_s - hidden_s + cost * hidden_s
    return exposed
