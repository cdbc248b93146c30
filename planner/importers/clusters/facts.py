"""What one file says of a cluster. What it does not say is None or empty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from planner.importers.notes import Notes

MatrixRow = tuple[float | None, ...]

Operation = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One kind of node. `device` is a shipped name the file states, `likely_device` one that it
    hints at (`because`). Bandwidths in bytes/s, one direction: of one device inside the node (with
    `basis`), unless its `nvlinks` (or xGMI links) imply it, and of one network card. `over_pcie`:
    the file shows no other way between devices than PCI Express. `whole`: the file lists every
    device of the node, not only those that a benchmark used."""

    device: str | None = None
    likely_device: str | None = None
    because: str = ""
    devices_per_node: int | None = None
    whole: bool = False
    nvlinks: int | None = None
    intra_node_bytes_per_s: float | None = None
    basis: str = ""
    over_pcie: bool = False
    cards: int | None = None
    card_bytes_per_s: float | None = None
    hosts: tuple[str, ...] = ()
    """The nodes of this kind, where the file lists all of them by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCollective:
    """A timed collective over `ranks` devices, `ranks_per_node` of them on a node (None: all
    devices of one node after the other). `size_bytes` is the whole buffer, as in
    `planner.hardware.collectives`."""

    operation: Operation
    ranks: int
    size_bytes: float
    time_s: float
    ranks_per_node: int | None = None

    def inside(self, devices_per_node: int) -> bool:
        """Whether it ran within one node."""
        return self.ranks <= (self.ranks_per_node or devices_per_node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Nodes below each switch of a level, inside out; groups and hosts in the file's order."""

    name: str
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Node-to-node bandwidth: `rows[sender][receiver]` in `unit`, all above 0. None where no link
    was measured, and on the diagonal whatever the file has there."""

    hosts: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    unit: str

    def gaps(self) -> list[str]:
        """A note about links that were not measured; empty where all were."""
        size = len(self.hosts)
        count = sum(row.count(None) for row in self.rows) - size
        said = f"{count:,} of {size * (size - 1):,} links have no figure and those of the network"
        return [said] if count else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Both directions between two hosts."""

    between: tuple[str, str]
    bytes_per_s: float
    latency_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """`hosts` are all nodes, in order, where the file means to list them all; `measured_on` those
    a benchmark happened to run on."""

    path: str
    kind: str
    sha256: str
    notes: Notes = field(default_factory=Notes)
    nodes: tuple[NodeFacts, ...] = ()
    hosts: tuple[str, ...] = ()
    measured_on: tuple[str, ...] = ()
    collectives: tuple[MeasuredCollective, ...] = ()
    tiers: tuple[Tier, ...] = ()
    domains: tuple[tuple[str, ...], ...] = ()
    """Hosts of each scale-up domain."""
    matrix: Matrix | None = None
    links: tuple[Link, ...] = ()
