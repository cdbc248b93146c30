"""Open MPI: a rank file, for `--rankfile FILE` (4) or `--map-by rankfile:file=FILE` (5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.nodes import takes_any_nodes
from planner.exporters.quoting import plain_hosts

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob


TARGET = "Open MPI"


def as_rankfile(job: ExportJob) -> str:
    """A line per rank: its host, and the slot with the number of its device there. Where any nodes
    will do, `+n3` is the fourth host of those that mpirun is given. Raises: Inexpressible where the
    plan's hosts have no names."""
    if takes_any_nodes(job, TARGET):
        names = [f"+n{index}" for index in range(len(job.hosts))]
    else:
        names = plain_hosts(host.name for host in job.hosts)
    places = [
        (name, device)
        for name, host in zip(names, job.hosts, strict=True)
        for device in range(host.devices)
    ]
    lines = [f"rank {rank}={host} slot={device}" for rank, (host, device) in enumerate(places)]
    return "\n".join([f"# {job.title}", *lines]) + "\n"
