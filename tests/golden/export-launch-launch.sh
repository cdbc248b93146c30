#!/usr/bin/env bash
# Launches plan 1: llama-3-8b on dgx-h100-16, 32 devices
#
#   bash launch.sh slurm [ARGUMENTS ...]      submits the job, from a login node
#   bash launch.sh torchrun [ARGUMENTS ...]   starts this host's part, on every host
#
# settings.sh has what the plan does not: fill it in, or set its variables in the environment.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
launcher=${1:-}
[[ $launcher == slurm || $launcher == torchrun ]] || {
  echo "usage: bash $0 slurm|torchrun [ARGUMENTS ...]" >&2
  exit 2
}
shift

needs() {
  local name
  for name in "$@"; do
    [[ -n ${!name} ]] || { echo "$name is empty: fill it in in $here/settings.sh" >&2; exit 2; }
  done
}

source "$here/settings.sh"
needs MEGATRON_PATH
if [[ $MOCK_DATA == 1 ]]; then
  DATA_ARGS=(--mock-data --tokenizer-type NullTokenizer)
else
  needs DATA_PATH TOKENIZER_MODEL
  read -ra prefixes <<< "$DATA_PATH"
  DATA_ARGS=(
    --data-path "${prefixes[@]}"
    --tokenizer-type "$TOKENIZER_TYPE" --tokenizer-model "$TOKENIZER_MODEL"
  )
fi
[[ -z $CHECKPOINTS ]] || DATA_ARGS+=(--save "$CHECKPOINTS" --load "$CHECKPOINTS")
source "$here/megatron-lm.sh"
program=("$MEGATRON_PATH/pretrain_gpt.py" "${MEGATRON_ARGS[@]}" "${DATA_ARGS[@]}")
program+=("${TRAINING_ARGS[@]}" "$@")
export VERIFY_PLACEMENT=$here/verify_placement.py
if [[ $launcher == slurm ]]; then
  exec sbatch "${SBATCH_ARGS[@]}" "$here/slurm.sh" "${program[@]}"
fi
exec bash "$here/torchrun.sh" "${program[@]}"
