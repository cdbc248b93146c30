#!/usr/bin/env bash
#SBATCH --job-name=planner-llama-3-70b
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --nodelist=gpu[07-08,12],login-a
#SBATCH --exclusive
#
# Slurm launcher, plan 1: llama-3-70b on dgx-h100-16, 32 devices
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

SLURM_HOSTFILE=$(mktemp "${TMPDIR:-/tmp}/planner-hosts.XXXXXX")
export SLURM_HOSTFILE
trap 'rm -f "$SLURM_HOSTFILE"' EXIT
cat > "$SLURM_HOSTFILE" << 'HOSTS'
gpu07
gpu08
gpu12
login-a
HOSTS

export MASTER_ADDR=gpu07 MASTER_PORT=${MASTER_PORT:-29500}
export CUDA_DEVICE_MAX_CONNECTIONS=1
srun --nodes=4 --ntasks=4 --distribution=arbitrary bash -c '
  devices=8
  exec torchrun --nnodes=4 --nproc-per-node="$devices" --node-rank="$SLURM_PROCID" \
    --master-addr="$MASTER_ADDR" --master-port="$MASTER_PORT" \
    "$VERIFY_PLACEMENT" "$@"
' planner "$@"
