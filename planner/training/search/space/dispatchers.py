"""Which dispatchers run where: what a framework's dispatchers need of devices and degrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.plan import DISPATCHERS

if TYPE_CHECKING:
    from planner.specs.experts import Dispatcher
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherNeeds:
    """What one dispatcher needs. `runs`: the cluster's devices and fabric have it. `ranks`: numbers
    of ranks it has settings for, none if any. `most_ranks`: as many as lie in one scale-up domain
    where the network is none that it crosses. `overlaps`: its exchanges may run beside another
    microbatch."""

    name: str
    runs: bool
    ranks: tuple[int, ...]
    most_ranks: int | None
    overlaps: bool


def dispatcher_needs(scenario: Scenario) -> tuple[DispatcherNeeds, ...]:
    """Of every dispatcher, in the order of their codes."""
    dispatchers = scenario.job.software.expert.dispatchers
    return tuple(_needs(scenario, name, dispatchers.of(name)) for name in DISPATCHERS)


def _needs(scenario: Scenario, name: str, dispatcher: Dispatcher) -> DispatcherNeeds:
    groups = scenario.cluster.node_groups
    domains = [
        group.devices_per_node * (group.scale_up.nodes if group.scale_up else 1) for group in groups
    ]
    nodes = [group.devices_per_node for group in groups]
    peers = dispatcher.node_devices
    kinds = {group.network.kind for group in groups if group.network is not None}
    crosses = dispatcher.networks is None or kinds <= set(dispatcher.networks)
    most = None if crosses else min(domains)
    if peers is not None and set(nodes) != {peers}:
        most = min(*nodes, most or peers)
    vendors = {group.device.vendor for group in groups}
    return DispatcherNeeds(
        name=name,
        runs=(not dispatcher.vendors or vendors <= set(dispatcher.vendors))
        and (peers is None or domains == nodes),
        ranks=dispatcher.ranks,
        most_ranks=most,
        overlaps=dispatcher.overlaps,
    )
