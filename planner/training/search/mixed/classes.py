"""The classes of devices that rows of stages may have: one device type each, or several where the
types cannot fill whole rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.hosts.grid import grid_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Bools
    from planner.hardware.device import Device
    from planner.hardware.group import NodeKind
    from planner.plan import Degrees
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowClasses:
    """`types` [C]: the device types of a class, as indices of the ideal scenario's
    `candidate_devices`; `most` [C]: rows of it at most, or where `together` of it and the classes
    before it; `may` [C, rows]: where. `sends_known`: whether it is known which neighbouring stages
    share a node."""

    types: tuple[tuple[int, ...], ...]
    most: tuple[int, ...]
    may: Bools
    rows: int
    together: bool = False
    sends_known: bool = True

    @classmethod
    def free(cls, scenario: Scenario, degrees: Degrees) -> RowClasses | None:
        """Those of a job whose rows may have any of the cluster's nodes; None where stages and
        nodes do not align."""
        rows, devices = _rows_of(scenario, degrees)
        if not rows:
            return None
        each = scenario.job.devices // rows
        most: dict[tuple[int, ...], int] = {
            (index,): count // each for index, count in enumerate(devices)
        }
        if sum(most.values()) < rows:
            over = [index for index, count in enumerate(devices) if count % each]
            for size in range(2, len(over) + 1):
                most |= dict.fromkeys(combinations(over, size), 1)
        most = {types: count for types, count in most.items() if count}
        return cls(
            types=tuple(most),
            most=tuple(min(count, rows) for count in most.values()),
            may=np.ones((len(most), rows), dtype=np.bool_),
            rows=rows,
        )

    @classmethod
    def of_units(cls, scenario: Scenario, degrees: Degrees) -> RowClasses | None:
        """Those of rows as large as the largest node, which smaller nodes of one type fill
        together: orders of nodes of several sizes, not all of them. None where nodes do not fill
        such rows, or rows not hold whole stages."""
        sizes = {kind.devices_per_node * kind.domain_nodes for kind in scenario.topology.kinds}
        each, devices = max(sizes), scenario.job.devices
        if any(each % size for size in (*sizes, degrees.stage_devices)) or devices % each:
            return None
        rows = devices // each
        most = [min(count // each, rows) for count in devices_of_types(scenario)]
        if sum(most) < rows:
            return None
        return cls(
            types=tuple((index,) for index in range(len(most))),
            most=tuple(most),
            may=np.ones((len(most), rows), dtype=np.bool_),
            rows=rows,
        )

    @classmethod
    def alike(cls, pipeline: int) -> RowClasses:
        """Of stages of the only device type there is."""
        may = np.ones((1, pipeline), dtype=np.bool_)
        return cls(types=((0,),), most=(pipeline,), may=may, rows=pipeline)

    @classmethod
    def levels(cls, scenario: Scenario, pipeline: int, fastest_first: Sequence[int]) -> RowClasses:
        """Those of stages of which only the slowest type is known, for bounds: every stage takes
        its devices from the types up to that one."""
        devices, each = devices_of_types(scenario), scenario.job.devices // pipeline
        up_to = np.cumsum([devices[index] for index in fastest_first])
        return cls(
            types=tuple((index,) for index in fastest_first),
            most=tuple(min(int(count) // each, pipeline) for count in up_to),
            may=np.ones((len(devices), pipeline), dtype=np.bool_),
            rows=pipeline,
            together=True,
            sends_known=False,
        )

    @classmethod
    def listed(cls, scenario: Scenario, pipeline: int) -> RowClasses:
        """Those that the stages of a placed scenario have."""
        index = {device: i for i, device in enumerate(scenario.ideal.candidate_devices)}
        stages = [
            tuple(sorted(index[scenario.device_types[i]] for i in types))
            for types in scenario.stage_types(pipeline)
        ]
        types = tuple(dict.fromkeys(stages))
        return cls(
            types=types,
            most=tuple(stages.count(one) for one in types),
            may=np.array([[one == stage for stage in stages] for one in types]),
            rows=pipeline,
        )

    def fixed(self, classes: Sequence[int]) -> RowClasses:
        """Only these classes, row by row."""
        wanted = np.array(classes)
        return RowClasses(
            types=self.types,
            most=self.most,
            may=wanted[None] == np.arange(len(self.types))[:, None],
            rows=self.rows,
        )


def candidate_index(scenario: Scenario) -> dict[Device, int]:
    """The ideal scenario's `candidate_devices`, by device."""
    return {device: i for i, device in enumerate(scenario.ideal.candidate_devices)}


