"""Integers that stand for the values of an axis in the columns of combinations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.plan import DATA_SHARDINGS, DISPATCHERS, GRANULARITIES
from planner.schedule.registry import SCHEDULES, kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


NODE = -1
"""Code of the sharding group that is as large as a node leaves room for; 0 stands for all replicas.
"""

SCHEDULE_NAMES = tuple(SCHEDULES)
"""Schedules of the space, in the order of their codes."""


ALL_RANKS = -1
"""Of a context group: code of as many as it has."""


PARTS = 1000
"""Codes of a share: thousandths of it."""

_GROUPS = {"all": 0, "node": NODE}
"""Codes of sharding groups that are no numbers."""


def sharing_ranks(
    codes: NDArray[np.int64], tensor: NDArray[np.int64], node_devices: int
) -> NDArray[np.int64]:
    """Ranks of the sharding groups that codes stand for, 0 for all replicas; those that a node of
    so many devices has of every tensor rank."""
    ranks: NDArray[np.int64] = np.where(codes == NODE, node_devices // tensor, codes)
    return ranks


def code_of(axis: str, value: int | float | str | bool) -> int:
    """The integer that a value's column holds for it. Raises: RuleError for an unknown schedule."""
    if axis == "dispatcher":
        return DISPATCHERS.index(str(value))
    if axis == "schedule":
        return SCHEDULE_NAMES.index(kind_of(str(value)).name)
    if axis == "recompute":
        return GRANULARITIES.index(str(value))
    if axis == "data_sharding":
        return DATA_SHARDINGS.index(str(value))
    if axis == "shard_over" and isinstance(value, str):
        return _GROUPS[value]
    if axis in ("optimizer_offload", "activation_offload"):
        return round(float(value) * PARTS)
    return int(value)


def value_of(axis: str, code: int) -> int | float | str | bool:
    """The value that an integer of a column stands for."""
    if axis == "dispatcher":
        return DISPATCHERS[code]
    if axis == "schedule":
        return SCHEDULE_NAMES[code]
    if axis == "recompute":
        return GRANULARITIES[code]
    if axis == "data_sharding":
        return DATA_SHARDINGS[code]
    if axis == "shard_over":
        return next((word for word, known in _GROUPS.items() if known == code), code)
    if axis in ("optimizer_offload", "activation_offload"):
        return code / PARTS
    return bool(code) if axis in ("sequence_parallel", "expert_overlap", "weight_offload") else code
