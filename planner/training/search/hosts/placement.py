"""Placement: which host takes each position of the rank grid.

This module builds only the order of the cluster file. `PlacementChooser` is the extension point for
anything better; the order of the file is the start of every choice, so the result is never worse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.plan import Placement
from planner.specs.files.spelling import did_you_mean

if TYPE_CHECKING:
    from planner.plan import Degrees
    from planner.training.scenario import Scenario

PlacementChooser = Callable[["Scenario", "Degrees"], Placement]
"""(scenario, degrees) to the placement."""


def default_placement(scenario: Scenario, degrees: Degrees) -> Placement:
    """The `PlacementChooser` that takes hosts as the cluster file lists them."""
    return placement_on(scenario, used_hosts(scenario))


def placement_on(scenario: Scenario, hosts: Sequence[str]) -> Placement:
    """Assigns ranks to devices in order, host after host."""
    sizes = {group.devices_per_node for group in scenario.cluster.node_groups}
    if len(hosts) == 1:
        ranks = f"rank r runs on {hosts[0]}, device r"
    elif len(sizes) == 1:
        each = sizes.pop()
        ranks = f"rank r runs on hosts[r // {each}], device r mod {each}"
    else:
        ranks = "rank r runs on device r of the hosts laid end to end"
    return Placement(order=scenario.job.software.rank_order, hosts=tuple(hosts), ranks=ranks)


def used_hosts(scenario: Scenario) -> tuple[str, ...]:
    """Names of the hosts that run the job, in rank order."""
    names = scenario.cluster.host_names()
    return tuple(names[node] for node in scenario.topology.order)


def left_idle(hosts: Sequence[str], used: Collection[str]) -> tuple[str, ...]:
    """Of the hosts that a job may take, those that a plan leaves idle. A plan may run on hosts
    outside `hosts`, the same number of others of its cluster: then fewer of `hosts` are idle."""
    there = set(used)
    idle = [host for host in hosts if host not in there]
    return tuple(idle[: max(0, len(hosts) - len(used))])


def check_hosts(scenario: Scenario, hosts: Sequence[str]) -> None:
    """Raises InputError unless `hosts` names hosts of the cluster, each once, that together have
    the job's devices. Where nodes differ they may be more or fewer than those that the job takes
    first."""
    names = scenario.cluster.host_names()
    known = set(names)
    for host, times in Counter(hosts).items():
        if host not in known:
            raise InputError(
                f"placement: cluster {scenario.cluster.name} has no host {host!r}",
                hint=did_you_mean(host, names[:_HINTED]),
            )
        if times > 1:
            raise InputError(f"placement: host {host!r} is listed {times} times")
    devices = scenario.placed(hosts).topology.devices
    if devices == scenario.job.devices and hosts:
        return
    if len(hosts) != scenario.topology.nodes:
        raise InputError(
            f"placement: {len(hosts)} hosts are listed, the job runs on {scenario.topology.nodes}"
        )
    raise InputError(
        f"placement: the {len(hosts)} hosts have {devices} devices, the job needs "
        f"{scenario.job.devices}"
    )


_HINTED = 1000
"""Most hosts that are searched for a correction of a misspelt one."""
