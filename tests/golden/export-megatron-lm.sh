#!/usr/bin/env bash
# Megatron-LM (mcore 0.20, d98e8a64), plan 1: llama-3-70b on dgx-h100-16, 128 devices
# source it and use "${MEGATRON_ARGS[@]}", or run it in front of a command:
#   bash megatron-lm.sh torchrun ... pretrain_gpt.py --data-path ...
export CUDA_DEVICE_MAX_CONNECTIONS=1
MEGATRON_ARGS=(
  --tensor-model-parallel-size 8
  --pipeline-model-parallel-size 4
  --context-parallel-size 1
  --sequence-parallel
  --pipeline-model-parallel-layout 'Et*19|t*21|t*21|t*19L'
  --micro-batch-size 1
  --global-batch-size 512
  --seq-length 8192
  --num-layers 80
  --hidden-size 8192
  --ffn-hidden-size 28672
  --num-attention-heads 64
  --group-query-attention
  --num-query-groups 8
  --kv-channels 128
  --vocab-size 128256
  --make-vocab-size-divisible-by 128
  --max-position-embeddings 8192
  --position-embedding-type rope
  --normalization RMSNorm
  --swiglu
  --disable-bias-linear
  --untie-embeddings-and-output-weights
  --recompute-granularity full
  --recompute-method block
  --recompute-num-layers 2
  --use-distributed-optimizer
  --bf16
  --accumulate-allreduce-grads-in-fp32
  --optimizer adam
  --attention-backend flash
  --hidden-dropout 0.0
  --attention-dropout 0.0
  --cross-entropy-loss-fusion
  --cross-entropy-fusion-impl te
)
if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  exec "$@" "${MEGATRON_ARGS[@]}"
fi
