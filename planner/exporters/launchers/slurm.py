"""Slurm: a batch script whose step takes the hosts in the plan's order, or whatever nodes the job
was given where any will do.

Under `--distribution=arbitrary` line i of SLURM_HOSTFILE gets task i, and there must be as many
lines as tasks. The node rank is SLURM_PROCID: SLURM_NODEID follows the step's own node list. The
distribution is the step's alone; for an allocation it excludes topology-aware scheduling. Slurm's
block topology gives segments of nodes that share a block, as scale-up domains are
(`sbatch --segment`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.environment import environment
from planner.exporters.nodes import segment_of, takes_any_nodes
from planner.exporters.quoting import filled, heredoc, plain_hosts, shell_word
from planner.specs.cluster.hostlist import by_number, compress_hosts

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

_SCRIPT = """\
#!/usr/bin/env bash
#SBATCH --job-name=@NAME@
#SBATCH --nodes=@NODES@
#SBATCH --ntasks-per-node=1
@DIRECTIVES@#SBATCH --exclusive
#
# Slurm launcher, @TITLE@
#
# Submit it with verify_placement.py in the same folder:
#   sbatch slurm.sh PROGRAM [ARGUMENTS ...]
set -euo pipefail
(( $# )) || { echo "usage: sbatch slurm.sh PROGRAM [ARGUMENTS ...]" >&2; exit 2; }
export VERIFY_PLACEMENT=${VERIFY_PLACEMENT:-${SLURM_SUBMIT_DIR:-.}/verify_placement.py}
[[ -f $VERIFY_PLACEMENT ]] || {
  echo "$VERIFY_PLACEMENT is missing: export it with --format verify" >&2
  exit 2
}

@HOSTS@
@EXPORTS@srun --nodes=@NODES@ --ntasks=@NODES@ @DISTRIBUTION@ bash -c '
@DEVICES@
  exec torchrun --nnodes=@NODES@ --nproc-per-node="$devices" --node-rank="$SLURM_PROCID" \\
    --master-addr="$MASTER_ADDR" --master-port="$MASTER_PORT" \\
    "$VERIFY_PLACEMENT" "$@"
' planner "$@"
"""

_PLANNED = """\
SLURM_HOSTFILE=$(mktemp "${TMPDIR:-/tmp}/planner-hosts.XXXXXX")
export SLURM_HOSTFILE
trap 'rm -f "$SLURM_HOSTFILE"' EXIT
cat > "$SLURM_HOSTFILE" @HOSTS@

export MASTER_ADDR=@FIRST@ MASTER_PORT=${MASTER_PORT:-29500}"""

_ANY = """\
# The nodes are alike, so that any @NODES@ of them will do@SEGMENTS@.
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
mapfile -t hosts <<< "$hosts"
(( ${#hosts[@]} == @NODES@ )) || {
  echo "the job has ${#hosts[@]} nodes, the plan takes @NODES@" >&2
  exit 1
}
export MASTER_ADDR=${hosts[0]} MASTER_PORT=${MASTER_PORT:-29500}"""

TARGET = "Slurm"


def as_script(job: ExportJob) -> str:
    """The job gets any nodes where all are alike, else those of the plan. Raises: Inexpressible
    where those have no names."""
    any_nodes = takes_any_nodes(job, TARGET, in_segments=True)
    each = job.devices_per_host
    sizes = " ".join(str(host.devices) for host in job.hosts)
    devices = (
        f"  devices={each}" if each else f"  sizes=({sizes})\n  devices=${{sizes[SLURM_PROCID]}}"
    )
    directives = f"#SBATCH --gpus-per-node={each}\n" if each else ""
    nodes = str(len(job.hosts))
    if any_nodes:
        segment = segment_of(job)
        each_domain = "" if segment is None else f", {segment} of each scale-up domain"
        directives += "" if segment is None else f"#SBATCH --segment={segment}\n"
        hosts = filled(_ANY, nodes=nodes, segments=each_domain)
    else:
        directives += _nodelist(job)
        hosts = filled(
            _PLANNED,
            hosts=heredoc((host.name for host in job.hosts), name="HOSTS"),
            first=shell_word(job.hosts[0].name),
        )
    exports = "".join(f"export {name}={value}\n" for name, value in environment(job).items())
    return filled(
        _SCRIPT,
        title=job.title,
        name=job.slug,
        directives=directives,
        nodes=nodes,
        hosts=hosts,
        exports=exports,
        distribution="--ntasks-per-node=1" if any_nodes else "--distribution=arbitrary",
        devices=devices,
    )


def _nodelist(job: ExportJob) -> str:
    """Pins the allocation to the plan's hosts where the user named them."""
    if not job.listed:
        return ""
    names = sorted(plain_hosts(host.name for host in job.hosts), key=by_number)
    return f"#SBATCH --nodelist={compress_hosts(names, suffixes=False)}\n"
