"""How a job fills the grid of the placement problem, and which nodes can replace each other.

A position is taken by a unit: a scale-up domain, or a node where the fast fabric ends at the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.links import hops_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.hardware.fabric import Fabric
    from planner.hardware.group import NodeKind
    from planner.hardware.links import Topology
    from planner.plan import Degrees


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitGrid:
    """`rows` · `columns` units, each with `unit_nodes` nodes; a row holds `row_stages` stages, and
    `lockstep` neighbouring columns one replica of the model."""

    rows: int
    columns: int
    unit_nodes: int
    unit_devices: int
    row_stages: int
    lockstep: int

    def units_of(self, topology: Topology) -> tuple[int, ...]:
        """The unit at every position, by its index in the cluster."""
        return tuple(node // self.unit_nodes for node in topology.order[:: self.unit_nodes])

    def ring(self, size: int, stride: int) -> tuple[tuple[int, ...], ...]:
        """The columns of each ring of a group of `size` ranks that lie `stride` apart; each ring
        once."""
        span = size * stride
        rings = {
            tuple(
                dict.fromkeys(
                    (base + member * stride) // self.unit_devices for member in range(size)
                )
            )
            for block in range(0, self.columns * self.unit_devices, span)
            for base in range(block, block + stride)
        }
        return tuple(sorted(ring for ring in rings if len(ring) > 1))


def grid_of(topology: Topology, degrees: Degrees) -> UnitGrid | None:
    """The grid of a job. None where stages and units do not align, or where nodes differ in size,
    so that moving one node would shift others."""
    kinds = [topology.kinds[node] for node in topology.order]
    if len({(kind.devices_per_node, kind.domain_nodes) for kind in topology.kinds}) > 1:
        return None
    unit_nodes = kinds[0].domain_nodes
    unit_devices = unit_nodes * kinds[0].devices_per_node
    if topology.nodes % unit_nodes or len(topology.kinds) % unit_nodes:
        return None
    units, stage_devices = topology.nodes // unit_nodes, degrees.stage_devices
    if stage_devices % unit_devices == 0:
        rows, row_stages = degrees.pipeline, 1
    elif unit_devices % stage_devices == 0 and degrees.pipeline % units == 0:
        rows, row_stages = units, unit_devices // stage_devices
    else:
        return None
    model_devices = degrees.tensor * degrees.context
    if model_devices > unit_devices and model_devices % unit_devices:
        return None
    return UnitGrid(
        rows=rows,
        columns=units // rows,
        unit_nodes=unit_nodes,
        unit_devices=unit_devices,
        row_stages=row_stages,
        lockstep=max(1, model_devices // unit_devices) if row_stages == 1 else 1,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitClasses:
    """The classes of a cluster's units. `of_unit` int [units]: for the units of the whole cluster
    in file order. `kinds`, `fabric`: the cluster's."""

    of_unit: NDArray[np.int64]
    first_node: NDArray[np.int64]
    kinds: tuple[NodeKind, ...]
    fabric: Fabric

    def hops(self, apart: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bytes/s and latency of the link from a unit of one class to one of another, [K, K] each,
        while groups whose members lie `apart` nodes apart are active everywhere."""
        return hops_between(self.kinds, self.fabric, self.first_node, apart=apart)

    def pairs(self, apart: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same for messages between two units, which count as the slower of both ways."""
        rates, latency_s = self.hops(apart)
        return np.minimum(rates, rates.T), np.maximum(latency_s, latency_s.T)


def unit_classes(topology: Topology, unit_nodes: int) -> UnitClasses:
    """The classes of units. Units with equal nodes under the same switches form one class. Where
    bandwidth was measured pair by pair, each unit is its own class, and so is each unit that an
    override names."""
    first = np.arange(0, len(topology.kinds), unit_nodes)
    fabric = topology.fabric
    named = {node // unit_nodes for pair in fabric.override_bytes_per_s for node in pair}
    kind_index = {kind: index for index, kind in enumerate(dict.fromkeys(topology.kinds))}
    keys: dict[tuple[object, ...], int] = {}
    of_unit = []
    for unit, node in enumerate(first.tolist()):
        key: tuple[object, ...] = (
            kind_index[topology.kinds[node]],
            *(node // tier.nodes for tier in fabric.tiers if tier.nodes is not None),
        )
        if fabric.matrix is not None or unit in named:
            key = ("alone", unit)
        of_unit.append(keys.setdefault(key, len(keys)))
    return UnitClasses(
        of_unit=np.array(of_unit, dtype=np.int64),
        first_node=first[np.unique(of_unit, return_index=True)[1]],
        kinds=topology.kinds,
        fabric=fabric,
    )


def nodes_in_order(units: Sequence[int], unit_nodes: int) -> list[int]:
    """The nodes, by index in cluster order, of units laid end to end."""
    return [unit * unit_nodes + node for unit in units for node in range(unit_nodes)]
