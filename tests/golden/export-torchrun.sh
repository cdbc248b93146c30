#!/usr/bin/env bash
# torchrun launcher, plan 1: llama-3-70b on dgx-h100-16, 32 devices
#
# Run this on every host of the plan, with verify_placement.py in the same folder:
#   bash torchrun.sh PROGRAM [ARGUMENTS ...]
set -euo pipefail
(( $# )) || { echo "usage: bash $0 PROGRAM [ARGUMENTS ...]" >&2; exit 2; }
verify=${VERIFY_PLACEMENT:-$(dirname -- "${BASH_SOURCE[0]}")/verify_placement.py}
[[ -f $verify ]] || { echo "$verify is missing: export it with --format verify" >&2; exit 2; }

HOSTS=(
  gpu07
  gpu08
  gpu12
  login-a
)
export CUDA_DEVICE_MAX_CONNECTIONS=1
host=${PLANNER_HOST:-$(hostname)}
node_rank=
for index in "${!HOSTS[@]}"; do
  if [[ $host == "${HOSTS[index]}" || ${host%%.*} == "${HOSTS[index]}" ]]; then
    node_rank=$index
  fi
done
[[ -n $node_rank ]] || { echo "$host is no host of the plan" >&2; exit 1; }
devices=8
exec torchrun --nnodes=4 --nproc-per-node="$devices" --node-rank="$node_rank" \
  --master-addr="${HOSTS[0]}" --master-port="${MASTER_PORT:-29500}" \
  "$verify" "$@"
