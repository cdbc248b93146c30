"""torchrun with static rendezvous: every host gets the node rank of its place in the plan. Where
any nodes will do, the c10d rendezvous numbers those that come.

With the c10d rendezvous torchrun ignores node ranks and orders hosts by address; the static one,
which it takes when no rendezvous backend is named, keeps them (`torch.distributed.run`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.environment import environment
from planner.exporters.nodes import segment_of, takes_any_nodes
from planner.exporters.quoting import filled, shell_word

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

_SCRIPT = """\
#!/usr/bin/env bash
# torchrun launcher, @TITLE@
#
@USAGE@
set -euo pipefail
(( $# )) || { echo "usage: bash $0 PROGRAM [ARGUMENTS ...]" >&2; exit 2; }
verify=${VERIFY_PLACEMENT:-$(dirname -- "${BASH_SOURCE[0]}")/verify_placement.py}
[[ -f $verify ]] || { echo "$verify is missing: export it with --format verify" >&2; exit 2; }

@HOSTS@
  "$verify" "$@"
"""

_PLANNED_USAGE = """\
# Run this on every host of the plan, with verify_placement.py in the same folder:
#   bash torchrun.sh PROGRAM [ARGUMENTS ...]"""

_PLANNED = """\
HOSTS=(
@HOSTS@
)
@EXPORTS@host=${PLANNER_HOST:-$(hostname)}
node_rank=
for index in "${!HOSTS[@]}"; do
  if [[ $host == "${HOSTS[index]}" || ${host%%.*} == "${HOSTS[index]}" ]]; then
    node_rank=$index
  fi
done
[[ -n $node_rank ]] || { echo "$host is no host of the plan" >&2; exit 1; }
@DEVICES@
exec torchrun --nnodes=@NODES@ --nproc-per-node="$devices" --node-rank="$node_rank" \\
  --master-addr="${HOSTS[0]}" --master-port="${MASTER_PORT:-29500}" \\"""

_ANY_USAGE = """\
# The nodes are alike, so that any @NODES@ of them will do@DOMAIN@. Run this on each, with the name
# of one of them and with verify_placement.py in the same folder:
#   MASTER_ADDR=HOST bash torchrun.sh PROGRAM [ARGUMENTS ...]"""

_ANY = """\
[[ -n ${MASTER_ADDR:-} ]] || { echo "set MASTER_ADDR to one of the hosts, on all" >&2; exit 2; }
@EXPORTS@exec torchrun --nnodes=@NODES@ --nproc-per-node=@DEVICES@ --rdzv-backend=c10d \\
  --rdzv-endpoint="$MASTER_ADDR:${MASTER_PORT:-29500}" --rdzv-id="${JOB_ID:-@NAME@}" \\"""

_ALONE_USAGE = """\
# Any one node will do. Run this there, with verify_placement.py in the same folder:
#   bash torchrun.sh PROGRAM [ARGUMENTS ...]"""

_ALONE = """\
@EXPORTS@exec torchrun --standalone --nproc-per-node=@DEVICES@ \\"""

TARGET = "torchrun"


def _domain(job: ExportJob) -> str:
    return "" if segment_of(job) is None else ", in one scale-up domain"


def as_script(job: ExportJob) -> str:
    """Hosts find each other where all nodes are alike, else each looks up its place in the plan.
    Raises: Inexpressible where the plan's hosts have no names."""
    nodes = str(len(job.hosts))
    exports = "".join(f"export {name}={value}\n" for name, value in environment(job).items())
    each = job.devices_per_host
    if takes_any_nodes(job, TARGET):
        alone = len(job.hosts) == 1
        usage = _ALONE_USAGE if alone else filled(_ANY_USAGE, nodes=nodes, domain=_domain(job))
        hosts = filled(
            _ALONE if alone else _ANY,
            nodes=nodes,
            exports=exports,
            devices=str(each),
            name=job.slug,
        )
    else:
        usage = _PLANNED_USAGE
        sizes = " ".join(str(host.devices) for host in job.hosts)
        hosts = filled(
            _PLANNED,
            hosts="\n".join(f"  {shell_word(host.name)}" for host in job.hosts),
            exports=exports,
            devices=f"devices={each}"
            if each
            else f"DEVICES=({sizes})\ndevices=${{DEVICES[node_rank]}}",
            nodes=nodes,
        )
    return filled(_SCRIPT, title=job.title, usage=usage, hosts=hosts)
