"""`verify_placement.py`: a program of its own that stops a job whose ranks are misplaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.nodes import takes_any_nodes
from planner.exporters.quoting import docstring, filled
from planner.exporters.ranks import grids
from planner.wording.printable import quoted

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from planner.exporters.ranks import Grid

_PROGRAM = '''\
#!/usr/bin/env python3
"""Stops a job whose ranks are not where the plan has them.

@TITLE@

Run it on every rank at start, alone or in front of the training program, which then runs only
where the placement was applied:

    torchrun ... verify_placement.py [PROGRAM [ARGUMENTS ...]]

It compares @COMPARED@ with the plan. Exit code 0: as
planned; 1: not as planned, with one line that says what is where; 2: it cannot tell.
"""

import os
import socket
import sys

GRIDS = (
    @DENSE@,
    @EXPERT@,
)
HOSTS = (
@HOSTS@
)


def rank_table():
    """(node, device) of every rank, in rank order; node 0 is the first of HOSTS."""
    return [(node, device) for node, (_, devices) in enumerate(HOSTS) for device in range(devices)]


def positions(rank):
    """The coordinates of a rank on the dense and the expert grid, by axis."""
    found = {}
    for grid in GRIDS:
        rest = rank
        for axis, size in grid:
            rest, found[axis] = divmod(rest, size)
    return found


def members(axis, rank):
    """The ranks of the group of an axis that a rank is in, in order."""
    grid = next(grid for grid in GRIDS if axis in dict(grid))
    stride = 1
    for name, size in grid:
        if name == axis:
            first = rank - rank // stride % size * stride
            return [first + index * stride for index in range(size)]
        stride *= size


def check_groups(rank, groups):
    """Compares process groups, as {axis: ranks}, with the plan; exits where they differ."""
    for axis, ranks in groups.items():
        planned = members(axis, rank)
        if list(ranks) != planned:
            stop(1, f"rank {rank}: its {axis} group is {list(ranks)}, the plan has {planned}")


def stated(*names):
    """The number that the first of these variables with one has; None without any."""
    texts = (os.environ.get(name, "") for name in names)
    return next((int(text) for text in texts if text.isdigit()), None)


def number(what, *names):
    found = stated(*names)
    if found is None:
        stop(2, f"{what} is unknown: none of {', '.join(names)} is set to a number")
    return found


def device():
    """The device this rank runs on: LOCAL_RANK, through CUDA_VISIBLE_DEVICES where it is set."""
    local = number("the local rank", "LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if local < len(visible) and all(part.strip().isdigit() for part in visible):
        return int(visible[local])
    return local


def host():
    names = ("PLANNER_HOST", "SLURMD_NODENAME")
    return next((os.environ[name] for name in names if os.environ.get(name)), socket.gethostname())


def same_host(planned, found):
    return found == planned or ("." not in planned and found.split(".")[0] == planned)


def stop(code, message):
    sys.stderr.write(f"verify_placement: {message}\\n")
    sys.exit(code)


def check_counts(rank, node, devices):
    """Exits where another number of ranks shares this rank's node, or the node is not the one that
    these ranks fill: then groups would span other nodes than planned."""
    ranks = stated("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE")
    if ranks is not None and ranks != devices:
        stop(1, f"rank {rank}: {ranks} ranks run on its node, the plan has {devices}")
    found = stated("GROUP_RANK", "SLURM_NODEID")
    if found is not None and found != node:
        stop(1, f"rank {rank} runs on node {found} of the job, the plan has it on node {node}")


def check():
    """Exits unless this rank is where the plan has it; returns the rank."""
    table = rank_table()
    rank = number("the rank", "RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
    world = number("the world size", "WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
    if world != len(table):
        stop(1, f"rank {rank}: {world} ranks run, the plan has {len(table)}")
    if rank >= world:
        stop(1, f"rank {rank} of {world} ranks: there is no such rank")
    node, slot = table[rank]
    planned, devices = HOSTS[node]
    if planned is None:
        check_counts(rank, node, devices)
        planned = found = f"node {node}"
    else:
        found = host()
    local = device()
    if not same_host(planned, found) or slot != local:
        stop(
            1,
            f"rank {rank} runs on {found} device {local}, the plan has it on {planned} device "
            f"{slot}: the placement was not applied",
        )
    return rank


if __name__ == "__main__":
    if check() == 0:
        sys.stdout.write(f"verify_placement: {len(rank_table())} ranks, rank 0 as planned\\n")
        sys.stdout.flush()
    if sys.argv[1:]:
        os.execv(sys.executable, [sys.executable, "-u", *sys.argv[1:]])
'''


TARGET = "the check of the placement"
_NAMED = "RANK, LOCAL_RANK, WORLD_SIZE and the host's name"
_UNNAMED = "RANK, LOCAL_RANK, WORLD_SIZE and the ranks of each node"


def verify_program(job: ExportJob) -> str:
    """The program with the hosts of the plan and the two grids in it; a host is None where any node
    will do. Raises: Inexpressible where the plan's hosts have no names."""
    dense, expert = grids(job.plan)
    any_nodes = takes_any_nodes(job, TARGET, in_segments=True)
    names = ["None" if any_nodes else quoted(host.name) for host in job.hosts]
    return filled(
        _PROGRAM,
        title=docstring(job.title),
        compared=_UNNAMED if any_nodes else _NAMED,
        dense=_grid(dense),
        expert=_grid(expert),
        hosts="\n".join(
            f"    ({name}, {host.devices})," for name, host in zip(names, job.hosts, strict=True)
        ),
    )


def _grid(grid: Grid) -> str:
    return "(" + ", ".join(f'("{axis}", {size})' for axis, size in grid) + ")"
