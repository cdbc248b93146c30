"""The classes of devices that rows of stages may have: one device type each, or several where the
types cannot fill whole rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.hosts.grid import grid_of, nodes_in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Bools, Ints
    from planner.hardware.device import Device
    from planner.plan import Degrees
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.grid import UnitGrid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowClasses:
    """`types` [C]: the device types of a class, as indices of the ideal scenario's
    `candidate_devices`; `most` [C]: rows of it at most; `may` [C, rows]: where."""

    types: tuple[tuple[int, ...], ...]
    most: tuple[int, ...]
    may: Bools
    rows: int

    @classmethod
    def free(cls, scenario: Scenario, degrees: Degrees) -> RowClasses | None:
        """Those of a job whose rows may have any of the cluster's nodes; None where stages and
        nodes do not align."""
        grid = grid_of(scenario.topology, degrees)
        if grid is None:
            return None
        units = np.bincount(types_of_units(scenario, grid))
        most: dict[tuple[int, ...], int] = {
            (index,): int(count) // grid.columns for index, count in enumerate(units)
        }
        if sum(most.values()) < grid.rows:
            over = [index for index, count in enumerate(units) if count % grid.columns]
            for size in range(2, len(over) + 1):
                most |= dict.fromkeys(combinations(over, size), 1)
        most = {types: count for types, count in most.items() if count}
        return cls(
            types=tuple(most),
            most=tuple(min(count, grid.rows) for count in most.values()),
            may=np.ones((len(most), grid.rows), dtype=np.bool_),
            rows=grid.rows,
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


def types_of_units(scenario: Scenario, grid: UnitGrid) -> Ints:
    """Of every unit of the cluster, the index of its device type."""
    index, kinds = candidate_index(scenario), scenario.topology.kinds
    return np.array([index[kind.device] for kind in kinds[:: grid.unit_nodes]], dtype=np.int64)


def hosts_of(
    scenario: Scenario, degrees: Degrees, rows: Sequence[tuple[int, ...]]
) -> tuple[str, ...] | None:
    """Hosts for rows of these device types: of every type the first of the cluster file. None where
    there are not enough."""
    grid = grid_of(scenario.topology, degrees)
    assert grid is not None
    left = {
        index: np.flatnonzero(types_of_units(scenario, grid) == index).tolist()
        for index in range(len(candidate_index(scenario)))
    }
    taken: dict[int, list[int]] = {}
    for row in sorted(range(len(rows)), key=lambda row: len(rows[row])):
        types = rows[row]
        taken[row] = [left[index].pop(0) for index in types if left[index]]
        for index in sorted(types, key=lambda index: -len(left[index])):
            while len(taken[row]) < grid.columns and left[index]:
                taken[row].append(left[index].pop(0))
        if len(taken[row]) < grid.columns:
            return None
    names = scenario.cluster.host_names()
    units = [unit for row in range(len(rows)) for unit in sorted(taken[row])]
    return tuple(names[node] for node in nodes_in_order(units, grid.unit_nodes))


def block_orders(scenario: Scenario) -> tuple[tuple[str, ...], ...]:
    """The hosts with those of a device type together, the types in every order, cut to as many as
    the job needs; first as the cluster lists them."""
    names, order = scenario.cluster.host_names(), scenario.topology.order
    kinds = scenario.topology.kinds
    types = tuple(dict.fromkeys(kind.device for kind in kinds))
    found = {tuple(names[node] for node in order): None}
    for devices in permutations(types) if len(types) <= _MOST_TYPES else ():
        nodes = [
            node for device in devices for node, kind in enumerate(kinds) if kind.device is device
        ]
        found[tuple(names[node] for node in nodes[: len(order)])] = None
    return tuple(found)


_MOST_TYPES = 4
"""Most device types whose orders are all tried."""
