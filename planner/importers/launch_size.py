"""How many devices a launch file is for: as the user asks, as the file states, or the whole
cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.training.search.plans.problems import PlanProblem

if TYPE_CHECKING:
    from planner.importers.launch_options import LaunchOptions
    from planner.importers.statement import Statement
    from planner.specs.cluster.spec import ClusterSpec


def taken_whole(cluster: ClusterSpec) -> str:
    """The note for the case that neither the file nor the user says how many devices there are."""
    return (
        f"all {cluster.num_devices} devices of {cluster.name} (the file does not say how many; "
        "--nodes does)"
    )


def counted(statement: Statement, cluster: ClusterSpec, asked: LaunchOptions) -> LaunchOptions:
    """The options; where nothing says how many devices there are, those of the named hosts."""
    names = asked.hosts or (statement.hosts[0] if statement.hosts else ())
    sizes = {
        host: group.devices_per_node for group in cluster.node_groups for host in group.hosts or ()
    }
    stated = (asked.nodes, asked.devices, statement.devices)
    if any(one is not None for one in stated) or not names or not sizes.keys() >= set(names):
        return asked
    devices = sum(sizes[name] for name in names)
    statement.notes.read.append(f"{devices} devices, those of the {len(names)} hosts named")
    return replace(asked, devices=devices)


def sized_for(
    statement: Statement, cluster: ClusterSpec, asked: LaunchOptions
) -> tuple[ClusterSpec, PlanProblem | None]:
    """The part of the cluster that is used; all of it, and why, where it is too small."""
    nodes, devices, stated = asked.nodes, asked.devices, statement.devices
    if nodes is None and devices is None:
        devices = stated
    try:
        sized = cluster.sized(nodes=nodes, devices=devices)
    except InputError as error:
        if cluster.num_devices is None:
            raise
        return cluster.sized(), PlanProblem(name="devices", field="devices", error=error)
    _note_nodes(statement, sized)
    used = devices or sized.num_devices
    if stated is not None and used != stated:
        statement.notes.assumed.append(f"{used} devices as asked for, not the {stated} of the file")
    if nodes is None and devices is None:
        statement.notes.assumed.append(taken_whole(sized))
    return sized, None


def devices_of(statement: Statement, cluster: ClusterSpec, asked: LaunchOptions) -> int:
    stated = None if asked.nodes is not None else asked.devices or statement.devices
    return stated or cluster.num_devices or 0


def _note_nodes(statement: Statement, cluster: ClusterSpec) -> None:
    sizes = sorted({group.devices_per_node for group in cluster.node_groups})
    if statement.node_devices is not None and statement.node_devices not in sizes:
        known = " or ".join(map(str, sizes))
        statement.notes.assumed.append(
            f"nodes of {known} devices, as cluster {cluster.name} has them; the file starts "
            f"{statement.node_devices} on a node"
        )
