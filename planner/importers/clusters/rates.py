"""The link bandwidth at which the planner's own model of collectives takes the measured time.

Cluster files state what a link carries, and device files which share of it the library reaches. A
measured collective fixes their product, so the bandwidth is found with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from planner.errors import PlannerError
from planner.hardware.collectives import (
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    reduce_scatter_s,
    send_s,
)
from planner.hardware.described import topology_from_spec
from planner.hardware.links import ProcessGroup
from planner.importers.clusters.facts import MeasuredCollective, Operation
from planner.specs.load import parse_cluster

_SECONDS: dict[Operation, Callable[[ProcessGroup, float], float]] = {
    "all_reduce": all_reduce_s,
    "all_gather": all_gather_s,
    "reduce_scatter": reduce_scatter_s,
    "all_to_all": all_to_all_s,
    "send": send_s,
}
_SLOWEST, _FASTEST = 1e6, 5e13
_HALVINGS = 60
_UNUSED = {"cards": 1, "bandwidth": "1 GB/s"}
"""A placeholder network between nodes that share the fast fabric: a file has to state one."""


def seconds(collective: MeasuredCollective, group: Mapping[str, Any]) -> float | None:
    """Seconds of a collective on nodes of a group by the model, with only the devices that take
    part busy. None where they do not fit the nodes."""
    per_node = collective.ranks_per_node or group["devices_per_node"]
    nodes = max(1, -(-collective.ranks // per_node))
    if nodes > 1 and collective.ranks % per_node:
        return None
    alone = {key: value for key, value in group.items() if key not in ("hosts", "count", "name")}
    alone |= {"count": nodes, "devices_per_node": per_node}
    if nodes <= group.get("scale_up", {}).get("nodes", 1):
        alone.setdefault("network", _UNUSED)
    try:
        cluster = parse_cluster({"node_groups": [alone]})
        members = topology_from_spec(cluster, devices=nodes * per_node).group(collective.ranks, 1)
        return _SECONDS[collective.operation](members, collective.size_bytes)
    except PlannerError:
        return None


def fitting_rate(
    collective: MeasuredCollective, group: Mapping[str, Any], place: tuple[str, str]
) -> float | None:
    """The value in bytes/s at `place`, ("network", "bandwidth") or ("intra_node", "bandwidth"), at
    which the model takes the measured time; a scale-up domain is as fast as its nodes. None where
    no value does: something else then limits the collective."""

    def at(bytes_per_s: float) -> float | None:
        changed = deepcopy(dict(group))
        for key in (place[0], "scale_up") if place[0] == "intra_node" else (place[0],):
            if key == place[0] or key in changed:
                changed[key] = {**changed.get(key, {}), place[1]: f"{bytes_per_s!r} B/s"}
        return seconds(collective, changed)

    slow, fast = at(_SLOWEST), at(_FASTEST)
    if slow is None or fast is None or not fast < collective.time_s < slow:
        return None
    low, high = _SLOWEST, _FASTEST
    for _ in range(_HALVINGS):
        middle = float((low * high) ** 0.5)
        taken = at(middle)
        if taken is None:
            return None
        low, high = (middle, high) if taken > collective.time_s else (low, middle)
    return float((low * high) ** 0.5)
