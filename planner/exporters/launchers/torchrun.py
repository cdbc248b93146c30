"""torchrun with static rendezvous: every host gets the node rank of its place in the plan.

With the c10d rendezvous torchrun ignores node ranks and orders hosts by address; the static one,
which it takes when no rendezvous backend is named, keeps them (`torch.distributed.run`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.environment import environment
from planner.exporters.quoting import filled, shell_word

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

_SCRIPT = """\
#!/usr/bin/env bash
# torchrun launcher, @TITLE@
#
# Run this on every host of the plan, with verify_placement.py in the same folder:
#   bash torchrun.sh PROGRAM [ARGUMENTS ...]
set -euo pipefail
(( $# )) || { echo "usage: bash $0 PROGRAM [ARGUMENTS ...]" >&2; exit 2; }
verify=${VERIFY_PLACEMENT:-$(dirname -- "${BASH_SOURCE[0]}")/verify_placement.py}
[[ -f $verify ]] || { echo "$verify is missing: export it with --format verify" >&2; exit 2; }

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
  --master-addr="${HOSTS[0]}" --master-port="${MASTER_PORT:-29500}" \\
  "$verify" "$@"
"""


def as_script(job: ExportJob) -> str:
    each = job.devices_per_host
    sizes = " ".join(str(host.devices) for host in job.hosts)
    devices = f"devices={each}" if each else f"DEVICES=({sizes})\ndevices=${{DEVICES[node_rank]}}"
    exports = "".join(f"export {name}={value}\n" for name, value in environment(job).items())
    return filled(
        _SCRIPT,
        title=job.title,
        hosts="\n".join(f"  {shell_word(host.name)}" for host in job.hosts),
        exports=exports,
        devices=devices,
        nodes=str(len(job.hosts)),
    )
