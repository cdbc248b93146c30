"""What the user states about the nodes of an imported cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What the user states about the nodes; it takes precedence over every file. Bandwidths are
    text with a unit."""

    device: str | None = None
    devices_per_node: int | None = None
    intra_node_bandwidth: str | None = None
    network_bandwidth: str | None = None
    cards: int | None = None
    nodes_per_site: int | None = None
    """For links between regions: how many nodes each region has."""
