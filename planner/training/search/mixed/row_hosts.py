"""The hosts that rows of stages get: of every device type the first of the cluster file."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from planner.training.search.mixed.classes import candidate_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.hardware.group import NodeKind
    from planner.plan import Degrees
    from planner.training.scenario import Scenario
    from planner.training.search.mixed.classes import RowClasses


def hosts_of(
    scenario: Scenario, degrees: Degrees, classes: RowClasses, rows: Sequence[int]
) -> tuple[str, ...] | None:
    """Hosts for rows of these classes: of every device type the first of the cluster file. None
    where there are not enough."""
    if classes.parts:
        return _whole_nodes(scenario, degrees, classes, rows)
    return _units(scenario, [classes.types[c] for c in rows])


def _whole_nodes(
    scenario: Scenario, degrees: Degrees, classes: RowClasses, rows: Sequence[int]
) -> tuple[str, ...] | None:
    """The same where every row is a part of a node, or of several small ones."""
    kinds, index = scenario.topology.kinds, candidate_index(scenario)
    left = list(range(len(kinds)))
    taken: list[int] = []
    for c in rows:
        part, (which,) = classes.parts[c], classes.types[c]
        missing = part.stages * degrees.stage_devices if part.first == 0 else 0
        for node in [node for node in left if index[kinds[node].device] == which]:
            size = kinds[node].devices_per_node
            fits = size == missing if part.stages > 1 else missing % size == 0
            if missing and fits:
                taken.append(node)
                left.remove(node)
                missing -= size
        if missing:
            return None
    names = scenario.cluster.host_names()
    return tuple(names[node] for node in taken)


def _units(scenario: Scenario, rows: Sequence[tuple[int, ...]]) -> tuple[str, ...] | None:
    """The same for rows of whole nodes, or of scale-up domains, of these device types."""
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


def split_orders(scenario: Scenario) -> tuple[tuple[str, ...], ...]:
    """The hosts as the cluster lists them, like ones together, but those of one kind in two halves
    around all others: each half has one boundary to these."""
    names, order = scenario.cluster.host_names(), scenario.topology.order
    kinds = scenario.topology.kinds
    blocks: dict[tuple[str, int], list[str]] = {}
    for node in order:
        kind = kinds[node]
        blocks.setdefault((kind.device.name, kind.devices_per_node), []).append(names[node])
    found = []
    for around, hosts in blocks.items() if len(blocks) > 1 else ():
        half = len(hosts) // 2
        inner = [host for block, own in blocks.items() if block != around for host in own]
        if half:
            found.append((*hosts[:half], *inner, *hosts[half:]))
    return tuple(found)


_MOST_BLOCKS = 4
"""Most kinds of nodes whose orders are all tried."""
