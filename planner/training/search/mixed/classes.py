"""The classes of devices that rows of stages may have: one device type each, or several where the
types cannot fill whole rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.training.search.hosts.grid import grid_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Bools, Ints
    from planner.hardware.device import Device
    from planner.plan import Degrees
    from planner.training.scenario import Scenario


class NodePart(NamedTuple):
    """The part of a node that a row is: of the `stages` that the node holds those from `first`
    on."""

    stages: int
    first: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowClasses:
    """`types` [C]: the device types of a class, as indices of the ideal scenario's
    `candidate_devices`; `most` [U]: units of each kind at most, or where `together` of it and of
    those before it; `may` [C, rows]: where a class may be. `units` [U]: the classes of the rows
    that a node fills, `parts` [C]: which part of a node a row is; without them every class is a
    unit, and all nodes hold as many stages. `sends_known`: whether it is known which neighbouring
    stages share a node."""

    types: tuple[tuple[int, ...], ...]
    most: tuple[int, ...]
    may: Bools
    rows: int
    together: bool = False
    sends_known: bool = True
    units: tuple[tuple[int, ...], ...] = ()
    parts: tuple[NodePart, ...] = ()

    @classmethod
    def free(cls, scenario: Scenario, degrees: Degrees) -> RowClasses | None:
        """Those of a job whose rows may have any of the cluster's nodes; None where stages and
        nodes do not align."""
        rows, devices = _rows_of(scenario, degrees)
        if not rows:
            return cls._of_nodes(scenario, degrees)
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
    def _of_nodes(cls, scenario: Scenario, degrees: Degrees) -> RowClasses | None:
        """Those of nodes that hold different numbers of whole stages; None where some hold none.
        Stages may also be made of several nodes of one kind: where larger nodes begin inside a
        stage then, an order that shifts them to its begin leaves no stage worse devices."""
        each, index = degrees.stage_devices, candidate_index(scenario)
        counted = Counter(
            (index[kind.device], kind.devices_per_node) for kind in scenario.topology.kinds
        )
        whole = {kind: count for kind, count in counted.items() if kind[1] % each == 0}
        parts = {kind: count for kind, count in counted.items() if each % kind[1] == 0}
        alone = all(kind.domain_nodes == 1 for kind in scenario.topology.kinds)
        small = parts.keys() - whole.keys()
        if not alone or len(small) > 1 or len(whole | parts) < len(counted):
            return None
        held = {kind: max(kind[1] // each, 1) for kind in counted}
        row_stages = gcd(*held.values(), degrees.pipeline)
        rows = degrees.pipeline // row_stages
        most: list[int] = []
        types: list[tuple[int, ...]] = []
        units: list[tuple[int, ...]] = []
        places: list[NodePart] = []
        for kind, count in counted.items():
            most.append(count // max(each // kind[1], 1))
            held_rows, first = held[kind] // row_stages, len(types)
            # Rows between the first and the last of a node are alike.
            kept = sorted({0, min(1, held_rows - 1), held_rows - 1})
            units.append(tuple(first + min(row, 1) for row in range(held_rows - 1)))
            units[-1] += (first + len(kept) - 1,)
            types.extend([(kind[0],)] * len(kept))
            places.extend(NodePart(stages=held[kind], first=row * row_stages) for row in kept)
        return cls(
            types=tuple(types),
            most=tuple(most),
            may=np.ones((len(types), rows), dtype=np.bool_),
            rows=rows,
            units=tuple(units),
            parts=tuple(places),
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

    def changes(self, rows: Ints) -> Ints:
        """[B]: how often the device types change from row to row, in answers of classes [B,
        rows]."""
        kinds = list(dict.fromkeys(self.types))
        kind_of = np.array([kinds.index(types) for types in self.types])
        return np.asarray((np.diff(kind_of[rows], axis=1) != 0).sum(axis=1))


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
