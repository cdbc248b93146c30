# What the plan does not hold: fill in what is empty.
# Variables of the environment win: DATA_PATH=/data/text bash launch.sh slurm

# A checkout of Megatron-LM.
MEGATRON_PATH=${MEGATRON_PATH:-}
# Prefixes of preprocessed data (what is in front of .bin and .idx), with weights where several.
DATA_PATH=${DATA_PATH:-}
TOKENIZER_TYPE=${TOKENIZER_TYPE:-HuggingFaceTokenizer}
TOKENIZER_MODEL=${TOKENIZER_MODEL:-}
# 1: made-up tokens in place of data and tokenizer, to see the step time.
MOCK_DATA=${MOCK_DATA:-0}
# Where checkpoints are saved and loaded; empty: nowhere.
CHECKPOINTS=${CHECKPOINTS:-}

# How to train is no part of a plan. These are for a trial of 50 steps.
TRAINING_ARGS=(
  --train-iters 50 --lr 1e-4 --min-lr 1e-5 --lr-decay-style cosine --clip-grad 1.0
  --split 99,1,0 --eval-iters 0 --log-interval 1 --log-throughput
)

# Such as --partition, --account and --time.
SBATCH_ARGS=()
