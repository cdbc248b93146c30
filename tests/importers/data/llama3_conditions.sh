#!/bin/bash
# In the manner of the launch scripts that take everything from the environment.
GPUS_PER_NODE=`python3 -c "import torch; print(torch.cuda.device_count())"`
NNODES="${NNODES:-1}"
MODEL_SIZE="${MODEL_SIZE:-70}"
TP="${TP:-8}"
SEQ_PARALLEL="${SEQ_PARALLEL:-1}"
RECOMPUTE="${RECOMPUTE:-0}"
TEE_OUTPUT="${TEE_OUTPUT:-1}"

if [[ $MODEL_SIZE -eq 8 ]]; then #llama3.1-8B
    HIDDEN_SIZE=4096
    FFN_HIDDEN_SIZE=14336
    NUM_LAYERS=32
    NUM_HEADS=32
elif [[ $MODEL_SIZE -eq 70 ]]; then
    HIDDEN_SIZE=8192 # not 5120
    FFN_HIDDEN_SIZE=28672
    NUM_LAYERS=80
    NUM_HEADS=64
else
    echo "Model size not supported."
    exit 1
fi
NUM_GROUPS=$(( ${NUM_HEADS} / (NUM_HEADS / 8) ))

GPT_ARGS="
    --tensor-model-parallel-size ${TP} \
    --num-layers $NUM_LAYERS \
    --hidden-size $HIDDEN_SIZE \
    --ffn-hidden-size $FFN_HIDDEN_SIZE \
    --num-attention-heads $NUM_HEADS \
    --seq-length 8192 --max-position-embeddings 131072 \
    --untie-embeddings-and-output-weights --position-embedding-type rope \
    --swiglu --disable-bias-linear --normalization RMSNorm \
    --micro-batch-size 1 --global-batch-size ${BS:-128} --bf16 \
    --tokenizer-type HuggingFaceTokenizer --tokenizer-model meta-llama/Llama-3.1-70B \
"
if [ "$RECOMPUTE" -eq 1 ]; then
    GPT_ARGS="$GPT_ARGS --recompute-num-layers $NUM_LAYERS \
        --recompute-granularity full --recompute-method block"
fi
if [ -n "$LOAD_CKPT_PATH" ]; then GPT_ARGS="$GPT_ARGS --load $LOAD_CKPT_PATH"; fi
EXTRA_ARGS="--group-query-attention --num-query-groups $NUM_GROUPS --use-distributed-optimizer"
if [ "$SEQ_PARALLEL" -eq 1 ]; then
    EXTRA_ARGS="$EXTRA_ARGS --sequence-parallel"
fi
if [ ! -f "pretrain_gpt.py" ]; then
    echo "Error: pretrain_gpt.py not found with --num-layers $NUM_LAYERS"
    exit 1
fi
run_cmd="
    torchrun --nproc_per_node $GPUS_PER_NODE --nnodes $NNODES pretrain_gpt.py \
        $GPT_ARGS \
        $EXTRA_ARGS
"
if [ "$TEE_OUTPUT" -eq 0 ]; then
    run_cmd="$run_cmd >& log"
else
    run_cmd="$run_cmd |& tee log"
fi
eval $run_cmd
