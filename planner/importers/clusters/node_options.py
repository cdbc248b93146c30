"""What the user states of the nodes of an imported cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What the user states of the nodes; it wins over every file. Bandwidths are unit text."""

    device: str | None = None
    devices_per_node: int | None = None
    intra_node_bandwidth: str | None = None
    network_bandwidth: str | None = None
    cards: int | None = None
    nodes_per_site: int | None = None
    """Of links between regions: how many nodes each region has."""