def devices_of_types(scenario: Scenario) -> list[int]:
    """Of every device type, how many devices the cluster has."""
    index = candidate_index(scenario)
    found = [0] * len(index)
    for kind in scenario.topology.kinds:
        found[index[kind.device]] += kind.devices_per_node
    return found


def _rows_of(scenario: Scenario, degrees: Degrees) -> tuple[int, list[int]]:
    """Rows of stages that whole nodes make up wherever they are, 0 where there are none; devices of
    every type."""
    devices, grid = devices_of_types(scenario), grid_of(scenario.topology, degrees)
    if grid is not None:
        return grid.rows, devices
    kinds = scenario.topology.kinds
    whole = all(
        kind.domain_nodes == 1 and degrees.stage_devices % kind.devices_per_node == 0
        for kind in kinds
    )
    return (degrees.pipeline if whole else 0), devices


def hosts_of(
    scenario: Scenario, degrees: Degrees, rows: Sequence[tuple[int, ...]]
) -> tuple[str, ...] | None:
    """Hosts for rows of these device types: of every type the first of the cluster file. None where
    there are not enough."""
    kinds, index = scenario.topology.kinds, candidate_index(scenario)
    domain = kinds[0].domain_nodes
    left: dict[int, list[int]] = {
        which: [node for node in range(0, len(kinds), domain) if index[kinds[node].device] == which]
        for which in index.values()
    }
    each = scenario.job.devices // len(rows)
    taken: dict[int, list[int]] = {}
    for row in sorted(range(len(rows)), key=lambda row: len(rows[row])):
        nodes = taken[row] = [left[which].pop(0) for which in rows[row] if left[which]]
        for which in sorted(rows[row], key=lambda which: -len(left[which])):
            while left[which] and _devices(kinds, nodes) < each:
                nodes.append(left[which].pop(0))
        if _devices(kinds, nodes) != each:
            return None
    names = scenario.cluster.host_names()
    units = [unit for row in range(len(rows)) for unit in sorted(taken[row])]
    return tuple(names[unit + node] for unit in units for node in range(domain))


def _devices(kinds: Sequence[NodeKind], units: Sequence[int]) -> int:
    return sum(kinds[unit].devices_per_node * kinds[unit].domain_nodes for unit in units)


def block_orders(scenario: Scenario) -> tuple[tuple[str, ...], ...]:
    """The hosts with like ones together, the kinds in every order, as many as the job needs; first
    as the cluster lists them."""
    names, order = scenario.cluster.host_names(), scenario.topology.order
    kinds = scenario.topology.kinds
    blocks = tuple(dict.fromkeys((kind.device, kind.devices_per_node) for kind in kinds))
    found = {tuple(names[node] for node in order): None}
    for permuted in permutations(blocks) if len(blocks) <= _MOST_BLOCKS else ():
        hosts: list[str] = []
        left = scenario.job.devices
        for device, size in permuted:
            for node, kind in enumerate(kinds):
                if kind.device is device and kind.devices_per_node == size <= left:
                    hosts.append(names[node])
                    left -= size
        if not left and len(hosts) == len(order):
            found[tuple(hosts)] = None
    return tuple(found)


_MOST_BLOCKS = 4
"""Most kinds of nodes whose orders are all tried."""
